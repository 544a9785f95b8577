"""A decoder whose attention, feed-forward, norm, position and op are all named `mine`."""

import attrs

from synapse_core.families import (
    Claim,
    ComponentConfig,
    Family,
    Fields,
    LayerConfig,
    ModelConfig,
    SublayerConfig,
)
from synapse_core.graph import FunctionBuilder, Tensor, WeightScope

WIDTH, VOCABULARY, CONTEXT, HEADS, HEAD_DIM = 32, 270, 64, 4, 8
NORM = ComponentConfig("norm", "mine", {"bias": True})
TURNED = ComponentConfig("position", "mine", {"head_dim": HEAD_DIM, "longest": 1000.0})
SIZES = {"heads": HEADS, "head_dim": HEAD_DIM}
MIXERS = {
    "attention": ComponentConfig("attention", "mine", SIZES),
    "turned": ComponentConfig("attention", "gqa", {**SIZES, "kv_heads": 2, "position": TURNED}),
    "ffn": ComponentConfig("ffn", "mine", {"hidden": 48}),
    "slopes": ComponentConfig("ffn", "all_slopes"),
}


@attrs.frozen
class Slopes:
    """out(mine(x)): (T, C) → (T, C)."""

    def build(self, g: FunctionBuilder, x: Tensor, w: WeightScope) -> Tensor:
        """Add it; weights: `slope` (C), `out` (C × C)."""
        width = x.type.cols
        y = g.op("mine", x, w.vector("slope", width))
        return g.linear(y, w.matrix("out.weight", width, width))


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json: the number of layers is all that it says."""
    sublayers = tuple(SublayerConfig(name, NORM, mixer) for name, mixer in MIXERS.items())
    return ModelConfig(
        family="all",
        width=WIDTH,
        vocabulary=VOCABULARY,
        context=CONTEXT,
        layers=(LayerConfig(sublayers),) * read.whole("num_hidden_layers", most=8),
        norm=NORM,
        tied=True,
    )


_NORMS = [f"{norm}.{part}" for norm in MIXERS for part in ("alpha", "weight", "bias")]
_OF_LAYER = (
    *(name.replace(".", "_norm.", 1) for name in _NORMS),
    *(f"attention.{part}.weight" for part in ("q", "k", "v", "gate", "o")),
    *(f"turned.{part}.weight" for part in ("q", "k", "v", "o")),
    *(f"ffn.{part}.weight" for part in ("up", "down")),
    "slopes.slope",
    "slopes.out.weight",
)
_NAMES = (
    "embedding.weight",
    *(f"layers.{{n}}.{name}" for name in _OF_LAYER),
    *(f"norm.{part}" for part in ("alpha", "weight", "bias")),
)
FAMILY = Family(
    name="all",
    claims=(Claim(hf="AllForCausalLM"),),
    config={"hf": from_hf},
    weights={"hf": {name: name for name in _NAMES}},
)
