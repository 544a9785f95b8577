"""Families: from a checkpoint to a graph with weights, without computing anything."""

from synapse_core.families.bind import bind_weights, ignored_tensors, made_tensors, map_entry
from synapse_core.families.choose import choose_family
from synapse_core.families.config import ComponentConfig, LayerConfig, ModelConfig, SublayerConfig
from synapse_core.families.contract import (
    Claim,
    Config,
    Entry,
    Family,
    Ignore,
    Made,
    Part,
    stacked,
    transposed,
)
from synapse_core.families.fields import (
    MOST_CONTEXT,
    MOST_HEADS,
    MOST_LAYERS,
    MOST_VOCABULARY,
    MOST_WIDTH,
    Fields,
)
from synapse_core.families.gguf_form import GgufForm, side_by_side
from synapse_core.families.graph import build_graph, model_config
from synapse_core.families.position_grid import interpolate_positions
from synapse_core.families.stack import build_token_stack, make_component

__all__ = [
    "MOST_CONTEXT",
    "MOST_HEADS",
    "MOST_LAYERS",
    "MOST_VOCABULARY",
    "MOST_WIDTH",
    "Claim",
    "ComponentConfig",
    "Config",
    "Entry",
    "Family",
    "Fields",
    "GgufForm",
    "Ignore",
    "LayerConfig",
    "Made",
    "ModelConfig",
    "Part",
    "SublayerConfig",
    "bind_weights",
    "build_graph",
    "build_token_stack",
    "choose_family",
    "ignored_tensors",
    "interpolate_positions",
    "made_tensors",
    "make_component",
    "map_entry",
    "model_config",
    "side_by_side",
    "stacked",
    "transposed",
]
