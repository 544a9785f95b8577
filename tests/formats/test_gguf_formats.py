"""The block formats of GGUF: decoded as the gguf package does, encoded as llama.cpp does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synapse_core.errors import UsageError
from synapse_core.formats import BLOCK_FORMATS, CARRIED, FORMATS, I8_G16

gguf = pytest.importorskip("gguf")
SMALL = ("q4_0", "q4_1", "q5_0", "q5_1")
SUPER = ("q4_k", "q5_k", "q6_k")
OF_GGUF = tuple(name for name in (*BLOCK_FORMATS, *CARRIED) if name != "i8g16")
# Where a type keeps float16 scales and minima; iq1_m's is strewn, mxfp4 has an exponent.
HALVES = {
    "q8_0": (0,), "q4_0": (0,), "q4_1": (0, 2), "q5_0": (0,), "q5_1": (0, 2), "q4_k": (0, 2),
    "q5_k": (0, 2), "q6_k": (208,), "q2_k": (80, 82), "q3_k": (108,), "iq4_nl": (0,),
    "iq4_xs": (0,), "iq3_s": (0,), "iq3_xxs": (0,), "iq2_s": (0,), "iq2_xs": (0,), "iq2_xxs": (0,),
    "iq1_s": (0,), "tq1_0": (52,), "tq2_0": (64,), "iq1_m": (), "mxfp4": (),
}  # fmt: skip
# Zero, less than zero, infinite, no number, the least and the greatest
EDGE_SCALES = (0.0, -0.0, -1.5, np.inf, -np.inf, np.nan, 2.0**-24, 65504.0)
# Units: mean squared error of 1000 × 1024 numbers, standard normal or of Student's t with 3
# degrees, times 0.03, from numpy's default_rng(7). Made by ggml_quantize_chunk without importance
# of ggml 0.25.3 as llama-cpp-python 0.3.36 builds it on x86-64.
LLAMA_CPP = {
    ("normal", "q4_k"): 4.585712e-06, ("normal", "q5_k"): 1.174243e-06,
    ("normal", "q6_k"): 2.833890e-07, ("student", "q4_k"): 2.308232e-05,
    ("student", "q5_k"): 6.002473e-06, ("student", "q6_k"): 1.800106e-06,
}  # fmt: skip


def gguf_decode(raw: np.ndarray, name: str) -> np.ndarray:
    with np.errstate(all="ignore"):
        return gguf.quants.dequantize(raw, gguf.GGMLQuantizationType[name.upper()])


def random_bytes(name: str, rows: int = 40, cols: int = 1024) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 256, (rows, FORMATS[name].row_bytes(cols)), dtype=np.uint8)


def edge_blocks(name: str) -> np.ndarray:
    """One block a row: every edge scale in every field, over bits all zero, all one, random."""
    block_bytes = FORMATS[name].row_bytes(FORMATS[name].block)
    noise = np.random.default_rng(4).integers(0, 256, block_bytes, dtype=np.uint8)
    rows = []
    for body in (np.zeros(block_bytes, np.uint8), np.full(block_bytes, 255, np.uint8), noise):
        rows.append(body)
        for at in HALVES[name]:
            for scale in EDGE_SCALES:
                block = body.copy()
                block[at : at + 2] = np.array([scale], "<f2").view(np.uint8)
                rows.append(block)
    for exponent in range(256) if name == "mxfp4" else ():
        rows.append(np.concatenate([np.uint8([exponent]), noise[1:]]))
    return np.stack(rows)


def assert_same_bits(found: np.ndarray, expected: np.ndarray) -> None:
    """Every bit of every number; of a NaN only that it is one."""
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), ~number)
    np.testing.assert_array_equal(found.view(np.uint32)[number], expected.view(np.uint32)[number])


@pytest.mark.parametrize("name", OF_GGUF)
def test_block_and_bytes_are_gguf_s(name):
    type = gguf.GGMLQuantizationType[name.upper()]
    format = FORMATS[name]
    assert gguf.GGML_QUANT_SIZES[type] == (format.block, format.row_bytes(format.block))
    assert format.accepts(3 * format.block)
    assert not format.accepts(format.block + 16)
    assert not format.accepts(0)


@pytest.mark.parametrize("name", OF_GGUF)
def test_any_bytes_decode_to_gguf_s_bits(name):
    raw = random_bytes(name)
    expected = gguf_decode(raw, name)
    assert len(np.unique(expected)) > 256
    assert_same_bits(FORMATS[name].decode(raw, 1024), expected)
    assert_same_bits(FORMATS[name].split(raw, 1024).numbers(), expected)


@pytest.mark.parametrize("name", OF_GGUF)
def test_edge_blocks_decode_to_gguf_s_bits(name):
    raw = edge_blocks(name)
    assert_same_bits(
        FORMATS[name].split(raw, FORMATS[name].block).numbers(), gguf_decode(raw, name)
    )


@pytest.mark.parametrize("name", CARRIED)
@pytest.mark.parametrize("blocks", [random_bytes, edge_blocks])
def test_the_carrier_has_every_bit_of_what_it_carries(name, blocks):
    raw = blocks(name)
    cols = raw.shape[1] // CARRIED[name].block_bytes * CARRIED[name].block
    carried = I8_G16.join(CARRIED[name].split(raw, cols))
    assert carried.shape == (len(raw), I8_G16.row_bytes(cols))
    assert_same_bits(I8_G16.decode(carried, cols), gguf_decode(raw, name))


@pytest.mark.parametrize("name", CARRIED)
def test_what_is_carried_cannot_be_written(name):
    assert CARRIED[name].code == 0
    with pytest.raises(UsageError, match=rf"{name} can be read, not written.*i8g16"):
        CARRIED[name].encode(np.zeros((1, 256), np.float32))


@pytest.mark.parametrize("name", BLOCK_FORMATS)
def test_parts_are_the_numbers(name):
    format = BLOCK_FORMATS[name]
    x = np.random.default_rng(5).standard_normal((7, 512), np.float32)
    raw = format.encode(x)
    parts = format.split(raw, 512)
    assert parts.codes.dtype == np.int8
    assert parts.codes.shape == (7, 512 // format.run, format.run)
    assert parts.scale.dtype == np.float32
    assert parts.scale.shape == (7, 512 // format.run)
    assert_same_bits(format.decode(raw, 512), parts.numbers())
    scaled = np.float64(parts.scale)[..., None] * parts.codes
    if parts.minimum is not None:
        scaled += np.float64(parts.minimum)[..., None]
    np.testing.assert_allclose(parts.numbers().ravel(), scaled.ravel(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=60, deadline=None)
@given(
    x=arrays(
        np.float32,
        (3, 64),
        # Where 1 / scale is finite; beyond, codes are saturated here and undefined there
        elements=st.floats(-1000, 1000, width=32).map(lambda v: v if abs(v) > 1e-30 else 0.0),
    )
)
def test_small_blocks_have_the_bytes_of_gguf(name, x):
    type = gguf.GGMLQuantizationType[name.upper()]
    np.testing.assert_array_equal(FORMATS[name].encode(x), gguf.quants.quantize(x, type))


@pytest.mark.parametrize("name", SMALL)
def test_small_blocks_of_normal_numbers_have_the_bytes_of_gguf(name):
    x = np.random.default_rng(6).standard_normal((500, 256), np.float32)
    type = gguf.GGMLQuantizationType[name.upper()]
    np.testing.assert_array_equal(FORMATS[name].encode(x), gguf.quants.quantize(x, type))


@pytest.mark.parametrize(("law", "name"), LLAMA_CPP)
def test_super_blocks_err_as_llama_cpp_s_within_a_hundredth(law, name):
    rng = np.random.default_rng(7)
    shape = (1000, 1024)
    x = rng.standard_normal(shape, np.float32) if law == "normal" else rng.standard_t(3, shape)
    x = x.astype(np.float32) * np.float32(0.03)
    found = FORMATS[name].decode(FORMATS[name].encode(x), 1024)
    error = np.square(found - x, dtype=np.float64).mean()
    assert error <= 1.01 * LLAMA_CPP[law, name]
    assert error > 0.5 * LLAMA_CPP[law, name]  # far less would mean another measure


@pytest.mark.parametrize("name", [*SMALL, *SUPER])
@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.37, -0.3, 1e-12])
def test_a_constant_row_stays_nearly_constant(name, value):
    x = np.full((2, 256), value, np.float32)
    found = FORMATS[name].decode(FORMATS[name].encode(x), 256)
    # Two float16 roundings, and half of float16's least step times the greatest code and scale
    assert np.abs(found - x).max() <= abs(value) / 500 + 2.0**-25 * 128 * 32


@pytest.mark.parametrize("name", SUPER)
def test_one_run_far_above_the_others_keeps_its_numbers(name):
    x = np.random.default_rng(8).standard_normal((4, 256), np.float32) * np.float32(1e-4)
    x[:, 64:96] *= 1e4
    found = FORMATS[name].decode(FORMATS[name].encode(x), 256)
    # A step at most: of a span of twice the peak, whose ends the search may cut by two steps
    step = {"q4_k": 2 / 13, "q5_k": 2 / 29, "q6_k": 1 / 31}[name]
    assert (np.abs(found - x).max(axis=1) <= step * np.abs(x).max(axis=1)).all()
    assert np.abs(found - x)[:, :64].max() <= 0.02  # no more than half a step of the least scale


@pytest.mark.parametrize("name", BLOCK_FORMATS)
def test_no_number_is_too_strange_to_be_encoded(name):
    x = np.random.default_rng(9).standard_normal((6, 256), np.float32)
    x[0, 3], x[1, 40], x[2, 100], x[3], x[4] = np.nan, np.inf, -np.inf, 3e38, 1e-45
    raw = FORMATS[name].encode(x)
    assert raw.shape == (6, FORMATS[name].row_bytes(256))
    found = FORMATS[name].decode(raw, 256)
    np.testing.assert_allclose(found[5], x[5], atol=0.3)
    alone = FORMATS[name].encode(x[5:])
    np.testing.assert_array_equal(raw[5:], alone)


def test_i8g16_errs_by_half_a_step_of_its_run():
    x = np.random.default_rng(10).standard_normal((5, 96), np.float32)
    found = I8_G16.decode(I8_G16.encode(x), 96)
    most = np.abs(x.reshape(5, 6, 16)).max(axis=-1, keepdims=True)
    assert (np.abs(found - x).reshape(5, 6, 16) <= most / 254 * 1.0001).all()
    assert np.abs(found - x).max() > 0
