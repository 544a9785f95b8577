"""The runtime's own math against float64, in units in the last place; halves exhaustively."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from .kernel_harness import library

pytestmark = pytest.mark.usefixtures("tier")

SEED = np.random.default_rng(20260102)


def ours(name: str, x: np.ndarray) -> np.ndarray:
    ffi, lib, _ = library()
    x = np.ascontiguousarray(x, dtype=np.float32)
    y = np.empty_like(x)
    getattr(lib, f"test_{name}")(
        ffi.cast("float *", y.ctypes.data), ffi.cast("float *", x.ctypes.data), x.size
    )
    return y


def ulps(got: np.ndarray, want: np.ndarray) -> float:
    """Return the largest error in units in the last place of the true value."""
    want = want.astype(np.float64)
    with np.errstate(over="ignore"):
        unit = np.spacing(np.abs(want).astype(np.float32)).astype(np.float64)
    return float((np.abs(got.astype(np.float64) - want) / unit).max())


def spread(low: float, high: float) -> np.ndarray:
    """Numbers of every size in ±[low, high], and evenly spaced ones."""
    size = np.exp(SEED.uniform(np.log(low), np.log(high), 100_000))
    return np.concatenate([size, -size, np.linspace(-high, high, 100_001)]).astype(np.float32)


def test_exp():
    x = spread(1e-8, 87.0)
    assert ulps(ours("exp", x), np.exp(x.astype(np.float64))) < 1.1


def test_exp_ends():
    x = np.array([0.0, -np.inf, np.inf, np.nan, 88.8, -105.0, -3.4e38, 3.4e38], dtype=np.float32)
    want = np.array([1, 0, np.inf, np.nan, np.inf, 0, 0, np.inf], dtype=np.float32)
    np.testing.assert_array_equal(ours("exp", x), want)


def test_exp_of_subnormal_results():
    x = np.linspace(-103.9, -87.0, 10_001).astype(np.float32)
    assert np.abs(ours("exp", x) - np.exp(x.astype(np.float64))).max() < 1.5e-45 * 1.1 + 1.5e-45


def test_tanh():
    x = spread(1e-8, 12.0)
    assert ulps(ours("tanh", x), np.tanh(x.astype(np.float64))) < 2


def test_sigmoid():
    x = spread(1e-8, 80.0)
    assert ulps(ours("sigmoid", x), 1 / (1 + np.exp(-x.astype(np.float64)))) < 3


def test_erf():
    x = np.concatenate([spread(1e-6, 4.5)[::40], np.float32([0, 0.92773, 0.92774, 10, 100])])
    want = np.array([float(mpmath.erf(float(value))) for value in x])
    assert ulps(ours("erf", x), want) < 2


@pytest.mark.parametrize("name", ["tanh", "erf", "sigmoid"])
def test_limits(name):
    x = np.array([np.inf, -np.inf, 3e38, -3e38, np.nan], dtype=np.float32)
    low = 0.0 if name == "sigmoid" else -1.0
    np.testing.assert_array_equal(ours(name, x), np.float32([1, low, 1, low, np.nan]))


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_of_any_angle(name):
    hard = np.float32([np.pi / 4, np.pi / 2, np.pi, 16367173 * 2.0**72, 2.0**24, 3.4e38, 1e-30])
    steps = (np.arange(1, 60) * np.pi / 2).astype(np.float32)
    whole = SEED.integers(0, 2**24, 2000).astype(np.float32)
    near = SEED.uniform(-20, 20, 3000).astype(np.float32)
    x = np.concatenate([hard, -hard, steps, whole, near])
    with mpmath.workprec(400):
        want = np.array([float(getattr(mpmath, name)(mpmath.mpf(float(v)))) for v in x])
    assert ulps(ours(name, x), want) < 3


@pytest.mark.parametrize("name", ["sin", "cos"])
def test_sine_of_no_angle_is_nan(name):
    assert np.isnan(ours(name, np.float32([np.inf, -np.inf, np.nan]))).all()


def decode(halves: np.ndarray, dtype: int) -> np.ndarray:
    ffi, lib, _ = library()
    y = np.empty(halves.size, dtype=np.float32)
    lib.test_decode(ffi.cast("float *", y.ctypes.data), ffi.cast("void *", halves.ctypes.data),
                    dtype, halves.size)  # fmt: skip
    return y


def encode(x: np.ndarray, dtype: int) -> np.ndarray:
    ffi, lib, _ = library()
    y = np.empty(x.size, dtype=np.uint16)
    lib.test_encode(ffi.cast("void *", y.ctypes.data), ffi.cast("float *", x.ctypes.data),
                    dtype, x.size)  # fmt: skip
    return y


def test_every_f16():
    halves = np.arange(65536, dtype=np.uint16)
    want = halves.view(np.float16).astype(np.float32)
    got = decode(halves, 2)
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(want))
    real = ~np.isnan(want)
    np.testing.assert_array_equal(encode(got, 2)[real], halves[real])
    assert np.isnan(encode(got, 2)[~real].view(np.float16)).all()


def test_f16_rounds_to_nearest_even():
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middle = (halves[1:] + halves[:-1]) / 2
    x = np.concatenate([middle, np.nextafter(middle, 0), np.nextafter(middle, np.inf), -middle])
    x = np.concatenate([x, np.float32([65519.9, 65520, 1e9, np.inf, 1e-8, 1e-40])])
    x = x.astype(np.float32)
    with np.errstate(over="ignore"):
        want = x.astype(np.float16)
    np.testing.assert_array_equal(encode(x, 2), want.view(np.uint16))


def test_every_bf16():
    halves = np.arange(65536, dtype=np.uint16)
    got = decode(halves, 3)
    np.testing.assert_array_equal(got.view(np.uint32), halves.astype(np.uint32) << 16)
    real = ~np.isnan(got)
    np.testing.assert_array_equal(encode(got, 3)[real], halves[real])


def test_bf16_rounds_to_nearest_even():
    x = np.float32([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3.4e38, np.nan, -0.0])
    assert encode(x, 3).tolist() == [0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x7FC0, 0x8000]


def test_round_int8():
    ffi, lib, _ = library()
    x = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.4, 300, -300, np.inf, -np.inf, np.nan])
    y = np.empty(x.size, dtype=np.int8)
    lib.test_round_int8(ffi.cast("int8_t *", y.ctypes.data), ffi.cast("float *", x.ctypes.data),
                        x.size)  # fmt: skip
    assert y.tolist() == [0, 2, 2, 0, -2, 126, 127, 127, -127, 127, -127, 0]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 1000, 0xFFFFFFFF])
@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_shares_cover_all_once(count, threads):
    ffi, lib, _ = library()
    part, at = ffi.new("uint32_t[2]"), 0
    for thread in range(threads):
        lib.test_share(count, thread, threads, part)
        assert part[0] == at
        at = part[1]
    assert at == count
