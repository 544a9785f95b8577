"""RWKV-7 against the package `rwkv`, and faults that the tolerance must catch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_rwkv import blinkdl
from synapse_model_rwkv.token_shift import TOKEN_SHIFT
from synapse_model_rwkv.wkv7 import WKV7

from synapse_core.families import Family, ModelConfig
from tests.outside.runner import open_runner

from . import checkpoints as made

pytestmark = pytest.mark.reference

BACKENDS = ("numpy", "cpu")
LENGTH = 90
# Of the standard deviation of the logits.
TOLERANCE = 2e-4


@attrs.frozen(eq=False)
class Known:
    """A checkpoint in both spellings, two texts, and what the package says of them."""

    blinkdl: Path
    fla: Path
    ids: list[list[int]]
    logits: list[np.ndarray]

    @property
    def tolerance(self) -> float:
        return TOLERANCE * float(np.concatenate(self.logits).std())


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Known]:
    """`known(name)`: a checkpoint of that shape, made once."""
    found: dict[str, Known] = {}

    def known(name: str) -> Known:
        if name not in found:
            shape = made.SHAPES[name]
            folder = tmp_path_factory.mktemp("rwkv")
            tensors = made.random_tensors(shape, 11)
            rng = np.random.default_rng(12)
            ids = rng.integers(0, shape.vocabulary, (2, LENGTH)).tolist()
            found[name] = Known(
                made.write_folder(folder / "blinkdl", tensors, made.config_of(shape)),
                made.write_folder(folder / "fla", made.as_fla(tensors), made.fla_config_of(shape)),
                ids,
                made.reference_logits(tensors, ids, folder),
            )
        return found[name]

    return known


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", made.SHAPES)
def test_logits_match_the_package(known: Callable[[str], Known], name: str, backend: str) -> None:
    case = known(name)
    assert 1 <= np.concatenate(case.logits).std() <= 10
    model = open_runner(case.blinkdl, backend=backend)
    for sizes in ([LENGTH], [7, 1, 30, 2, 11], [1]):
        found = model.in_chunks(case.ids[0], sizes)
        assert np.abs(found - case.logits[0]).max() <= case.tolerance, sizes


@pytest.mark.parametrize("backend", BACKENDS)
def test_names_of_fla_hub_match_the_package(known: Callable[[str], Known], backend: str) -> None:
    case = known("usual")
    found = open_runner(case.fla, backend=backend).in_chunks(case.ids[0], [LENGTH])
    assert np.abs(found - case.logits[0]).max() <= case.tolerance


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", made.SHAPES)
def test_two_slots_interleaved_match_the_package(
    known: Callable[[str], Known], name: str, backend: str
) -> None:
    case = known(name)
    model = open_runner(case.blinkdl, backend=backend)
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    first = [0, 0]
    for sizes in ((7, 3), (0, 40), (1, 1), (62, 9), (1, 0), (5, 37), (14, 0)):
        order = [slot for slot in (1, 0) if sizes[slot]]
        cut = [(s, first[s], case.ids[s][first[s] : first[s] + sizes[s]]) for s in order]
        for slot, logits in zip(order, model.logits(*cut), strict=True):
            parts[slot].append(logits)
            first[slot] += sizes[slot]
    assert first == [LENGTH, LENGTH]
    for found, expected in zip(parts, case.logits, strict=True):
        assert np.abs(np.concatenate(found) - expected).max() <= case.tolerance


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_slot_copied_saved_restored_and_begun_anew_matches_the_package(
    known: Callable[[str], Known], backend: str
) -> None:
    case = known("odd")
    model = open_runner(case.blinkdl, backend=backend)
    half = LENGTH // 2
    begun = model.in_chunks(case.ids[0][:half], [half], slot=0)
    model.session.copy_state(0, 2)
    saved = [part.copy() for part in model.session.save_state(0, half)]
    other = model.in_chunks(case.ids[1], [33], slot=0)  # position 0 resets it
    (rest,) = model.logits((2, half, case.ids[0][half:]))
    assert np.abs(np.concatenate([begun, rest]) - case.logits[0]).max() <= case.tolerance
    model.session.load_state(1, half, saved)
    (again,) = model.logits((1, half, case.ids[0][half:]))
    assert again.tobytes() == rest.tobytes()
    assert np.abs(other - case.logits[1]).max() <= case.tolerance


Change = Callable[[ModelConfig], ModelConfig]


def time_mix(**values: Callable[[Any], Any]) -> Change:
    """Return a fault in the options of every time mix."""

    def plant(config: ModelConfig) -> ModelConfig:
        layers = []
        for layer in config.layers:
            mix, *others = layer.sublayers
            options = dict(mix.mixer.options)
            for name, value in values.items():
                options[name] = value(options.get(name))
            mix = attrs.evolve(mix, mixer=attrs.evolve(mix.mixer, options=options))
            layers.append(attrs.evolve(layer, sublayers=(mix, *others)))
        return attrs.evolve(config, layers=tuple(layers))

    return plant


def norms(eps: float) -> Change:
    """Return a fault in the epsilon of the norms before each sublayer and the last."""

    def plant(config: ModelConfig) -> ModelConfig:
        norm = attrs.evolve(config.norm, options={**config.norm.options, "eps": eps})
        layers = tuple(
            attrs.evolve(
                layer,
                sublayers=tuple(attrs.evolve(part, norm=norm) for part in layer.sublayers),
            )
            for layer in config.layers
        )
        return attrs.evolve(config, layers=layers, norm=norm)

    return plant


def exchanged(a: str, b: str) -> Family:
    """Return the family with two entries of its map exchanged."""
    names = dict(blinkdl.WEIGHTS)
    names[a], names[b] = names[b], names[a]
    return attrs.evolve(blinkdl.FAMILY, weights={"hf": names})


ATTENTION = "layers.{n}.attention"
FAULTS: dict[str, dict[str, Any]] = {
    "the heads' epsilon is 1e-5": {"change": time_mix(eps=lambda eps: 1e-5)},
    "the heads' epsilon follows their size": {"change": time_mix(eps=lambda eps: 12e-5)},
    "the norms' epsilon is 1e-3": {"change": norms(1e-3)},
    "lerps in another order": {"family": exchanged(f"{ATTENTION}.shift.r", f"{ATTENTION}.shift.w")},
    "k's lerp is v's": {"family": exchanged(f"{ATTENTION}.shift.k", f"{ATTENTION}.shift.v")},
    "a for g": {"family": exchanged(f"{ATTENTION}.shift.a", f"{ATTENTION}.shift.g")},
    "k_k for k_a": {"family": exchanged(f"{ATTENTION}.key_scale", f"{ATTENTION}.key_rate")},
    "w0 for a0": {"family": exchanged(f"{ATTENTION}.decay.up.bias", f"{ATTENTION}.rate.up.bias")},
}


def wkv7_with(**changed: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Return a fault in an operand of the op, by its place."""

    def reference(call: Any, inputs: Any, options: Any) -> Any:
        inputs = list(inputs)
        for place, change in changed.items():
            number = int(place[1:])
            if inputs[number] is not None:
                inputs[number] = change(inputs[number])
        return WKV7.reference(call, inputs, options)

    return {"ops": {"rwkv.wkv7": attrs.evolve(WKV7, reference=reference)}}


def late_shift(call: Any, inputs: Any, options: Any) -> Any:
    """A token shift that takes a row's own for the one before it, where a call begins."""
    x, state, *mus = inputs
    previous = np.concatenate([x[:1], x[:-1]])
    for slot, rows in call.rows(call.input_types()[0].space).runs():
        state.memory(slot)[:] = x[rows.stop - 1]
    return tuple(x + (previous - x) * mu.rows_f32()[0] for mu in mus)


FAULTS |= {
    "no values of the first layer": wkv7_with(_7=lambda mix: mix - 1e4),
    "values of the first layer only": wkv7_with(_7=lambda mix: mix + 1e4),
    "the first layer's values, those of the row before": wkv7_with(
        _6=lambda first: np.roll(first, 1, axis=0)
    ),
    "a gate that is open": wkv7_with(_5=np.ones_like),
    "a decay of another sign": wkv7_with(_1=np.negative),
    "a rate of a half": wkv7_with(_4=lambda a: a - np.float32(0.05)),
    "nothing before the first row but itself": {
        "ops": {"rwkv.token_shift": attrs.evolve(TOKEN_SHIFT, reference=late_shift)}
    },
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_seen(known: Callable[[str], Known], fault: str) -> None:
    case = known("odd")
    faulty = open_runner(case.blinkdl, **FAULTS[fault])
    found = faulty.in_chunks(case.ids[0], [LENGTH])
    assert np.abs(found - case.logits[0]).max() > 3 * case.tolerance
