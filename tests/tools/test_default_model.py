"""The models that ship: how near they are to the grammar they learnt, what quantising costs.

Their cards, MODEL_CARD.md beside the weights, have what `tools/evaluate_default_model.py` says.
"""

from __future__ import annotations

import os
from pathlib import Path

import evaluate_default_model as evaluation
import pytest
from little_world.corpus import held_out_documents

import synapse_core as synapse
from synapse_core.api.source import default_model, shipped_model
from synapse_core.plugins import default_host

MOST_BYTES = 1_500_000
DOCUMENTS = 150


SHIPPED = ("qwen3", "mamba", "rwkv7")


def shipped(family: str) -> Path:
    found = shipped_model(family, default_host())
    if found is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"no installed family {family!r} ships a model")
        pytest.skip(f"no installed family {family!r} ships a model")
    return found


@pytest.fixture(scope="module", params=SHIPPED)
def folder(request: pytest.FixtureRequest) -> Path:
    return shipped(request.param)


def test_without_a_name_it_is_the_transformer() -> None:
    assert default_model(default_host()) == shipped("qwen3")


def perplexity(folder: Path, format: str | None) -> float:
    with synapse.load(folder, format=format) as model:
        documents = held_out_documents(evaluation.HELD_OUT_SEED, DOCUMENTS)
        return evaluation.cross_entropy(model, documents)["perplexity_per_token"]


def test_it_is_small(folder: Path) -> None:
    assert sum(file.stat().st_size for file in folder.rglob("*")) <= MOST_BYTES


def test_its_cross_entropy_is_within_a_tenth_of_the_grammar_s_own(folder: Path) -> None:
    documents = held_out_documents(evaluation.HELD_OUT_SEED, DOCUMENTS)
    with synapse.load(folder) as model:
        ratio = evaluation.cross_entropy(model, documents)["ratio"]
    assert 0.97 < ratio <= 1.10


@pytest.mark.parametrize(
    ("family", "temperature", "least"),
    # None: as `synapse run` draws.
    [("qwen3", None, 95), ("qwen3", 1.0, 95), ("mamba", None, 95), ("rwkv7", None, 95)],
)
def test_of_100_samples_most_parse(family: str, temperature: float | None, least: int) -> None:
    with synapse.load(shipped(family), backend="cpu") as model:
        texts = evaluation.sample(model, 100, temperature)
    assert len(set(texts)) > 50
    assert sum(map(evaluation.parses, texts)) >= least


@pytest.mark.parametrize(
    ("format", "most"),
    # Rows of 128 and 288: q6_k is held as q8_0, q4_k as q5_0 (docs/formats.md).
    [("int8", 1.005), ("q8_0", 1.005), ("q6_k", 1.01), ("q4_k", 1.04), ("q4_0", 1.04)],
)
def test_a_format_costs_no_more_perplexity_than_its_budget(format: str, most: float) -> None:
    folder = shipped("qwen3")
    assert perplexity(folder, format) <= most * perplexity(folder, None)


@pytest.mark.parametrize("family", ["mamba", "rwkv7"])
@pytest.mark.parametrize(("format", "most"), [("int8", 1.005), ("q8_0", 1.005), ("q4_0", 1.05)])
def test_a_recurrent_model_keeps_its_perplexity(family: str, format: str, most: float) -> None:
    folder = shipped(family)
    assert perplexity(folder, format) <= most * perplexity(folder, None)
