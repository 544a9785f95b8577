"""Faults planted in DINOv2 and CLIP: the tolerance of the reference tests catches each."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import numpy as np
import pytest

from synapse_core.families import ComponentConfig, LayerConfig
from synapse_core.graph import Constant, Function, Graph, Node, WeightRef
from synapse_core.passes.rewrite import map_functions, replace_tensors, with_nodes, without

from .conftest import MakeTower
from .tower_cases import TOLERANCE, MadeTower
from .tower_runner import encode_images, encode_texts, open_encoder

pytestmark = pytest.mark.reference

Fault = Callable[[Any], Any]
Sublayers = Callable[[Any], Any]


def tower_key(config: Any) -> str:
    return "tower" if hasattr(config, "tower") else "image"


def in_tower(config: Any, **changes: Any) -> Any:
    key = tower_key(config)
    return attrs.evolve(config, **{key: attrs.evolve(getattr(config, key), **changes)})


def in_layers(config: Any, change: Sublayers) -> Any:
    tower = getattr(config, tower_key(config))
    layers = tuple(LayerConfig(tuple(change(s) for s in layer.sublayers)) for layer in tower.layers)
    return in_tower(config, layers=layers)


def with_options(part: ComponentConfig, name: str, **options: Any) -> ComponentConfig:
    if part.name != name:
        return part
    return attrs.evolve(part, options={**part.options, **options})


def other_epsilon(sublayer: Any) -> Any:
    return attrs.evolve(sublayer, norm=with_options(sublayer.norm, "layernorm", eps=1e-6))


def activation_of(name: str, sublayer: Any) -> Any:
    return attrs.evolve(sublayer, mixer=with_options(sublayer.mixer, "gelu", activation=name))


def full_mask(sublayer: Any) -> Any:
    return attrs.evolve(sublayer, mixer=with_options(sublayer.mixer, "mha", mask="full"))


def causal_mask(sublayer: Any) -> Any:
    return attrs.evolve(sublayer, mixer=with_options(sublayer.mixer, "mha", mask="causal"))


def filled(graph: Graph, ending: str, value: float) -> Graph:
    """Put one number into every vector whose name ends so."""
    names = [name for name in graph.weights if name.endswith(ending)]
    assert names
    weights = dict(graph.weights)
    for name in names:
        numbers = np.full((1, weights[name].cols), value, np.float32)
        weights[name] = attrs.evolve(weights[name], source=Constant.of(numbers))
    return attrs.evolve(graph, weights=weights)


def norm_left_out(graph: Graph, scope: str) -> Graph:
    def change(function: Function) -> Function:
        norms = [node for node in function.nodes if _reads(node, f"{scope}.weight")]
        (norm,) = norms
        (x,) = norm.tensors()
        nodes = with_nodes(function, without(function.nodes, [norm]))
        return replace_tensors(nodes, {norm.outputs[0].name: x})

    one = {name: f for name, f in graph.functions.items() if name == "encode_image"}
    return attrs.evolve(
        graph, functions={**graph.functions, **{n: change(f) for n, f in one.items()}}
    )


def _reads(node: Node, weight: str) -> bool:
    refs = [operand.name for operand in node.inputs if isinstance(operand, WeightRef)]
    return any(name == weight or name.endswith(f".{weight}") for name in refs)


def options_of(graph: Graph, op: str, **options: Any) -> Graph:
    def change(function: Function) -> Function:
        nodes = [
            attrs.evolve(node, options={**node.options, **options}) if node.op == op else node
            for node in function.nodes
        ]
        return with_nodes(function, nodes)

    return map_functions(graph, change)


def rewritten_weight(
    graph: Graph, ending: str, change: Callable[[np.ndarray], np.ndarray]
) -> Graph:
    names = [name for name in graph.weights if name.endswith(ending)]
    assert names
    weights = dict(graph.weights)
    for name in names:
        source = weights[name].source
        assert source is not None
        numbers = source.raw().view("<f4").copy()
        weights[name] = attrs.evolve(weights[name], source=Constant.of(change(numbers)))
    return attrs.evolve(graph, weights=weights)


def turned_grid(table: np.ndarray, rows: int, cols: int) -> np.ndarray:
    grid = table[1:].reshape(cols, rows, -1).swapaxes(0, 1)
    return np.concatenate([table[:1], grid.reshape(rows * cols, -1)])


def positions_of_registers(table: np.ndarray) -> np.ndarray:
    table[1] = table[-1]
    return table


def swapped_gates(graph: Graph) -> Graph:
    weights = dict(graph.weights)
    for name in [n for n in weights if ".gate." in n]:
        other = name.replace(".gate.", ".up.")
        mine, theirs = weights[name].source, weights[other].source
        weights[name] = attrs.evolve(weights[name], source=theirs)
        weights[other] = attrs.evolve(weights[other], source=mine)
    return attrs.evolve(graph, weights=weights)


EPSILON = partial(in_layers, change=other_epsilon)
CHANGES: dict[str, tuple[str, Fault]] = {
    "dinov2 epsilon": ("dinov2", EPSILON),
    "dinov2 last epsilon": (
        "dinov2",
        lambda c: in_tower(c, norm=with_options(c.tower.norm, "layernorm", eps=1e-2)),
    ),
    "dinov2 tanh gelu": ("dinov2", partial(in_layers, change=partial(activation_of, "gelu_tanh"))),
    "dinov2 causal": ("dinov2", partial(in_layers, change=causal_mask)),
    "dinov2 antialias": ("dinov2", lambda c: in_tower(c, antialias=True)),
    "registers without antialias": ("registers", lambda c: in_tower(c, antialias=False)),
    "clip epsilon": ("clip", EPSILON),
    "clip exact gelu": ("clip", partial(in_layers, change=partial(activation_of, "gelu"))),
    "clip quick gelu": (
        "clip legacy gelu",
        partial(in_layers, change=partial(activation_of, "quick_gelu")),
    ),
    "clip antialias": ("clip other size", lambda c: in_tower(c, antialias=True)),
}
REWRITES: dict[str, tuple[str, Fault]] = {
    "no layer scale": ("dinov2", partial(filled, ending="post_norm.weight", value=1.0)),
    "no scale of attention": (
        "dinov2",
        partial(filled, ending="attention_post_norm.weight", value=1.0),
    ),
    "mean with the class row": ("dinov2 classes", partial(options_of, op="pool_rows", first=0)),
    "mean with registers": (
        "registers classes bf16",
        partial(options_of, op="pool_rows", first=1),
    ),
    "registers with positions": (
        "registers",
        partial(rewritten_weight, ending="positions", change=positions_of_registers),
    ),
    "height for width": (
        "dinov2",
        partial(
            rewritten_weight,
            ending="positions",
            change=partial(turned_grid, rows=3, cols=5),
        ),
    ),
    "gate for up": ("dinov2 gated bf16", swapped_gates),
    "no qkv bias": ("dinov2", partial(filled, ending="attention.q.bias", value=0.0)),
    "no norm before the layers": ("clip", partial(norm_left_out, scope="first_norm")),
    "no norm on the class row": ("clip", partial(norm_left_out, scope="vision_model.norm")),
}


def worst_error(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    return max(
        float(np.abs(found[name] - theirs).max() / theirs.std())
        for name, theirs in expected.items()
    )


def error_of_images(made: MadeTower, **faults: Any) -> float:
    session = open_encoder(made.folder, size=made.case.size, **faults)
    return worst_error(encode_images(session, made.pixels), made.images)


@pytest.mark.parametrize("name", CHANGES)
def test_a_fault_in_the_config_is_caught(make_tower_of: MakeTower, name: str) -> None:
    case, fault = CHANGES[name]
    assert error_of_images(make_tower_of(case), change=fault) > 2 * TOLERANCE


@pytest.mark.parametrize("name", REWRITES)
def test_a_fault_in_the_graph_is_caught(make_tower_of: MakeTower, name: str) -> None:
    case, fault = REWRITES[name]
    assert error_of_images(make_tower_of(case), rewrite=fault) > 2 * TOLERANCE


def in_text(config: Any, change: Sublayers) -> Any:
    layers = tuple(
        LayerConfig(tuple(change(s) for s in layer.sublayers)) for layer in config.text.layers
    )
    return attrs.evolve(config, text=attrs.evolve(config.text, layers=layers))


TEXT_CHANGES: dict[str, Fault] = {
    "epsilon": partial(in_text, change=other_epsilon),
    "exact gelu": partial(in_text, change=partial(activation_of, "gelu")),
    "not causal": partial(in_text, change=full_mask),
}


@pytest.mark.parametrize("name", TEXT_CHANGES)
def test_a_fault_in_the_text_tower_is_caught(make_tower_of: MakeTower, name: str) -> None:
    made = make_tower_of("clip")
    session = open_encoder(made.folder, change=TEXT_CHANGES[name])
    ends = [int(each.argmax()) for each in made.ids]
    assert worst_error(encode_texts(session, made.ids, ends), made.texts) > 2 * TOLERANCE


@pytest.mark.parametrize("case", ["clip", "clip legacy gelu"])
def test_the_last_id_for_the_first_end_is_caught(make_tower_of: MakeTower, case: str) -> None:
    made = make_tower_of(case)
    session = open_encoder(made.folder)
    last = [len(each) - 1 for each in made.ids]
    assert worst_error(encode_texts(session, made.ids, last), made.texts) > 2 * TOLERANCE


def test_another_logit_scale_is_caught(make_tower_of: MakeTower) -> None:
    made = make_tower_of("clip")
    session = open_encoder(made.folder, rewrite=partial(filled, ending="logit_scale", value=1.3))
    ends = [int(each.argmax()) for each in made.ids]
    assert worst_error(encode_texts(session, made.ids, ends), made.texts) > 2 * TOLERANCE
