"""Families: from a checkpoint to a graph with weights, without computing anything."""

from synapse_core.families.bind import bind_weights, ignored_tensors
from synapse_core.families.choose import choose_family
from synapse_core.families.config import ComponentConfig, LayerConfig, ModelConfig, SublayerConfig
from synapse_core.families.contract import Claim, Family, Ignore, Part, stacked
from synapse_core.families.fields import (
    MOST_CONTEXT,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    Fields,
)
from synapse_core.families.graph import build_graph, model_config
from synapse_core.families.stack import build_token_stack, make_component

__all__ = [
    "MOST_CONTEXT",
    "MOST_HEADS",
    "MOST_LAYERS",
    "MOST_VOCABULARY",
    "MOST_WIDTH",
    "Claim",
    "ComponentConfig",
    "Family",
    "Fields",
    "Ignore",
    "LayerConfig",
    "ModelConfig",
    "Part",
    "SublayerConfig",
    "bind_weights",
    "build_graph",
    "build_token_stack",
    "choose_family",
    "ignored_tensors",
    "make_component",
    "model_config",
    "stacked",
]
