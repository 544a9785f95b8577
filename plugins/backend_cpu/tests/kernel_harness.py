"""Run one C kernel by itself: a table compiled for this machine, its records built by hand."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import cffi
import numpy as np
from synapse_backend_cpu.native import recipe
from synapse_backend_cpu.native.declarations import declared_in

from synapse_core.formats import HELD_FORMATS, format_named

RUNTIME = Path(__file__).parents[1] / "synapse_backend_cpu" / "runtime"
FLAGS = [
    "-std=c11",
    "-ffreestanding",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-O3",
]
MATH = """
#include "syn_kernel.h"
#define MAP(name) void test_##name(float *y, const float *x, uint32_t n) { \\
    for (uint32_t i = 0; i < n; i++) y[i] = syn_##name(x[i]); }
MAP(exp) MAP(tanh) MAP(erf) MAP(sigmoid) MAP(rsqrt) MAP(from_f16) MAP(from_bf16)
void test_sin(float *y, const float *x, uint32_t n) {
    float c; for (uint32_t i = 0; i < n; i++) syn_sincos(x[i], &y[i], &c); }
void test_cos(float *y, const float *x, uint32_t n) {
    float s; for (uint32_t i = 0; i < n; i++) syn_sincos(x[i], &s, &y[i]); }
void test_round_int8(int8_t *y, const float *x, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) y[i] = (int8_t)syn_round_int8(x[i]); }
void test_decode(float *y, const void *x, uint32_t dtype, uint32_t n) {
    syn_decode(y, x, dtype, n); }
void test_encode(void *y, const float *x, uint32_t dtype, uint32_t n) {
    syn_encode(y, x, dtype, n); }
void test_share(uint32_t count, uint32_t thread, uint32_t threads, uint32_t *part) {
    syn_call call = {.thread = thread, .threads = threads};
    syn_share(&call, count, &part[0], &part[1]); }
"""
DECLARED = """
extern const syn_kernel *syn_core_kernels[];
extern uint32_t syn_core_kernel_count;
void test_exp(float *, const float *, uint32_t);
void test_tanh(float *, const float *, uint32_t);
void test_erf(float *, const float *, uint32_t);
void test_sigmoid(float *, const float *, uint32_t);
void test_rsqrt(float *, const float *, uint32_t);
void test_sin(float *, const float *, uint32_t);
void test_cos(float *, const float *, uint32_t);
void test_round_int8(int8_t *, const float *, uint32_t);
void test_decode(float *, const void *, uint32_t, uint32_t);
void test_encode(void *, const float *, uint32_t, uint32_t);
void test_share(uint32_t, uint32_t, uint32_t, uint32_t *);
"""
DTYPES = {"i32": 4, **{name: format.code for name, format in HELD_FORMATS.items()}}
NONE = None


def compile_c(sources: Sequence[Path], to: Path, *flags: str) -> None:
    """Compile C files with zig; the compiler's words are the failure."""
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *flags, f"-I{RUNTIME}"]
    done = subprocess.run(
        [*command, *map(str, sources), "-o", str(to)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


_used = recipe.PLAIN


@contextmanager
def table(tier: recipe.Tier) -> Iterator[None]:
    """Use another table of kernels for a while."""
    global _used
    before, _used = _used, tier
    yield
    _used = before


def library() -> tuple[cffi.FFI, object, dict[str, object]]:
    """Return cffi's FFI, the compiled table that is used and its kernels by name."""
    return compiled(_used)


@functools.cache
def compiled(tier: recipe.Tier) -> tuple[cffi.FFI, object, dict[str, object]]:
    """Return a table of kernels, compiled."""
    ffi = cffi.FFI()
    header = (RUNTIME / "syn.h").read_text()
    types = header.split("/* CDEF */")[1].split("/* END CDEF */")[0]
    ffi.cdef(types.split("/* Check a whole program")[0] + DECLARED)
    ffi.cdef(declared_in(recipe.HOST / "pack.h"))
    folder = Path(tempfile.mkdtemp(prefix="synapse-kernels-"))
    (folder / "math.c").write_text(MATH)
    kernels = recipe.kernel_sources(tier)
    kernels += [path for path in recipe.host_sources(tier) if path.name == "pack.c"]
    flags = tier.flags or ("-mcpu=baseline",)
    compile_c([*kernels, folder / "math.c"], folder / "k.so", "-shared", "-fPIC", *flags)
    lib = ffi.dlopen(str(folder / "k.so"))
    found = [lib.syn_core_kernels[i] for i in range(lib.syn_core_kernel_count)]
    return ffi, lib, {ffi.string(kernel.name).decode(): kernel for kernel in found}


@attrs.define(eq=False)
class Operand:
    """An operand: its numbers or bytes, and the fields of its record."""

    fields: dict[str, int]
    array: np.ndarray | None = None
    buffer: np.ndarray | None = None


def tensor(
    array: np.ndarray,
    space: int = 0,
    *,
    base: int | None = None,
    multiple: int = 1,
    positions: int = 0,
    limit: int = 0,
    limit_space: int = 0,
) -> Operand:
    """Return a tensor of `array` (rows, cols); `positions` > 0 for a space with rows."""
    dtype = "i32" if array.dtype == np.int32 else "f32"
    fields = {
        "kind": 1, "dtype": DTYPES[dtype], "rows": array.shape[0], "cols": array.shape[1],
        "row_bytes": array.shape[1] * 4, "space": space, "base": space if base is None else base,
        "multiple": multiple, "flags": int(positions > 0), "max_position": positions,
        "limit": limit, "limit_space": limit_space,
    }  # fmt: skip
    return Operand(fields, np.ascontiguousarray(array))


def like(operand: Operand, cols: int | None = None, **changes: int) -> Operand:
    """Return an output with the rows of another tensor."""
    fields = {**operand.fields, **changes}
    fields["cols"] = fields["cols"] if cols is None else cols
    fields["row_bytes"] = fields["cols"] * 4
    fields["dtype"] = 1
    shape = (fields["rows"], fields["cols"])
    return Operand(fields, np.full(shape, np.nan, dtype=np.float32))


def weight(rows: np.ndarray, format: str = "f32") -> Operand:
    """Return a weight encoded in `format`; its bytes lie at an odd multiple of two."""
    rows = np.atleast_2d(rows).astype(np.float32)
    return stored(format_named(format).encode(rows), rows.shape[1], format)


def stored(raw: np.ndarray, cols: int, format: str) -> Operand:
    """Return a weight of these bytes, uint8 (rows, row_bytes)."""
    fields = {
        "kind": 2, "dtype": DTYPES[format], "rows": len(raw), "cols": cols,
        "row_bytes": raw.shape[1],
    }  # fmt: skip
    decoded = format_named(format).decode(raw, cols)
    room = np.zeros(raw.size + 66, dtype=np.uint8)
    start = (2 - room.ctypes.data) % 64
    room[start : start + raw.size] = raw.ravel()
    return Operand(fields, decoded, room[start : start + raw.size])


@attrs.define(eq=False)
class Cache:
    """A KV state: pages of one group, dealt to slots out of order."""

    width: int
    dtype: str = "f16"
    slots: int = 4
    pages: int = 40
    offset: int = 16
    head: int = 0
    pool: np.ndarray = attrs.field(init=False)
    table: np.ndarray = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.pool = np.full((self.pages, self.page_bytes), 0xFF, dtype=np.uint8)  # NaN
        order = np.random.default_rng(7).permutation(self.pages).astype(np.uint32)
        self.table = order.reshape(self.slots, -1).copy()

    @property
    def bytes(self) -> int:
        return 128 * format_named(self.dtype).row_bytes(self.width)

    @property
    def page_bytes(self) -> int:
        return (self.offset + self.bytes + 15) // 8 * 8

    def operand(self) -> Operand:
        fields = {
            "kind": 3, "dtype": DTYPES[self.dtype], "cols": self.width, "width_v": self.width,
            "state_kind": 1, "offset": self.offset, "bytes": self.bytes,
            "page_bytes": self.page_bytes, "head": self.head,
        }  # fmt: skip
        return Operand(fields)


def word(value: float | int) -> int:
    """Pack an attribute: a float's bits or an integer."""
    if isinstance(value, float):
        return int(np.float32(value).view(np.uint32))
    return value


def make_op(
    inputs: Sequence[Operand | None], outputs: Sequence[Operand], attributes: Sequence[float | int]
) -> tuple[object, object]:
    """Return a syn_op without data, and the attribute words that it points to."""
    ffi, _, _ = library()
    op = ffi.new("syn_op *")
    words = ffi.new("uint32_t[12]", [word(value) for value in attributes])
    op.inputs, op.outputs, op.attributes = len(inputs), len(outputs), words
    for target, operands in ((getattr(op, "in"), inputs), (op.out, outputs)):
        for number, operand in enumerate(operands):
            for name, value in (operand.fields if operand else {}).items():
                setattr(target[number], name, value)
    return op, words


def check(
    name: str,
    inputs: Sequence[Operand | None],
    outputs: Sequence[Operand],
    attributes: Sequence[float | int] = (),
) -> int:
    """Return what a kernel's check says."""
    op, _words = make_op(inputs, outputs, attributes)
    return int(library()[2][name].check(op))


def run(
    name: str,
    inputs: Sequence[Operand | None],
    outputs: Sequence[Operand],
    attributes: Sequence[float | int] = (),
    *,
    rows: Mapping[int, tuple[Sequence[int], Sequence[int]]] | None = None,
    cache: Cache | None = None,
    threads: int = 1,
    packed: bool = False,
) -> list[np.ndarray]:
    """Check and run a kernel, perhaps on packed weights; return its outputs.

    Scratch has exactly the bytes that the kernel asked for and starts as garbage; it and every
    output are followed by bytes that must not change.
    """
    ffi, _, kernels = library()
    kernel = kernels[name]
    op, words = make_op(inputs, outputs, attributes)
    assert kernel.check(op) == 0
    need = int(kernel.scratch_bytes(op, threads))
    scratch = np.full(need + 128, 0xA5, dtype=np.uint8)
    start = -scratch.ctypes.data % 64
    rooms = []
    copies: list[np.ndarray | None] = []
    for target, operands in ((getattr(op, "in"), inputs), (op.out, outputs)):
        for number, operand in enumerate(operands):
            if operand is None or (operand.array is None and operand.buffer is None):
                continue
            data = operand.buffer
            if data is None:
                data = np.full(operand.array.nbytes + 128, 0xA5, dtype=np.uint8)
                data = data[-data.ctypes.data % 64 :]
                data[: operand.array.nbytes] = operand.array.view(np.uint8).ravel()
            rooms.append((operand, data))
            target[number].data = ffi.cast("uint8_t *", data.ctypes.data)
            if packed and operand.fields["kind"] == 2:
                copies.append(_packed(target[number], int(words[0])))
                if copies[-1] is not None:
                    target[number].packed = ffi.cast("uint8_t *", copies[-1].ctypes.data)
    barrier = threading.Barrier(threads)
    wait = ffi.callback("void(void *)", lambda _context: (barrier.wait(), None)[1])
    keep = [wait, words]
    calls = []
    for thread in range(threads):
        call = ffi.new("syn_call *")
        call.thread, call.threads = thread, threads
        call.scratch = ffi.cast("uint8_t *", scratch.ctypes.data + start)
        call.scratch_bytes = need
        call.barrier = wait if threads > 1 else ffi.NULL
        for space, (slot, position) in (rows or {}).items():
            pair = ffi.new("uint32_t[]", list(slot)), ffi.new("uint32_t[]", list(position))
            keep.append(pair)
            call.rows[space].count = len(slot)
            call.rows[space].slot, call.rows[space].position = pair
        if cache is not None:
            call.pages[0].pool = ffi.cast("uint8_t *", cache.pool.ctypes.data)
            call.pages[0].pages, call.pages[0].per_slot = cache.pages, cache.table.shape[1]
            call.pages[0].table = ffi.cast("uint32_t *", cache.table.ctypes.data)
        calls.append(call)
    workers = [threading.Thread(target=kernel.run, args=(op, call)) for call in calls]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert (scratch[:start] == 0xA5).all()
    assert (scratch[start + need :] == 0xA5).all()
    results = []
    for operand, data in rooms:
        if operand.buffer is None:
            assert (data[operand.array.nbytes :] == 0xA5).all(), "wrote beyond an operand"
        if any(operand is out for out in outputs):
            shape = (operand.fields["rows"], operand.fields["cols"])
            results.append(data[: operand.array.nbytes].view(np.float32).reshape(shape).copy())
    return results


def _packed(weight: Any, arith: int) -> np.ndarray | None:
    """Return a product's weight as the table packs it, at a multiple of 64, or None."""
    ffi, lib, _ = library()
    shape = weight.dtype, weight.rows, weight.cols
    size = lib.syn_packed_bytes(weight.dtype, arith, weight.rows, weight.cols)
    if not size:
        return None
    to = np.full(size + 64, 0xA5, dtype=np.uint8)
    to = to[-to.ctypes.data % 64 :][:size]
    groups = -(-weight.rows // 16)
    for first in range(groups):
        lib.syn_pack(ffi.cast("uint8_t *", to.ctypes.data), weight.data, *shape, first, first + 1)
    return to


def run_same(name: str, *operands: object, **options: object) -> list[np.ndarray]:
    """Run with one thread, with three, and on packed weights; the bits must be the same."""
    one = run(name, *operands, **options)  # type: ignore[arg-type]
    for others in ({"threads": 3}, {"packed": True}):
        again = run(name, *operands, **others, **options)  # type: ignore[arg-type]
        for a, b in zip(one, again, strict=True):
            np.testing.assert_array_equal(a.view(np.uint32), b.view(np.uint32))
    return one
