"""Five toy models, one for each shape of model that the toolkit is for.

A causal decoder, an image encoder, a recurrent scan, a world model's window predictor, two towers:
together they use every row space, mask, source and state there is.
"""

from __future__ import annotations

import numpy as np

from synapse_core.graph import (
    FunctionBuilder,
    GraphBuilder,
    StateRef,
    Tensor,
    WeightScope,
)
from synapse_core.ops import I32, Op, Scalar, StateType, TensorType
from synapse_core.passes import optimise
from synapse_core.program import Limits
from synapse_core.testing.case import Call, Case, fill_weights, finder, rows


def toys(scan: Op) -> tuple[Case, ...]:
    """Return the five; `scan` is the op of a plugin that the recurrent one needs."""
    return (
        causal_decoder(),
        image_encoder(),
        recurrent_scan(scan),
        window_predictor(),
        two_towers(),
    )


def causal_decoder(format: str = "f32", kv: str = "f16", window: int = 5) -> Case:
    """Two blocks with grouped queries, qk-norm, rope, a window in the second, a tied head.

    Window 0: none.
    """
    vocabulary, width, heads, kv_heads, hidden = 67, 64, 4, 2, 96
    head_dim = 32 if kv == "q8_0" else 16
    g = GraphBuilder(finder())
    f = g.function("forward")
    tokens, outputs = f.space("tokens"), f.space("outputs", rows=False)
    ids = f.input("ids", TensorType(tokens, 1, I32, limit=vocabulary))
    select = f.input("select", TensorType(outputs, 1, I32, limit_space="tokens"))
    w = WeightScope(g)
    table = w.matrix("embedding", vocabulary, width)
    x = f.op("embedding", ids, table)
    frequencies = (10000.0 ** (-np.arange(0, head_dim, 2) / head_dim)).astype(np.float32)
    inv_freq = g.constant("rope", frequencies)
    for layer, behind in enumerate((0, window)):
        s = w / f"layers.{layer}"
        state = g.state(
            StateType(f"kv.{layer}", "kv", kv_heads * head_dim, kv_heads * head_dim, behind)
        )
        h = f.op("rmsnorm", x, s.vector("norm1", width), eps=1e-6)
        turned = {}
        for name, count in (("q", heads), ("k", kv_heads)):
            p = f.linear(
                h, s.matrix(name, count * head_dim, width), s.vector(f"{name}_b", count * head_dim)
            )
            p = f.op("rmsnorm", p, s.vector(f"{name}_norm", head_dim), eps=1e-6)
            turned[name] = f.op(
                "rope", p, inv_freq, head_dim=head_dim, rotary_dim=head_dim, style="half"
            )
        v = f.linear(h, s.matrix("v", kv_heads * head_dim, width))
        a = _attend(
            f,
            turned["q"],
            turned["k"],
            v,
            state,
            heads=heads,
            kv_heads=kv_heads,
            head_dim=head_dim,
            mask="window" if behind else "causal",
            window=behind,
        )
        x = f.op("add", x, f.linear(a, s.matrix("o", width, heads * head_dim)))
        h = f.op("rmsnorm", x, s.vector("norm2", width), eps=1e-6)
        gate = f.op("activation", f.linear(h, s.matrix("gate", hidden, width)), kind="silu")
        up = f.linear(h, s.matrix("up", hidden, width))
        x = f.op("add", x, f.linear(f.op("mul", gate, up), s.matrix("down", width, hidden)))
    x = f.op("select_rows", x, select)
    x = f.op("rmsnorm", x, w.vector("norm", width), eps=1e-6)
    f.output("logits", f.op("softcap", f.linear(x, table), cap=30.0))
    graph = g.finish()
    held = {name: format for name, weight in graph.weights.items() if weight.rows > 1}
    rng = np.random.default_rng(11)

    def call(*runs: tuple[int, int, int]) -> Call:
        table = rows(*runs)
        every = np.arange(len(table))
        return Call(
            "forward",
            {"ids": rng.integers(0, vocabulary, len(table)), "select": every},
            {"tokens": table},
        )

    calls = (
        call((0, 0, 7)),
        call((1, 0, 3), (0, 7, 1)),
        call((0, 8, 5), (2, 0, 2), (1, 3, 4)),
        call((1, 4, 2)),
        call((2, 2, 66)),
    )
    limits = Limits(rows={"tokens": 80, "outputs": 80}, slots=3, positions=96, kv=kv)
    return Case(
        f"causal_decoder[{format},{kv}]", optimise(fill_weights(graph, 1, held)), calls, limits
    )


def image_encoder() -> Case:
    """Patches, a class row, learned positions, full attention; three images in one call."""
    size, patch, channels, width, heads = 12, 4, 3, 24, 3
    patches = (size // patch) ** 2
    g = GraphBuilder(finder())
    f = g.function("encode_image")
    images = f.space("images")
    pixels = f.input("pixels", TensorType(images, channels * size * size))
    w = WeightScope(g)
    x = f.op("patches", pixels, channels=channels, height=size, width=size, patch=patch)
    x = f.linear(x, w.matrix("patch", width, channels * patch * patch), w.vector("patch_b", width))
    x = f.op("append_row", x, w.vector("class", width), where="front")
    x = f.op("add_positions", x, w.matrix("positions", patches + 1, width))
    h = f.op(
        "layernorm", x, w.vector("ln1", width), w.vector("ln1_b", width), eps=1e-12, width=width
    )
    q, k, v = (
        f.linear(h, w.matrix(name, width, width), w.vector(f"{name}_b", width)) for name in "qkv"
    )
    a = _attend(f, q, k, v, heads=heads, kv_heads=heads, head_dim=width // heads, mask="full")
    x = f.op("add", x, f.linear(a, w.matrix("o", width, width), w.vector("o_b", width)))
    h = f.op(
        "layernorm", x, w.vector("ln2", width), w.vector("ln2_b", width), eps=1e-12, width=width
    )
    h = f.op(
        "activation", f.linear(h, w.matrix("up", 40, width), w.vector("up_b", 40)), kind="gelu"
    )
    x = f.op("add", x, f.linear(h, w.matrix("down", width, 40), w.vector("down_b", width)))
    f.output("class", f.op("select_rows", x, None, row=0))
    f.output("mean", f.op("pool_rows", x))
    rng = np.random.default_rng(12)

    def call(*slots: int) -> Call:
        inputs = {"pixels": rng.standard_normal((len(slots), channels * size * size), np.float32)}
        return Call("encode_image", inputs, {"images": rows(*((slot, 0, 1) for slot in slots))})

    limits = Limits(rows={"images": 3}, slots=3, positions=4)
    graph = optimise(fill_weights(g.finish(), 2))
    return Case("image_encoder", graph, (call(0, 1, 2), call(2), call(1, 0)), limits)


def recurrent_scan(scan: Op) -> Case:
    """A gated recurrence through a plugin's op (x, decay; a recurrent state): y = s = a·s + x."""
    width = 20
    g = GraphBuilder(finder((scan,)))
    f = g.function("forward")
    tokens = f.space("tokens")
    x = f.input("x", TensorType(tokens, width))
    w = WeightScope(g)
    h = f.linear(x, w.matrix("in", width, width))
    state = g.state(StateType("scan", "recurrent", width))
    decay = g.constant("decay", np.linspace(0.5, 0.99, width, dtype=np.float32))
    y = f.op(scan.name, h, decay, state)
    gate = f.op("activation", f.linear(x, w.matrix("gate", width, width)), kind="sigmoid")
    f.output("y", f.linear(f.op("mul", gate, y), w.matrix("out", width, width)))
    rng = np.random.default_rng(13)

    def call(*runs: tuple[int, int, int]) -> Call:
        table = rows(*runs)
        inputs = {"x": rng.standard_normal((len(table), width), np.float32)}
        return Call("forward", inputs, {"tokens": table})

    calls = (
        call((0, 0, 5)),
        call((1, 0, 2), (0, 5, 3)),
        call((0, 8, 1), (1, 2, 1)),
        call((1, 0, 4)),
    )
    limits = Limits(rows={"tokens": 16}, slots=2, positions=64)
    return Case("recurrent_scan", optimise(fill_weights(g.finish(), 3)), calls, limits, (scan,))


def window_predictor() -> Case:
    """Up to three past latents a slot, each conditioned on its action by shift, scale and gate."""
    width, heads, head_dim = 24, 2, 8
    inner = heads * head_dim
    g = GraphBuilder(finder())
    f = g.function("predict")
    tokens = f.space("tokens")
    latents = f.input("latents", TensorType(tokens, width))
    actions = f.input("actions", TensorType(tokens, width))
    w = WeightScope(g)
    x = f.op("add_positions", latents, w.matrix("positions", 3, width))
    c = f.linear(
        f.op("activation", actions, kind="silu"),
        w.matrix("modulation", 3 * width, width),
        w.vector("modulation_b", 3 * width),
    )
    shift, scale, gate = (f.op("slice_columns", c, start=n * width, width=width) for n in range(3))
    h = f.op("layernorm", x, None, None, eps=1e-6, width=width)
    h = f.op("add", f.op("add", h, f.op("mul", h, scale)), shift)
    h = f.op(
        "layernorm", h, w.vector("norm", width), w.vector("norm_b", width), eps=1e-5, width=width
    )
    q, k, v = (f.linear(h, w.matrix(name, inner, width)) for name in "qkv")
    a = _attend(f, q, k, v, heads=heads, kv_heads=heads, head_dim=head_dim, mask="causal")
    h = f.linear(a, w.matrix("o", width, inner), w.vector("o_b", width))
    f.output("next", f.op("add", x, f.op("mul", h, gate)))
    rng = np.random.default_rng(14)

    def call(*runs: tuple[int, int, int]) -> Call:
        table = rows(*runs)
        shape = (len(table), width)
        inputs = {
            "latents": rng.standard_normal(shape, np.float32),
            "actions": rng.standard_normal(shape, np.float32),
        }
        return Call("predict", inputs, {"tokens": table})

    calls = (call((0, 0, 3)), call((2, 0, 1), (0, 0, 3), (1, 0, 2)), call((1, 0, 1)))
    limits = Limits(rows={"tokens": 9}, slots=3, positions=3)
    return Case("window_predictor", optimise(fill_weights(g.finish(), 4)), calls, limits)


def two_towers() -> Case:
    """One graph, two functions: images and texts into one space, as CLIP does."""
    vocabulary, width, heads, joint, size, patch = 41, 16, 2, 12, 8, 4
    g = GraphBuilder(finder())
    w = WeightScope(g)

    f = g.function("encode_image")
    images = f.space("images")
    pixels = f.input("pixels", TensorType(images, size * size))
    x = f.op("patches", pixels, channels=1, height=size, width=size, patch=patch)
    x = _tower(
        f, f.linear(x, w.matrix("image.patch", width, patch * patch)), w / "image", heads, "full"
    )
    x = f.op("pool_rows", x)
    f.output("embedding", f.linear(x, w.matrix("image.joint", joint, width)))

    f = g.function("encode_text")
    tokens, texts = f.space("tokens"), f.space("texts", rows=False)
    ids = f.input("ids", TensorType(tokens, 1, I32, limit=vocabulary))
    ends = f.input("ends", TensorType(texts, 1, I32, limit_space="tokens"))
    x = f.op("embedding", ids, w.matrix("text.embedding", vocabulary, width), scale=2.0)
    x = f.op("add_positions", x, w.matrix("text.positions", 16, width))
    x = f.op("select_rows", _tower(f, x, w / "text", heads, "causal"), ends)
    x = f.op("scale", f.linear(x, w.matrix("text.joint", joint, width)), factor=1.7)
    f.output("embedding", x)

    rng = np.random.default_rng(15)
    texts_rows = rows((0, 0, 5), (2, 0, 1), (1, 0, 9))
    calls = (
        Call(
            "encode_text",
            {"ids": rng.integers(0, vocabulary, len(texts_rows)), "ends": np.array([4, 5, 14])},
            {"tokens": texts_rows},
        ),
        Call(
            "encode_image",
            {"pixels": rng.standard_normal((3, size * size), np.float32)},
            {"images": rows((0, 0, 1), (1, 0, 1), (2, 0, 1))},
        ),
    )
    limits = Limits(rows={"tokens": 16, "texts": 3, "images": 3}, slots=3, positions=16)
    return Case("two_towers", optimise(fill_weights(g.finish(), 5)), calls, limits)


def _tower(f: FunctionBuilder, x: Tensor, w: WeightScope, heads: int, mask: str) -> Tensor:
    width = x.type.cols
    h = f.op("layernorm", x, w.vector("ln", width), w.vector("ln_b", width), eps=1e-5, width=width)
    q, k, v = (
        f.linear(h, w.matrix(name, width, width), w.vector(f"{name}_b", width)) for name in "qkv"
    )
    a = _attend(f, q, k, v, heads=heads, kv_heads=heads, head_dim=width // heads, mask=mask)
    x = f.op("add", x, f.linear(a, w.matrix("o", width, width)))
    h = f.op(
        "layernorm", x, w.vector("ln2", width), w.vector("ln2_b", width), eps=1e-5, width=width
    )
    h = f.op("activation", f.linear(h, w.matrix("up", 2 * width, width)), kind="quick_gelu")
    return f.op("add", x, f.linear(h, w.matrix("down", width, 2 * width)))


def _attend(
    f: FunctionBuilder,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    state: StateRef | None = None,
    **options: Scalar,
) -> Tensor:
    scale = float(np.float32(int(options["head_dim"]) ** -0.5))
    return f.op("attention", q, k, v, state, scale=scale, **options)
