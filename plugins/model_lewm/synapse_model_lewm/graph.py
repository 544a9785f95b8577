"""The graph of a world model: `encode_image` makes latents of images, `predict` the next ones.

Letters: B images, T rows of windows, C the encoder's width, D the latent's, A numbers an action,
H the predictor's width.
"""

from __future__ import annotations

import attrs

from synapse_core.components import Gelu, LayerNorm, Learned, MultiHeadAttention
from synapse_core.families import (
    ENCODE_IMAGE,
    ComponentConfig,
    ImageShape,
    ImageTower,
    build_image_tower,
    encoder_layer,
)
from synapse_core.graph import FunctionBuilder, GraphBuilder, Tensor, WeightScope
from synapse_core.hookspecs import Registry
from synapse_core.ops import TensorType
from synapse_model_lewm.config import Actions, Encoder, Head, LewmConfig, Predictor

# Of the norms without weights around a told layer, and of those with inside (module.py).
BLOCK_EPS, INNER_EPS = 1e-6, 1e-5
PREDICT, WINDOW = "predict", "window"
CHANNELS = 3


def build(builder: GraphBuilder, config: LewmConfig, registry: Registry) -> None:
    """Add both functions."""
    w = WeightScope(builder)
    g = builder.function(ENCODE_IMAGE)
    cls = encode(g, w / "encoder", config.encoder, registry)  # (B, C)
    g.output("embedding", project(g, cls, w / "projector", config.projector))  # (B, D)
    g.output("pooled", cls)
    g = builder.function(PREDICT)
    space = g.space(WINDOW)
    latents = g.input("latents", TensorType(space, config.predictor.input))
    actions = g.input("actions", TensorType(space, config.actions.input))
    told = embed(g, actions, w / "actions", config.actions)  # (T, D)
    x = predict(g, latents, told, w / "predictor", config.predictor)
    g.output("prediction", project(g, x, w / "pred_proj", config.pred_proj))  # (T, D)
    if config.narrow:
        for name, weight in builder.weights.items():
            builder.weights[name] = attrs.evolve(weight, exact=True)


def encode(g: FunctionBuilder, w: WeightScope, config: Encoder, registry: Registry) -> Tensor:
    """Add images and their CLS rows, normalised: (B, 3·side²) → (B, C).

    Source: Dosovitskiy et al. 2020, eq. 1-4.
    """
    side = config.image
    layer = encoder_layer(
        width=config.width,
        heads=config.heads,
        hidden=config.ffn,
        eps=config.eps,
        activation=config.activation,
    )
    tower = ImageTower(
        image=ImageShape(channels=CHANNELS, height=side, width=side, patch=config.patch),
        width=config.width,
        layers=(layer,) * config.layers,
        norm=ComponentConfig("norm", "layernorm", {"eps": config.eps}),
    )
    x = build_image_tower(g, w, tower, registry)
    cls = g.op("select_rows", x, None, row=0)
    return LayerNorm(eps=config.eps).build(g, cls, w / "norm")


def project(g: FunctionBuilder, x: Tensor, w: WeightScope, config: Head | None) -> Tensor:
    """A projector: (T, input) → (T, output)."""
    if config is None:
        return x
    h = linear(g, x, w / "up", config.hidden)
    if config.norm == "batch":
        norm = w / "norm"
        names = ("mean", "variance", "weight", "bias")
        h = g.op("batchnorm", h, *(norm.vector(n, config.hidden) for n in names), eps=config.eps)
    elif config.norm == "layer":
        h = LayerNorm(eps=config.eps).build(g, h, w / "norm")
    return linear(g, g.op("activation", h, kind=config.activation), w / "down", config.output)


def embed(g: FunctionBuilder, actions: Tensor, w: WeightScope, config: Actions) -> Tensor:
    """Actions to what tells the predictor: (T, A) → (T, D)."""
    x = linear(g, actions, w / "smooth", config.smoothed)  # a convolution over one step
    x = g.op("activation", linear(g, x, w / "up", config.hidden), kind="silu")
    return linear(g, x, w / "down", config.output)


def predict(
    g: FunctionBuilder, latents: Tensor, told: Tensor, w: WeightScope, config: Predictor
) -> Tensor:
    """Latents and what tells them to the predictor's rows: (T, D) twice → (T, output).

    Source: Maes et al. 2026, section 3.2; adaLN-zero: Peebles & Xie 2022, section 3.2.
    """
    x = Learned(context=config.frames).build(g, latents, w / "positions")
    if config.input != config.hidden:
        x = linear(g, x, w / "input", config.hidden)
        told = linear(g, told, w / "condition", config.hidden)
    told = g.op("activation", told, kind="silu")
    for number in range(config.layers):
        layer = w / f"layers.{number}"
        shift, scale, gate = _modulations(g, told, layer / "modulation.attention")
        h = _modulated(g, x, shift, scale)
        h = g.op("mul", _attend(g, h, layer / "attention", config), gate)
        x = g.op("add", x, h)
        shift, scale, gate = _modulations(g, told, layer / "modulation.ffn")
        h = LayerNorm(eps=INNER_EPS).build(g, _modulated(g, x, shift, scale), layer / "ffn.norm")
        h = g.op("mul", Gelu(hidden=config.ffn).build(g, h, layer / "ffn"), gate)
        x = g.op("add", x, h)
    x = LayerNorm(eps=INNER_EPS).build(g, x, w / "norm")
    return linear(g, x, w / "output", config.output) if config.hidden != config.output else x


def linear(g: FunctionBuilder, x: Tensor, w: WeightScope, rows: int) -> Tensor:
    """x · wᵀ + b: (T, cols) → (T, rows)."""
    return g.linear(x, w.matrix("weight", rows, x.type.cols), w.vector("bias", rows))


def _modulations(g: FunctionBuilder, told: Tensor, w: WeightScope) -> tuple[Tensor, Tensor, Tensor]:
    """Return shift, 1 + scale and gate of half a layer, (T, H) each."""
    width = told.type.cols

    def part(name: str, transform: str = "") -> Tensor:
        scope = w / name
        bias = scope.vector("bias", width, transform)
        return g.linear(told, scope.matrix("weight", width, width), bias)

    return part("shift"), part("scale", "one_plus"), part("gate")


def _modulated(g: FunctionBuilder, x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    h = LayerNorm(eps=BLOCK_EPS, affine=False, bias=False).build(g, x, WeightScope(g.graph))
    return g.op("add", g.op("mul", h, scale), shift)


def _attend(g: FunctionBuilder, x: Tensor, w: WeightScope, config: Predictor) -> Tensor:
    """Causal attention within a window, with a norm of its own before: (T, H) → (T, H)."""
    heads, head_dim = config.heads, config.head_dim
    x = LayerNorm(eps=INNER_EPS).build(g, x, w / "norm")
    if heads > 1 or head_dim != config.hidden:
        mixer = MultiHeadAttention(heads=heads, head_dim=head_dim, biases="o", source="call")
        return mixer.build(g, x, w)
    # One head as wide as the model goes without an output projection.
    q, k, v = (g.linear(x, (w / p).matrix("weight", head_dim, config.hidden)) for p in "qkv")
    sizes = {"heads": 1, "kv_heads": 1, "head_dim": head_dim, "scale": head_dim**-0.5}
    return g.op("attention", q, k, v, None, mask="causal", **sizes)
