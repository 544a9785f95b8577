"""Both families against transformers, and faults that the tolerance must catch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_mamba import original

from synapse_core.families import Ignore, ModelConfig, choose_family
from synapse_core.graph import Constant, Graph
from synapse_core.loaders import SAFETENSORS
from synapse_core.plugins import default_host
from tests.outside.runner import Rewrite, open_runner

from .conftest import Make
from .reference_cases import CASES, LENGTH

pytestmark = pytest.mark.reference

BACKENDS = ("numpy", "cpu")
Fault = Callable[[ModelConfig], ModelConfig]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_logits_match_transformers(make: Make, name: str, backend: str) -> None:
    made = make(name)
    model = open_runner(made.folder, made.family, backend)
    for sizes in ([LENGTH], [5, 1, 13, 2, 9], [1]):
        found = model.in_chunks(made.ids[0], sizes)
        assert np.abs(found - made.logits[0]).max() <= made.tolerance, sizes


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["mamba", "mamba2"])
def test_two_slots_interleaved_match_transformers(make: Make, name: str, backend: str) -> None:
    made = make(name)
    model = open_runner(made.folder, made.family, backend)
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    first = [0, 0]
    for sizes in ((7, 3), (0, 4), (1, 1), (12, 9), (1, 0), (5, 16), (14, 0)):
        order = [slot for slot in (1, 0) if sizes[slot]]
        runs = [(s, first[s], made.ids[s][first[s] : first[s] + sizes[s]]) for s in order]
        for slot, logits in zip(order, model.logits(*runs), strict=True):
            parts[slot].append(logits)
            first[slot] += sizes[slot]
    assert first == [len(ids) for ids in made.ids]
    for found, expected in zip(parts, made.logits, strict=True):
        assert np.abs(np.concatenate(found) - expected).max() <= made.tolerance


ORIGINALS = {
    "mamba": (original.MAMBA, {"d_state": 16}),
    "mamba2": (original.MAMBA2, {"layer": "Mamba2", "d_state": 20, "headdim": 11}),
}


@pytest.mark.parametrize("name", ORIGINALS)
def test_state_spaces_own_form_matches_transformers(make: Make, tmp_path: Path, name: str) -> None:
    from safetensors.numpy import load_file, save_file

    made, (family, layer) = make(name), ORIGINALS[name]
    tensors = load_file(made.folder / "model.safetensors")
    tensors["backbone.embedding.weight"] = tensors.pop("backbone.embeddings.weight")
    tied = "lm_head.weight" not in tensors
    if tied:  # as they were published: the head is there all the same
        tensors["lm_head.weight"] = tensors["backbone.embedding.weight"].copy()
    save_file(tensors, tmp_path / "model.safetensors")
    config = {
        "d_model": 44,
        "n_layer": 3,
        "vocab_size": 97,
        "ssm_cfg": layer,
        "rms_norm": True,
        "pad_vocab_size_multiple": 1,
        "tie_embeddings": tied,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert choose_family(SAFETENSORS.open(tmp_path), default_host()) == family
    found = open_runner(tmp_path, family, "numpy").in_chunks(made.ids[0], [LENGTH])
    assert np.abs(found - made.logits[0]).max() <= made.tolerance


def in_norms(change: Callable[[float], float]) -> Fault:
    """Return a fault in the epsilon of the norms around the mixers."""

    def plant(config: ModelConfig) -> ModelConfig:
        norm = attrs.evolve(config.norm, options={"eps": change(config.norm.options["eps"])})
        layers = tuple(
            attrs.evolve(
                layer, sublayers=tuple(attrs.evolve(s, norm=norm) for s in layer.sublayers)
            )
            for layer in config.layers
        )
        return attrs.evolve(config, layers=layers, norm=norm)

    return plant


def in_mixers(**values: Callable[[Any], Any]) -> Fault:
    """Return a fault in options of the mixers."""

    def plant(config: ModelConfig) -> ModelConfig:
        layers = []
        for layer in config.layers:
            (only,) = layer.sublayers
            options = dict(only.mixer.options)
            options |= {name: value(options.get(name)) for name, value in values.items()}
            mixer = attrs.evolve(only.mixer, options=options)
            layers.append(attrs.evolve(layer, sublayers=(attrs.evolve(only, mixer=mixer),)))
        return attrs.evolve(config, layers=tuple(layers))

    return plant


def in_weights(end: str, change: Callable[[np.ndarray], np.ndarray]) -> Rewrite:
    """Return a fault in the numbers (rows, cols) of the first weight whose name ends so."""

    def rewrite(graph: Graph) -> Graph:
        weights = dict(graph.weights)
        name = next(name for name in weights if name.endswith(end))
        source = weights[name].source
        assert source is not None
        assert source.format == "f32"
        numbers = source.raw().view(np.float32).reshape(source.rows, source.cols)
        weights[name] = attrs.evolve(weights[name], source=Constant.of(change(numbers)))
        return attrs.evolve(graph, weights=weights)

    return rewrite


FAULTS: dict[str, tuple[str, Fault | None, Rewrite | None]] = {
    "epsilon": ("mamba of its own head", in_norms(lambda eps: eps / 10), None),
    "epsilon, mamba2": ("mamba2", in_norms(lambda eps: eps / 10), None),
    "epsilon behind the gate": ("mamba2", in_mixers(eps=lambda eps: 100 * eps), None),
    "no bias of the filter": ("mamba", in_mixers(conv_bias=lambda _: False), None),
    "no bias of the filter, mamba2": ("mamba2", in_mixers(conv_bias=lambda _: False), None),
    "no limit of the step": ("mamba2 limits", in_mixers(dt_most=lambda _: 10.0), None),
    "no least step": ("mamba2 limits", in_mixers(dt_least=lambda _: 0.0), None),
    "no bias of the step": ("mamba", None, in_weights(".dt.bias", np.zeros_like)),
    "no bias of the step, mamba2": ("mamba2", None, in_weights(".dt_bias", np.zeros_like)),
    "rates rise": ("mamba", None, in_weights(".a", np.negative)),
    "rates rise, mamba2": ("mamba2", None, in_weights(".a", np.negative)),
    "rates of the neighbour": ("mamba", None, in_weights(".a", lambda a: np.roll(a, 1, axis=0))),
    "no skip": ("mamba", None, in_weights(".d", np.zeros_like)),
    "no skip, mamba2": ("mamba2", None, in_weights(".d", np.zeros_like)),
    "filter shifted": ("mamba", None, in_weights("conv.weight", lambda w: np.roll(w, 1, axis=0))),
    "filter backwards": ("mamba", None, in_weights("conv.weight", lambda w: w[::-1])),
    "filter shifted, mamba2": (
        "mamba2",
        None,
        in_weights("conv.weight", lambda w: np.roll(w, 1, axis=0)),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(make: Make, fault: str) -> None:
    name, change, rewrite = FAULTS[fault]
    made = make(name)
    # What the fault leaves out would be refused as unused; the numbers are to be the ones to tell.
    deaf = attrs.evolve(made.family, ignores=(Ignore("*", "a planted fault leaves it out"),))
    model = open_runner(made.folder, deaf, change=change, rewrite=rewrite)
    with np.errstate(all="ignore"):  # a memory that grows may leave float32 altogether
        found = model.in_chunks(made.ids[0], [LENGTH])
    assert not np.abs(found - made.logits[0]).max() <= 2 * made.tolerance
