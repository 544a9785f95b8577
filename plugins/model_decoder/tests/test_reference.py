"""Every family against transformers, and faults that the tolerance must catch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import attrs
import numpy as np
import pytest

from synapse_core.families import ComponentConfig, Ignore, ModelConfig

from .reference_cases import CASES, LENGTH, Made, make_case

pytestmark = pytest.mark.reference

BACKENDS = ("numpy", "cpu")
Make = Callable[[str], Made]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """`make(name)`: the checkpoint of a case, made once."""
    known: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in known:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
            known[name] = make_case(CASES[name], folder)
        return known[name]

    yield make
    known.clear()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_logits_match_transformers(
    make: Make, runner: Callable[..., Any], name: str, backend: str
) -> None:
    made = make(name)
    model = runner(made.folder, made.family, backend, positions=made.positions)
    for sizes in ([LENGTH], [5, 1, 13, 2, 9], [1]):
        found = model.in_chunks(made.ids[0], sizes)
        assert np.abs(found - made.logits[0]).max() <= made.tolerance, sizes


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "name",
    [
        "llama",
        "mistral",
        "qwen2",
        "qwen3 windows f16",
        "phi3 longrope beyond",
        "gemma",
        "gemma2",
        "gemma3 two ropes bf16",
    ],
)
def test_two_slots_interleaved_match_transformers(
    make: Make, runner: Callable[..., Any], name: str, backend: str
) -> None:
    made = make(name)
    model = runner(made.folder, made.family, backend)
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


Fault = Callable[[ModelConfig], ModelConfig]


def option(component: str, name: str, value: Callable[[Any], Any]) -> Fault:
    """Return a fault in an option of a component, wherever it stands; `value` of the right one."""

    def change(config: ComponentConfig) -> ComponentConfig:
        options = {
            key: change(inner) if isinstance(inner, ComponentConfig) else inner
            for key, inner in config.options.items()
        }
        if config.name == component:
            options[name] = value(options.get(name))
        return attrs.evolve(config, options=options)

    def plant(config: ModelConfig) -> ModelConfig:
        layers = tuple(
            attrs.evolve(
                layer,
                sublayers=tuple(
                    attrs.evolve(
                        sublayer,
                        norm=change(sublayer.norm),
                        mixer=change(sublayer.mixer),
                        post_norm=change(sublayer.post_norm) if sublayer.post_norm else None,
                    )
                    for sublayer in layer.sublayers
                ),
            )
            for layer in config.layers
        )
        return attrs.evolve(config, layers=layers, norm=change(config.norm))

    return plant


def around(**values: Callable[[Any], Any]) -> Fault:
    """Return a fault in what stands around the layers."""
    return lambda config: attrs.evolve(
        config, **{name: value(getattr(config, name)) for name, value in values.items()}
    )


def without_post_norm(sublayer: str) -> Fault:
    """Return a fault that leaves out the norm behind one kind of sublayer."""

    def plant(config: ModelConfig) -> ModelConfig:
        layers = tuple(
            attrs.evolve(
                layer,
                sublayers=tuple(
                    attrs.evolve(part, post_norm=None) if part.name == sublayer else part
                    for part in layer.sublayers
                ),
            )
            for layer in config.layers
        )
        return attrs.evolve(config, layers=layers)

    return plant


def shifted_layers(config: ModelConfig) -> ModelConfig:
    """Give each layer the kind of its neighbour."""
    return attrs.evolve(config, layers=(*config.layers[1:], config.layers[0]))


def in_bf16(value: float) -> float:
    """Round to bfloat16, halves away from zero."""
    bits = np.float32(value).view(np.uint32) + np.uint32(0x8000)
    return float((bits & np.uint32(0xFFFF0000)).view(np.float32))


def changed(**values: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what changes some parameters of a scaling."""
    return lambda scaling: {**scaling, **values}


def tenth(number: float) -> float:
    """A tenth: an epsilon that is an order off."""
    return number / 10


def more(number: int) -> int:
    """One more."""
    return number + 1


def less(number: int) -> int:
    """One less."""
    return number - 1


EPSILON = option("rmsnorm", "eps", tenth)
WIDER = option("sliding_window", "window", more)
NARROWER = option("sliding_window", "window", less)
UNSCALED = option("rope", "scaling", lambda _: {})
THETA = option("rope", "theta", lambda theta: theta * 1.05)
EXACT = option("geglu", "activation", lambda _: "gelu")
TANH = option("geglu", "activation", lambda _: "gelu_tanh")
PLAIN_NORM = option("rmsnorm", "one_plus", lambda _: False)
UNSCALED_EMBEDDING = around(embedding_scale=lambda _: 1.0)
FAULTS: dict[str, tuple[str, Fault]] = {
    "epsilon": ("llama", EPSILON),
    "epsilon, mistral": ("mistral", EPSILON),
    "epsilon, qwen2": ("qwen2", EPSILON),
    "epsilon, qwen3": ("qwen3", EPSILON),
    "epsilon, phi3": ("phi3", EPSILON),
    "epsilon, gemma": ("gemma untied biases", EPSILON),
    "epsilon, gemma2": ("gemma2 untied", EPSILON),
    "epsilon, gemma3": ("gemma3 untied", EPSILON),
    "window + 1, mistral": ("mistral", WIDER),
    "window - 1, mistral": ("mistral", NARROWER),
    "window + 1, qwen2": ("qwen2 windows", WIDER),
    "window - 1, qwen2": ("qwen2 windows", NARROWER),
    "window + 1, qwen3": ("qwen3 windows f16", WIDER),
    "window - 1, qwen3": ("qwen3 windows f16", NARROWER),
    "window + 1, phi3": ("phi3", WIDER),
    "window - 1, phi3": ("phi3", NARROWER),
    "window + 1, gemma2": ("gemma2", WIDER),
    "window - 1, gemma2": ("gemma2", NARROWER),
    "window + 1, gemma3": ("gemma3", WIDER),
    "window - 1, gemma3": ("gemma3", NARROWER),
    "windows in the other layers, gemma2": ("gemma2", shifted_layers),
    "windows in the other layers, gemma3": ("gemma3", shifted_layers),
    **{
        f"no bias of {letter}": (
            "llama biases f16",
            option("gqa", "biases", lambda found, letter=letter: found.replace(letter, "")),
        )
        for letter in "qkvo"
    },
    **{
        f"no bias of {letter}, qwen2": (
            "qwen2",
            option("gqa", "biases", lambda found, letter=letter: found.replace(letter, "")),
        )
        for letter in "qkv"
    },
    "no bias in the ffn": ("llama biases f16", option("swiglu", "bias", lambda _: False)),
    "no bias of q, qwen3": ("qwen3 tied biases", option("gqa", "biases", lambda _: "kvo")),
    "no biases, gemma": ("gemma untied biases", option("gqa", "biases", lambda _: "")),
    "rope style": ("llama", option("rope", "style", lambda _: "interleaved")),
    "rope style, phi3": ("phi3 partial rotary", option("rope", "style", lambda _: "interleaved")),
    "rope theta": ("llama", THETA),
    "rope theta, mistral": ("mistral", THETA),
    "rope theta, gemma": ("gemma", THETA),
    "all columns turn, phi3": ("phi3 partial rotary", option("rope", "rotary_dim", lambda _: None)),
    "no llama3 scaling": ("llama llama3", UNSCALED),
    "no linear scaling": ("llama linear", UNSCALED),
    "no linear scaling in full layers": ("gemma3 two ropes bf16", UNSCALED),
    "one theta for both kinds of layer": (
        "gemma3",
        option("rope", "theta", lambda _: 1e4),
    ),
    "no dynamic scaling": ("llama dynamic beyond", UNSCALED),
    "no yarn scaling": ("llama yarn", UNSCALED),
    "no yarn magnitude": (
        "llama yarn",
        option("rope", "scaling", changed(attention_factor=1.0)),
    ),
    "yarn's range of pairs": (
        "llama yarn exact ramp",
        option("rope", "scaling", changed(beta_fast=3.0)),
    ),
    "yarn's ramp truncated": (
        "llama yarn exact ramp",
        option("rope", "scaling", changed(truncate=True)),
    ),
    "yarn's mscale": ("llama yarn exact ramp", option("rope", "scaling", changed(mscale=0.75))),
    "no longrope magnitude": (
        "phi3 longrope beyond",
        option("rope", "scaling", changed(attention_factor=1.0)),
    ),
    "short factors beyond the boundary": (
        "phi3 longrope one beyond",
        option("rope", "scaling", changed(original_max_position_embeddings=33)),
    ),
    "long factors within the boundary": (
        "phi3 longrope within",
        option("rope", "scaling", changed(original_max_position_embeddings=31)),
    ),
    "tanh for exact gelu": ("llama gelu", TANH),
    "exact for tanh gelu": ("llama gelu_tanh", EXACT),
    "exact for tanh gelu, gemma": ("gemma bf16", EXACT),
    "exact for tanh gelu, gemma2": ("gemma2", EXACT),
    "exact for tanh gelu, gemma3": ("gemma3", EXACT),
    "no qk-norm": ("qwen3", option("gqa", "qk_norm", lambda _: None)),
    "no qk-norm in full layers, gemma3": ("gemma3", option("gqa", "qk_norm", lambda _: None)),
    "no qk-norm in sliding layers, gemma3": (
        "gemma3",
        option("sliding_window", "qk_norm", lambda _: None),
    ),
    "attention scale": ("qwen3", option("gqa", "scale", lambda _: 10**-0.49)),
    "attention scale by the head's width, gemma2": (
        "gemma2",
        option("gqa", "scale", lambda _: None),
    ),
    "attention scale by the head's width, gemma3": (
        "gemma3",
        option("sliding_window", "scale", lambda _: None),
    ),
    "norm without one plus, gemma": ("gemma", PLAIN_NORM),
    "norm without one plus, gemma2": ("gemma2", PLAIN_NORM),
    "norm without one plus, gemma3": ("gemma3", PLAIN_NORM),
    "no embedding scale, gemma": ("gemma", UNSCALED_EMBEDDING),
    "no embedding scale, gemma2": ("gemma2", UNSCALED_EMBEDDING),
    "no embedding scale, gemma3": ("gemma3", UNSCALED_EMBEDDING),
    "embedding scale rounded to bf16": ("gemma bf16", around(embedding_scale=in_bf16)),
    "no soft cap in full layers": ("gemma2", option("gqa", "softcap", lambda _: 0.0)),
    "no soft cap in sliding layers": ("gemma2", option("sliding_window", "softcap", lambda _: 0.0)),
    "no soft cap of 50": ("gemma2 bf16", option("gqa", "softcap", lambda _: 0.0)),
    "no soft cap of the logits": ("gemma2", around(head_softcap=lambda _: 0.0)),
    "no soft cap of the logits at 30": ("gemma2 bf16", around(head_softcap=lambda _: 0.0)),
    "no soft cap of the logits, gemma3": ("gemma3 cap f16", around(head_softcap=lambda _: 0.0)),
    "no norm behind attention": ("gemma2", without_post_norm("attention")),
    "no norm behind the ffn": ("gemma3", without_post_norm("ffn")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(make: Make, runner: Callable[..., Any], fault: str) -> None:
    name, plant = FAULTS[fault]
    made = make(name)
    # What the fault leaves out would be refused as unused; the numbers are to be the ones to tell.
    deaf = attrs.evolve(made.family, ignores=(Ignore("*", "a planted fault leaves it out"),))
    model = runner(made.folder, deaf, change=plant, positions=made.positions)
    found = model.in_chunks(made.ids[0], [LENGTH])
    assert np.abs(found - made.logits[0]).max() > 2 * made.tolerance
