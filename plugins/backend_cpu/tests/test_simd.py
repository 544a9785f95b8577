"""The vector header against numpy, for each processor whose code runs here."""

from __future__ import annotations

from pathlib import Path

import cffi
import mpmath
import numpy as np
import pytest
from synapse_backend_cpu.native import recipe
from synapse_backend_cpu.native.compiler import target
from synapse_backend_cpu.native.library import features

from .kernel_harness import compile_c

CALLS = Path(__file__).with_name("simd_calls.c")
MAPS = (
    "exp", "sigmoid", "tanh", "erf", "copysign", "abs", "max", "min", "fma", "select", "round",
    "index",
)  # fmt: skip
DECLARED = """
uint32_t lanes(void);
float sum(const float *);
float top(const float *);
void halves(float *, const uint16_t *, uint32_t, uint32_t);
void dot4(int32_t *, const int32_t *, const int8_t *, const int8_t *, uint32_t);
""" + "".join(f"void map_{n}(float *, const float *, const float *, uint32_t);" for n in MAPS)
# The plain table's flags give the header four lanes by the compiler alone.
TIERS = [tier for tier in recipe.tiers_of(target()) if tier.name != "amx"]
LARGEST_EXP_ULP = 2


@pytest.fixture(scope="module", params=TIERS, ids=lambda tier: tier.name)
def simd(request, tmp_path_factory):
    """The header's functions as one processor has them: a library, and cffi."""
    if request.param.feature & ~features():
        pytest.skip(f"this processor cannot run {request.param.name}")
    to = tmp_path_factory.mktemp("simd") / "calls.so"
    flags = request.param.flags or ("-mcpu=baseline",)
    compile_c([CALLS], to, "-shared", "-fPIC", *flags)
    ffi = cffi.FFI()
    ffi.cdef(DECLARED)
    return ffi.dlopen(str(to)), ffi


def pointer(ffi, array, kind):
    return ffi.cast(f"{kind} *", array.ctypes.data)


def mapped(simd, name, a, b=None):
    """A function over arrays of any length; what lies around the result must not change."""
    library, ffi = simd
    a = np.ascontiguousarray(a, np.float32)
    b = a if b is None else np.ascontiguousarray(b, np.float32)
    room = np.full(a.size + 64, 12345, np.float32)
    y = room[32 : 32 + a.size]
    call = getattr(library, f"map_{name}")
    call(*(pointer(ffi, array, "float") for array in (y, a, b)), a.size)
    assert (room[:32] == 12345).all()
    assert (room[32 + a.size :] == 12345).all()
    return y


def ulps(got, want):
    """The largest error in units in the last place of the true value."""
    return (np.abs(got - want) / np.spacing(np.abs(want).astype(np.float32))).max()


SPECIAL = np.float32([0, -0.0, 1, -1, 1e-45, 3e38, -3e38, np.inf, -np.inf, np.nan])


@pytest.mark.parametrize("size", range(1, 40))
def test_parts_of_vectors_are_read_and_written(simd, size):
    x = np.random.default_rng(size).standard_normal(size).astype(np.float32)
    np.testing.assert_array_equal(mapped(simd, "abs", x), np.abs(x))
    np.testing.assert_array_equal(mapped(simd, "index", x), np.arange(size))


def test_the_larger_and_the_smaller_leave_a_second_that_is_no_number(simd):
    a, b = (np.ravel(x) for x in np.meshgrid(SPECIAL, SPECIAL))
    with np.errstate(invalid="ignore"):
        larger, smaller = np.where(a > b, a, b), np.where(a < b, a, b)
    np.testing.assert_array_equal(mapped(simd, "max", a, b), larger)
    np.testing.assert_array_equal(mapped(simd, "min", a, b), smaller)
    np.testing.assert_array_equal(mapped(simd, "select", a, b), np.where(a > b, a, np.float32(7)))


def test_multiply_and_add_is_close(simd):
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 1000)).astype(np.float32)
    want = a.astype(np.float64) * b + a
    error = np.abs(mapped(simd, "fma", a, b) - want)
    assert (error <= 2.0**-23 * (np.abs(a * b) + np.abs(want))).all()


def test_exp_is_within_its_bound(simd):
    x = np.linspace(-87, 88, 100_003, dtype=np.float32)
    want = np.exp(x.astype(np.float64))
    error = np.abs(mapped(simd, "exp", x) - want) / np.spacing(want.astype(np.float32))
    assert error.max() <= LARGEST_EXP_ULP


def test_exp_of_what_is_too_large_or_no_number(simd):
    y = mapped(simd, "exp", np.float32([np.inf, 1000, -np.inf, -1000, np.nan, 0]))
    np.testing.assert_array_equal(y, np.float32([np.inf, np.inf, 0, 0, np.nan, 1]))
    tiny = mapped(simd, "exp", np.float32([-95]))[0]
    assert abs(tiny - np.exp(-95.0)) <= 2.0**-148


def test_functions_are_within_the_bounds_of_the_scalar_ones(simd):
    x = np.concatenate([np.linspace(-80, 80, 100_003), np.linspace(-3, 3, 100_003)])
    x = np.concatenate([x, np.geomspace(1e-8, 1, 10_001)]).astype(np.float32)
    exact = x.astype(np.float64)
    assert ulps(mapped(simd, "sigmoid", x), 1 / (1 + np.exp(-exact))) <= 3
    assert ulps(mapped(simd, "tanh", x), np.tanh(exact)) <= 2
    few = np.concatenate([x[::50], np.float32([0.92773, 0.927734375, 0.92774])])
    want = np.array([float(mpmath.erf(float(value))) for value in few])
    assert ulps(mapped(simd, "erf", few), want) <= 2


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid"])
def test_functions_end_where_the_scalar_ones_do(simd, name):
    x = np.float32([np.inf, -np.inf, 3e38, -3e38, np.nan, 0.0])
    low, middle = (0.0, 0.5) if name == "sigmoid" else (-1.0, 0.0)
    want = np.float32([1, low, 1, low, np.nan, middle])
    np.testing.assert_array_equal(mapped(simd, name, x), want)


def test_a_sign_is_copied_from_any_number(simd):
    a, b = (np.ravel(x) for x in np.meshgrid(SPECIAL, SPECIAL))
    got, want = mapped(simd, "copysign", a, b), np.copysign(a, b)
    np.testing.assert_array_equal(got.view(np.uint32), want.view(np.uint32))


def test_rounding_is_to_the_nearest_and_ties_to_even(simd):
    x = np.concatenate([np.arange(-40, 40) / 2, [4194303.5, -2097151.25]]).astype(np.float32)
    np.testing.assert_array_equal(mapped(simd, "round", x), np.rint(x))


def test_lanes_are_added_and_compared(simd):
    library, ffi = simd
    x = np.random.default_rng(5).standard_normal(16).astype(np.float32)
    part = x[: library.lanes()]
    assert abs(library.sum(pointer(ffi, x, "float")) - part.sum(dtype=np.float64)) <= 1e-5
    assert library.top(pointer(ffi, x, "float")) == part.max()


@pytest.mark.parametrize("which", range(4))
def test_every_half_is_widened_exactly(simd, which):
    library, ffi = simd
    every = np.arange(1 << 16, dtype=np.uint16)
    y = np.zeros(1 << 16, np.float32)
    words = every.size // (1 if which < 2 else 2)
    library.halves(pointer(ffi, y, "float"), pointer(ffi, every, "uint16_t"), words, which)
    if which > 1:  # a vector of the low halves, then one of the high ones
        lanes = library.lanes()
        y = np.ascontiguousarray(y.reshape(-1, 2, lanes).transpose(0, 2, 1)).ravel()
    if which in (0, 2):
        want = every.view(np.float16).astype(np.float32)
    else:
        want = (every.astype(np.uint32) << 16).view(np.float32)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(y[number].view(np.uint32), want[number].view(np.uint32))
    assert np.isnan(y[~number]).all()


def test_products_of_four_bytes_are_exact(simd):
    library, ffi = simd
    rng = np.random.default_rng(8)
    ends = np.array(np.meshgrid([-128, -127, 0, 127], [-127, 127])).reshape(2, -1).repeat(4, axis=1)
    a = np.concatenate([ends[0], rng.integers(-128, 128, 4 * 4096 - ends.shape[1])])
    b = np.concatenate([ends[1], rng.integers(-127, 128, 4 * 4096 - ends.shape[1])])
    start = rng.integers(-(2**30), 2**30, 4096).astype(np.int32)
    y = np.zeros(4096, np.int32)
    library.dot4(
        pointer(ffi, y, "int32_t"), pointer(ffi, start, "int32_t"),
        pointer(ffi, a8 := a.astype(np.int8), "int8_t"),
        pointer(ffi, b8 := b.astype(np.int8), "int8_t"), 4096,
    )  # fmt: skip
    want = start + (a8.astype(np.int32) * b8).reshape(-1, 4).sum(axis=1)
    np.testing.assert_array_equal(y, want)
