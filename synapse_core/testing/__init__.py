"""The conformance kit: contracts as tests, and the corpus they run on.

The test classes need pytest; all else works without it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from synapse_core.testing.agreement import same_bits, worst_error
from synapse_core.testing.case import Call, Case, fill_weights, finder, rows
from synapse_core.testing.contracts import Finding, Subject, contracts_of, examine
from synapse_core.testing.corpus import corpus
from synapse_core.testing.sample import CheckpointSample, OpSample
from synapse_core.testing.toys import (
    causal_decoder,
    image_encoder,
    recurrent_scan,
    toys,
    two_towers,
    window_predictor,
)

if TYPE_CHECKING:
    from synapse_core.testing.backend_kit import BackendContract
    from synapse_core.testing.kit import (
        AttentionContract,
        CommandContract,
        FfnContract,
        ModelContract,
        NormContract,
        OpContract,
        PassContract,
        PositionContract,
        PreprocessorContract,
        QuantFormatContract,
        SamplerContract,
        TargetContract,
        TokenizerContract,
        WeightLoaderContract,
    )

__all__ = [
    "AttentionContract",
    "BackendContract",
    "Call",
    "Case",
    "CheckpointSample",
    "CommandContract",
    "FfnContract",
    "Finding",
    "ModelContract",
    "NormContract",
    "OpContract",
    "OpSample",
    "PassContract",
    "PositionContract",
    "PreprocessorContract",
    "QuantFormatContract",
    "SamplerContract",
    "Subject",
    "TargetContract",
    "TokenizerContract",
    "WeightLoaderContract",
    "causal_decoder",
    "contracts_of",
    "corpus",
    "examine",
    "fill_weights",
    "finder",
    "image_encoder",
    "recurrent_scan",
    "rows",
    "same_bits",
    "toys",
    "two_towers",
    "window_predictor",
    "worst_error",
]


def __getattr__(name: str) -> Any:
    """Import a test class, and with it pytest, when it is first used."""
    if name.endswith("Contract") and name in __all__:
        module = "backend_kit" if name == "BackendContract" else "kit"
        return getattr(importlib.import_module(f"synapse_core.testing.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
