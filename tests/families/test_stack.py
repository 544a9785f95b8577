"""The token stack: where norms stand, and which context the graph is built for."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from synapse_core.errors import FileError
from synapse_core.families import (
    ComponentConfig,
    Family,
    Fields,
    LayerConfig,
    ModelConfig,
    SublayerConfig,
    build_graph,
)
from synapse_core.plugins import default_host

FAMILY = Family(name="toy", claims=(), config={}, weights={})
NORM = ComponentConfig("norm", "rmsnorm", {"eps": 1e-6})
AFTER = ComponentConfig("norm", "rmsnorm", {"eps": 1e-6, "one_plus": True})
DYNAMIC = {"type": "dynamic", "factor": 2.0, "original_max_position_embeddings": 32}


def config_of(post_norm: ComponentConfig | None = None, **scaling: Any) -> ModelConfig:
    """Return a model of one layer."""
    rope = ComponentConfig("position", "rope", {"head_dim": 8, "theta": 1e4, "scaling": scaling})
    options = {"heads": 2, "kv_heads": 1, "head_dim": 8, "position": rope}
    attention = ComponentConfig("attention", "gqa", options)
    ffn = ComponentConfig("ffn", "swiglu", {"hidden": 20})
    layer = LayerConfig(
        (
            SublayerConfig("attention", NORM, attention, post_norm),
            SublayerConfig("ffn", NORM, ffn, post_norm),
        )
    )
    return ModelConfig(
        family="toy",
        width=12,
        vocabulary=30,
        context=64,
        layers=(layer,),
        norm=NORM,
        tied=True,
    )


def inv_freq(config: ModelConfig, context: int | None = None) -> np.ndarray:
    """Return the frequencies that a graph was built with."""
    weight = build_graph(FAMILY, config, default_host(), context).weights["rope.inv_freq"]
    assert weight.source is not None
    return weight.source.raw().view(np.float32)


def test_a_norm_behind_a_sublayer_stands_between_it_and_the_addition() -> None:
    graph = build_graph(FAMILY, config_of(AFTER), default_host())
    nodes = graph.function("forward").nodes
    makers = {tensor.name: node for node in nodes for tensor in node.outputs}
    for addition in (node for node in nodes if node.op == "add"):
        added = makers[addition.inputs[1].name]
        assert added.op == "rmsnorm"
        assert makers[added.inputs[0].name].op == "linear"
    assert graph.weights["layers.0.attention_post_norm.weight"].transform == "one_plus"
    assert graph.weights["layers.0.ffn_post_norm.weight"].transform == "one_plus"
    assert graph.weights["layers.0.attention_norm.weight"].transform == ""


def test_without_one_the_sublayer_itself_is_added() -> None:
    graph = build_graph(FAMILY, config_of(), default_host())
    assert not [name for name in graph.weights if "post_norm" in name]


def test_a_norm_behind_a_sublayer_survives_json() -> None:
    config = config_of(AFTER)
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize("lie", [3, {"kind": "ffn", "name": "swiglu", "options": {}}])
def test_a_lie_about_it_is_refused_by_key(lie: Any) -> None:
    plain = config_of(AFTER).layers[0].sublayers[0].to_json()
    plain["post_norm"] = lie
    with pytest.raises(FileError, match="post_norm"):
        SublayerConfig.from_json(Fields("config", plain))


def test_a_graph_is_built_for_the_context_asked_and_for_the_models_own_otherwise() -> None:
    config, plain = config_of(**DYNAMIC), config_of()
    np.testing.assert_array_equal(inv_freq(config, 32), inv_freq(plain))
    assert (inv_freq(config, 33)[0, 1:] < inv_freq(plain)[0, 1:]).all()
    np.testing.assert_array_equal(inv_freq(config), inv_freq(config, 64))
    assert (inv_freq(config, 64)[0, 1:] < inv_freq(config, 33)[0, 1:]).all()
