"""The op corpus: every core op, formats and arithmetics, odd shapes, masks, mixed slots.

Each case is a graph of one op (and what it takes to feed it), so that a failure names the op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from synapse_core.formats import BLOCK_FORMATS, HELD_FORMATS
from synapse_core.graph import FunctionBuilder, GraphBuilder, Tensor, WeightScope
from synapse_core.ops import I32, RowTable, Scalar, StateType, TensorType
from synapse_core.ops.sample import COLUMNS, halves_of
from synapse_core.program import Limits
from synapse_core.testing.case import Call, Case, fill_weights, finder, rows

MIXED = ((2, 0, 4), (0, 0, 1), (1, 0, 7))
LINEARS = (
    ("f32", "f32"),
    ("f16", "f32"),
    ("bf16", "f32"),
    ("bf16", "bf16"),
    ("int8", "f32"),
    ("int8", "a8/row"),
    *((format, arith) for format in BLOCK_FORMATS for arith in ("f32", "a8/32")),
)
ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "quick_gelu", "relu", "sigmoid", "tanh")


def corpus() -> tuple[Case, ...]:
    """Return all cases."""
    return tuple(
        case
        for part in (
            _tables(),
            _linears(),
            _norms(),
            _elementwise(),
            _ropes(),
            _attention(),
            _rows(),
            _samples(),
        )
        for case in part
    )


def _single(
    name: str,
    op: str,
    columns: Sequence[int],
    weights: Sequence[tuple[int, int] | None] = (),
    format: str = "f32",
    **options: Scalar,
) -> Case:
    """A case of one op over tokens: tensors of these columns, then weights (None: no operand)."""
    g = GraphBuilder(finder())
    f = g.function("f")
    tokens = f.space("tokens")
    inputs = [f.input(f"x{n}", TensorType(tokens, cols)) for n, cols in enumerate(columns)]
    scope = WeightScope(g)
    refs = [size and scope.matrix(f"w{n}", *size) for n, size in enumerate(weights)]
    for number, tensor in enumerate(f.op_n(op, *inputs, *refs, **options)):
        f.output(f"y{number}", tensor)
    graph = fill_weights(g.finish(), 21, {f"w{n}": format for n in range(len(weights))})
    return Case(
        name, graph, _float_calls(inputs), Limits(rows={"tokens": 12}, slots=3, positions=16)
    )


def _float_calls(inputs: Sequence[Tensor], table: RowTable | None = None) -> tuple[Call, ...]:
    rng = np.random.default_rng(22)
    calls = []
    for given in (table,) if table is not None else (rows(*MIXED), rows((1, 0, 1))):
        shape = len(given)
        values = {t.name: 2 * rng.standard_normal((shape, t.type.cols), np.float32) for t in inputs}
        calls.append(Call("f", values, {"tokens": given}))
    return tuple(calls)


def _tables() -> Iterator[Case]:
    for format, held in HELD_FORMATS.items():
        cols = max(32, held.block)
        g = GraphBuilder(finder())
        f = g.function("f")
        ids = f.input("ids", TensorType(f.space("tokens"), 1, I32, limit=13))
        w = WeightScope(g)
        x = f.op("embedding", ids, w.matrix("table", 13, cols), scale=1.5)
        f.output("y", f.op("add_positions", x, w.matrix("positions", 19, cols), offset=3))
        graph = fill_weights(g.finish(), 23, {"table": format, "positions": format})
        values = {"ids": np.array([3, 0, 12, 12, 5, 1, 2, 3, 4, 5, 6, 7])}
        call = Call("f", values, {"tokens": rows(*MIXED)})
        limits = Limits(rows={"tokens": 12}, slots=3, positions=16)
        yield Case(f"embedding[{format}]", graph, (call,), limits)


def _linears() -> Iterator[Case]:
    for format, arith in LINEARS:
        block = BLOCK_FORMATS[format].block if format in BLOCK_FORMATS else 1
        for cols in (block, 3 * block) if block > 1 else (1, 7, 37, 129):
            pairs = ((5, cols), (1, 5), (3, cols), None)
            yield _linear(f"linear[{format},{arith},{cols}]", cols, pairs, format, arith)


def _linear(
    name: str, cols: int, pairs: Sequence[tuple[int, int] | None], format: str, arith: str
) -> Case:
    g = GraphBuilder(finder())
    f = g.function("f")
    x = f.input("x", TensorType(f.space("tokens"), cols))
    scope = WeightScope(g)
    refs = [size and scope.matrix(f"w{n}", *size) for n, size in enumerate(pairs)]
    for number, tensor in enumerate(f.op_n("linear", x, *refs, arith=arith)):
        f.output(f"y{number}", tensor)
    held = {f"w{n}": format for n, size in enumerate(pairs) if size and size[0] > 1}
    graph = fill_weights(g.finish(), 24, held)
    limits = Limits(rows={"tokens": 12}, slots=3, positions=16)
    return Case(name, graph, _float_calls([x]), limits)


def _norms() -> Iterator[Case]:
    for cols, width in ((1, 1), (37, 37), (60, 12), (256, 256)):
        yield _single(f"rmsnorm[{cols}/{width}]", "rmsnorm", (cols,), ((1, width),), eps=1e-5)
        sizes = ((1, width), (1, width))
        for weights in (sizes, (None, None), (sizes[0], None)):
            shown = "".join("-" if size is None else "w" for size in weights)
            yield _single(
                f"layernorm[{cols}/{width},{shown}]",
                "layernorm",
                (cols,),
                weights,
                eps=1e-5,
                width=width,
            )
    yield _single("add_rmsnorm", "add_rmsnorm", (37, 37), ((1, 37),), eps=1e-6)
    yield _single("add_layernorm", "add_layernorm", (37, 37), ((1, 37), (1, 37)), eps=1e-6)
    yield _single("add_layernorm[plain]", "add_layernorm", (9, 9), (None, None), eps=1e-6)


def _elementwise() -> Iterator[Case]:
    for op in ("add", "mul"):
        yield _single(op, op, (37, 37))
        yield _single(f"{op}[vector]", op, (37,), ((1, 37),))
    yield _single("scale", "scale", (5,), factor=-1.25)
    yield _single("softcap", "softcap", (37,), cap=1.5)
    yield _single("slice_columns", "slice_columns", (37,), start=5, width=11)
    for kind in ACTIVATIONS:
        yield _single(f"activation[{kind}]", "activation", (37,), kind=kind)
        yield _single(f"gated_activation[{kind}]", "gated_activation", (37, 37), kind=kind)


def _ropes() -> Iterator[Case]:
    for style in ("half", "interleaved"):
        for head_dim, rotary in ((8, 8), (10, 6), (2, 2)):
            yield _single(
                f"rope[{style},{head_dim}/{rotary}]",
                "rope",
                (3 * head_dim,),
                ((1, rotary // 2),),
                head_dim=head_dim,
                rotary_dim=rotary,
                style=style,
                magnitude=1.25,
            )


def _attention() -> Iterator[Case]:
    for kv in ("f32", "f16", "bf16"):
        for mask, window in (("causal", 0), ("window", 3), ("window", 70), ("full", 0)):
            for heads, kv_heads, head_dim, cap in ((4, 2, 6, 0.0), (3, 1, 8, 2.0)):
                name = f"attention[cache,{kv},{mask}{window or ''},{heads}/{kv_heads}]"
                yield _attend(name, heads, kv_heads, head_dim, cap, mask, window, kv)
    for heads, kv_heads, mask, window in ((2, 1, "causal", 0), (2, 2, "window", 70)):
        name = f"attention[cache,q8_0,{mask},{heads}/{kv_heads}]"
        yield _attend(name, heads, kv_heads, 32, 0.0, mask, window, "q8_0")
    for mask, window in (("causal", 0), ("window", 2), ("full", 0)):
        yield _attend(f"attention[call,{mask}]", 3, 3, 5, 0.0, mask, window, None)


def _attend(
    name: str,
    heads: int,
    kv_heads: int,
    head_dim: int,
    cap: float,
    mask: str,
    window: int,
    kv: str | None,
) -> Case:
    g = GraphBuilder(finder())
    f = g.function("f")
    tokens = f.space("tokens")
    sizes = (heads * head_dim, kv_heads * head_dim, kv_heads * head_dim)
    inputs = [f.input(n, TensorType(tokens, size)) for n, size in zip("qkv", sizes, strict=True)]
    state = g.state(StateType("kv", "kv", sizes[1], sizes[2], window)) if kv else None
    y = f.op(
        "attention", *inputs, state, heads=heads, kv_heads=kv_heads, head_dim=head_dim,
        mask=mask, window=window, scale=0.5, softcap=cap,
    )  # fmt: skip
    f.output("y", y)
    tables = [rows((0, 0, 70), (2, 0, 3)), rows((2, 3, 1), (0, 70, 1)), rows((1, 0, 1))]
    if kv is None:
        tables = [rows(*MIXED)]
    elif mask == "full":
        tables = [rows((0, 0, 70), (2, 0, 3)), rows((0, 70, 5))]
    calls = tuple(call for table in tables for call in _float_calls(inputs, table))
    limits = Limits(rows={"tokens": 80}, slots=3, positions=320, kv=kv or "f32")
    return Case(name, g.finish(), calls, limits)


def _append_row(f: FunctionBuilder, x: Tensor, where: str) -> Tensor:
    row = WeightScope(f.graph).vector("row", x.type.cols)
    return f.op("append_row", x, row, where=where)


def _rows() -> Iterator[Case]:
    yield _single_space("select_rows[derived]", lambda f, x: f.op("select_rows", x, None, row=2))
    yield _single_space("pool_rows", lambda f, x: f.op("pool_rows", x))
    yield _single_space("pool_rows[first]", lambda f, x: f.op("pool_rows", x, first=2))
    for where in ("front", "back"):
        yield _single_space(
            f"append_row[{where}]",
            partial(_append_row, where=where),
        )
    g = GraphBuilder(finder())
    f = g.function("f")
    tokens, outputs = f.space("tokens"), f.space("outputs", rows=False)
    x = f.input("x", TensorType(tokens, 9))
    index = f.input("index", TensorType(outputs, 1, I32, limit_space="tokens"))
    f.output("y", f.op("select_rows", x, index))
    rng = np.random.default_rng(26)
    values = {"x": rng.standard_normal((12, 9), np.float32), "index": np.array([11, 0, 0, 5])}
    call = Call("f", values, {"tokens": rows(*MIXED)})
    limits = Limits(rows={"tokens": 12, "outputs": 4}, slots=3, positions=16)
    yield Case("select_rows[index]", g.finish(), (call,), limits)


def _single_space(name: str, build: Callable[[FunctionBuilder, Tensor], Tensor]) -> Case:
    """A case over patches of images: 2 channels of 6 × 9 pixels, in patches of 3."""
    g = GraphBuilder(finder())
    f: FunctionBuilder = g.function("f")
    image = f.input("image", TensorType(f.space("images"), 2 * 6 * 9))
    patches = f.op("patches", image, channels=2, height=6, width=9, patch=3)
    f.output("patches", patches)
    f.output("y", build(f, patches))
    rng = np.random.default_rng(25)
    values = {"image": rng.standard_normal((3, 108), np.float32)}
    call = Call("f", values, {"images": rows((1, 0, 1), (0, 0, 1), (2, 0, 1))})
    limits = Limits(rows={"images": 3}, slots=3, positions=2)
    return Case(name, fill_weights(g.finish(), 27), (call,), limits)


def _samples() -> Iterator[Case]:
    """Rows with a wish each: greedy, drawn from all, by k, by p, by least share, from equals."""
    wishes = np.zeros((6, COLUMNS), dtype=np.float32)
    wishes[:, 4] = 1
    wishes[:, 0] = 0, 1.5, 0.8, 2, 3, 1
    wishes[:, 1] = 0, 0, 7, 0, 40, 9
    wishes[:, 2] = 1, 1, 1, 0.6, 0.95, 0.5
    wishes[4, 3] = 0.1
    for row in range(6):
        wishes[row, 7:] = [*halves_of(0x123456789ABCDEF0 + row), *halves_of(row << 33)]
    wishes[3:, 4:7] = 1.3, 0.5, 0.25
    rng = np.random.default_rng(28)
    for size in (1, 64, 131):
        logits = (3 * rng.standard_normal((6, size))).astype(np.float32)
        logits[5] = np.round(logits[5])
        logits[1, size // 2 + 1 :] = -np.inf
        for sort in ("plain", "charged", "masked"):
            yield _sample(f"sample[{sort},{size}]", logits, wishes, sort, rng)


def _sample(
    name: str, logits: np.ndarray, wishes: np.ndarray, sort: str, rng: np.random.Generator
) -> Case:
    size = logits.shape[1]
    g = GraphBuilder(finder())
    f = g.function("f")
    outputs = f.space("outputs", rows=False)
    x = f.input("logits", TensorType(outputs, size))
    settings = f.input("settings", TensorType(outputs, COLUMNS))
    values = {"logits": logits, "settings": wishes}
    ids, owners, charges, mask = None, None, None, None
    if sort != "plain":
        charged = f.space("charged", rows=False)
        ids = f.input("ids", TensorType(charged, 1, I32, limit=size))
        owners = f.input("owners", TensorType(charged, 1, I32, limit_space="outputs"))
        charges = f.input("charges", TensorType(charged, 2))
        values["ids"] = rng.integers(0, size, (30, 1))
        values["owners"] = rng.integers(0, 6, (30, 1))
        values["charges"] = rng.integers(0, 3, (30, 2)).astype(np.float32)
    if sort == "masked":
        mask = f.input("mask", TensorType(outputs, -(-size // 16)))
        values["mask"] = rng.integers(1, 1 << 16, (6, -(-size // 16))).astype(np.float32)
    f.output("y", f.op("sample", x, settings, ids, owners, charges, mask))
    limits = Limits(rows={"outputs": 6, "charged": 30}, slots=1)
    return Case(name, g.finish(), (Call("f", values, {}),), limits)
