"""The contracts of every kind of thing that a plugin provides."""

from __future__ import annotations

import importlib

from synapse_core.testing.contracts.contract import (
    FAILED,
    OK,
    SKIPPED,
    Contract,
    Finding,
    Skipped,
    Subject,
    examine,
)

__all__ = [
    "FAILED",
    "OK",
    "SKIPPED",
    "Contract",
    "Finding",
    "Skipped",
    "Subject",
    "contracts_of",
    "examine",
]

_MODULE = {
    "attention": "component",
    "ffn": "component",
    "norm": "component",
    "position": "component",
    "quant_format": "quant_format",
    "weight_loader": "weight_loader",
    "model": "model",
    "tokenizer": "tokenizer",
    "preprocessor": "preprocessor",
    "sampler": "sampler",
    "op": "op",
    "pass": "rewrite",
    "backend": "backend",
    "target": "target",
    "command": "command",
}


def contracts_of(kind: str) -> tuple[Contract, ...]:
    """Return the contracts of a kind, in the order they are best read; imports that kind's only."""
    module = importlib.import_module(f"synapse_core.testing.contracts.{_MODULE[kind]}")
    found: tuple[Contract, ...] = module.CONTRACTS[kind]
    return found
