"""Families: from a checkpoint to a graph with weights, without computing anything."""

from synapse_core.families.bind import (
    bind_weights,
    flattened,
    ignored_tensors,
    made_tensors,
    map_entry,
)
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
from synapse_core.families.image_tower import (
    ENCODE_IMAGE,
    IMAGES,
    MOST_CHANNELS,
    MOST_PIXELS,
    MOST_REGISTERS,
    PIXELS,
    ImageShape,
    ImageTower,
    build_image_tower,
    encoder_layer,
    image_input,
)
from synapse_core.families.position_grid import interpolate_positions
from synapse_core.families.stack import build_layers, build_token_stack, make_component

__all__ = [
    "ENCODE_IMAGE",
    "IMAGES",
    "MOST_CHANNELS",
    "MOST_CONTEXT",
    "MOST_HEADS",
    "MOST_LAYERS",
    "MOST_PIXELS",
    "MOST_REGISTERS",
    "MOST_VOCABULARY",
    "MOST_WIDTH",
    "PIXELS",
    "Claim",
    "ComponentConfig",
    "Config",
    "Entry",
    "Family",
    "Fields",
    "GgufForm",
    "Ignore",
    "ImageShape",
    "ImageTower",
    "LayerConfig",
    "Made",
    "ModelConfig",
    "Part",
    "SublayerConfig",
    "bind_weights",
    "build_graph",
    "build_image_tower",
    "build_layers",
    "build_token_stack",
    "choose_family",
    "encoder_layer",
    "flattened",
    "ignored_tensors",
    "image_input",
    "interpolate_positions",
    "made_tensors",
    "make_component",
    "map_entry",
    "model_config",
    "side_by_side",
    "stacked",
    "transposed",
]
