"""The model that ships: how near it is to the grammar it learnt, what it costs to quantise it.

Its card, MODEL_CARD.md beside the weights, has the figures of `tools/evaluate_default_model.py`.
"""

from __future__ import annotations

import os
from pathlib import Path

import evaluate_default_model as evaluation
import pytest
from little_world.corpus import held_out_documents

import synapse_core as synapse
from synapse_core.api.source import default_model
from synapse_core.errors import SynapseError
from synapse_core.plugins import default_host

MOST_BYTES = 1_500_000
DOCUMENTS = 150


@pytest.fixture(scope="module")
def folder() -> Path:
    try:
        return default_model(default_host())
    except SynapseError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no installed plugin ships a model: {error}")


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


@pytest.mark.parametrize("temperature", [None, 1.0], ids=["as run draws", "temperature 1"])
def test_95_of_100_samples_parse(folder: Path, temperature: float | None) -> None:
    with synapse.load(folder, backend="cpu") as model:
        texts = evaluation.sample(model, 100, temperature)
    assert len(set(texts)) > 50
    assert sum(map(evaluation.parses, texts)) >= 95


@pytest.mark.parametrize(
    ("format", "most"),
    # Rows of 128 and 288: q6_k is held as q8_0, q4_k as q5_0 (docs/formats.md).
    [("int8", 1.005), ("q8_0", 1.005), ("q6_k", 1.01), ("q4_k", 1.04), ("q4_0", 1.04)],
)
def test_a_format_costs_no_more_perplexity_than_its_budget(
    folder: Path, format: str, most: float
) -> None:
    assert perplexity(folder, format) <= most * perplexity(folder, None)
