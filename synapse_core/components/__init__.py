"""Components: named, config-driven builders of a piece of graph."""

from synapse_core.components.attention import (
    GroupedQueryAttention,
    MultiHeadAttention,
    MultiQueryAttention,
    SlidingWindow,
)
from synapse_core.components.contract import Mixer, Norm, Position
from synapse_core.components.ffn import GeGlu, Gelu, SwiGlu
from synapse_core.components.norm import LayerNorm, RmsNorm
from synapse_core.components.position import Learned, Rope, Sinusoidal
from synapse_core.components.rope_scaling import SCALINGS, RopeBasis, Scaling

__all__ = [
    "SCALINGS",
    "GeGlu",
    "Gelu",
    "GroupedQueryAttention",
    "LayerNorm",
    "Learned",
    "Mixer",
    "MultiHeadAttention",
    "MultiQueryAttention",
    "Norm",
    "Position",
    "RmsNorm",
    "Rope",
    "RopeBasis",
    "Scaling",
    "Sinusoidal",
    "SlidingWindow",
    "SwiGlu",
]
