"""Weight formats: bytes and back, against the gguf package and a reference checkpoint."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from synapse_core.errors import UsageError
from synapse_core.formats import (
    BF16,
    CARRIED,
    FORMATS,
    HELD_FORMATS,
    INT8,
    Q8_0,
    format_named,
    format_of_code,
    quantise,
)

gguf = pytest.importorskip("gguf")
QUANTS = {
    "f16": gguf.GGMLQuantizationType.F16,
    "bf16": gguf.GGMLQuantizationType.BF16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
ROWS = arrays(np.float32, (3, 64), elements=st.floats(-1000, 1000, width=32))


def numbers(rows: int = 5, cols: int = 96, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, cols), np.float32)


@pytest.mark.parametrize("format", HELD_FORMATS.values(), ids=HELD_FORMATS)
@pytest.mark.parametrize("cols", [1, 7, 32, 33, 96, 256, 512])
def test_rows_have_the_bytes_that_the_format_says(format, cols):
    if not format.accepts(cols):
        assert cols % format.block
        return
    raw = format.encode(numbers(3, cols))
    assert raw.dtype == np.uint8
    assert raw.shape == (3, format.row_bytes(cols))
    assert format.row_bytes(cols) % 2 == 0
    decoded = format.decode(raw, cols)
    assert decoded.dtype == np.float32
    assert decoded.shape == (3, cols)


@pytest.mark.parametrize("format", HELD_FORMATS.values(), ids=HELD_FORMATS)
def test_a_row_is_encoded_alone_as_among_others(format):
    x = numbers(cols=512)
    alone = np.concatenate([format.encode(row[None]) for row in x])
    np.testing.assert_array_equal(alone, format.encode(x))


@pytest.mark.parametrize("format", HELD_FORMATS.values(), ids=HELD_FORMATS)
def test_zero_rows_stay_zero_and_no_rows_stay_none(format):
    zeros = np.zeros((2, 256), np.float32)
    decoded = format.decode(format.encode(zeros), 256)
    assert not decoded.any()
    assert not np.isnan(decoded).any()
    assert format.encode(zeros[:0]).shape == (0, format.row_bytes(256))
    assert format.decode(format.encode(zeros[:0]), 256).shape == (0, 256)


@pytest.mark.parametrize("name", QUANTS)
@settings(max_examples=40, deadline=None)
@given(x=ROWS)
def test_bytes_and_numbers_equal_those_of_gguf(name, x):
    format = format_named(name)
    raw = format.encode(x)
    np.testing.assert_array_equal(raw, gguf.quants.quantize(x, QUANTS[name]).view(np.uint8))
    expected = gguf.quants.dequantize(raw, QUANTS[name])
    np.testing.assert_array_equal(format.decode(raw, 64).view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("name", ["f16", "bf16", "q8_0"])
def test_any_bytes_decode_as_gguf_does(name):
    format = format_named(name)
    raw = np.random.default_rng(2).integers(0, 256, (500, format.row_bytes(64)), dtype=np.uint8)
    with np.errstate(invalid="ignore"):  # scales may be infinite, codes zero
        expected = gguf.quants.dequantize(raw, QUANTS[name])
        np.testing.assert_array_equal(format.decode(raw, 64), expected)


def test_q8_0_rounds_the_number_below_a_half_down_as_gguf_does():
    x = np.zeros((1, 32), np.float32)
    x[0, :4] = 127, np.nextafter(np.float32(0.5), np.float32(0)), 0.5, -1.5
    assert Q8_0.split(Q8_0.encode(x), 32)[1][0, 0, :4].tolist() == [127, 0, 1, -2]
    expected = gguf.quants.quantize(x, QUANTS["q8_0"])
    np.testing.assert_array_equal(Q8_0.encode(x), expected)


def test_bf16_rounds_to_nearest_even_and_keeps_nan_quiet():
    bits = np.array([[0x3F808000, 0x3F818000, 0x3F808001, 0x7F7FFFFF, 0x7F800001]], np.uint32)
    halves = BF16.encode(bits.view(np.float32)).view("<u2")[0].tolist()
    assert halves == [0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x7FC0]


def test_int8_row_is_scale_codes_and_a_zero_pad():
    raw = INT8.encode(np.array([[127.0, 0.5, 1.5]], np.float32))
    assert raw[0].tolist() == [0, 0, 0x80, 0x3F, 127, 0, 2, 0]


@settings(max_examples=60, deadline=None)
@given(x=ROWS)
def test_int8_and_q8_0_err_by_half_a_step_at_most(x):
    int8 = np.abs(INT8.decode(INT8.encode(x), 64) - x)
    assert (int8 <= np.abs(x).max(axis=1, keepdims=True) / 254 * 1.0001 + 1e-30).all()
    blocks = np.abs(Q8_0.decode(Q8_0.encode(x), 64) - x).reshape(3, 2, 32)
    most = np.abs(x).reshape(3, 2, 32).max(axis=-1, keepdims=True)
    # The float16 scale adds 2^-11 of the number, and 127 · 2^-25 where it is subnormal.
    assert (blocks <= most / 254 + most / 2048 + 127 * 2.0**-25).all()


@settings(max_examples=60, deadline=None)
@given(x=ROWS)
@example(x=np.full((3, 64), 1e-45, dtype=np.float32))
@example(x=np.full((3, 64), 2e-43, dtype=np.float32))
def test_int8_of_decoded_rows_gives_the_same_codes(x):
    raw = INT8.encode(x)
    codes = INT8.split(raw, 64)[1]
    again = INT8.split(INT8.encode(INT8.decode(raw, 64)), 64)[1]
    np.testing.assert_array_equal(codes, again)


def test_quantise_is_inverse_then_half_to_even():
    scale, codes = quantise(np.array([[254.0, 1.0, 3.0, -5.0]], np.float32))
    assert scale.tolist() == [[2.0]]
    assert codes.tolist() == [[127, 0, 2, -2]]
    assert (scale.dtype, codes.dtype) == (np.float32, np.int8)


def test_int8_equals_the_reference_checkpoint(shared_data):
    folder = shared_data / "stories260K" / "hf"
    reference = np.load(folder / "reference_int8.npz")
    from safetensors.numpy import load_file

    weights = load_file(folder / "model.safetensors")
    names = [key[2:] for key in reference if key.startswith("q/")]
    assert names
    for name in names:
        scale, codes = INT8.split(
            INT8.encode(weights[f"{name}.weight"].astype(np.float32)),
            weights[f"{name}.weight"].shape[1],
        )
        np.testing.assert_array_equal(codes, reference[f"q/{name}"], err_msg=name)
        np.testing.assert_array_equal(scale[:, 0], reference[f"scale/{name}"], err_msg=name)


def test_a_format_is_found_by_name_and_code():
    for name, format in HELD_FORMATS.items():
        assert format_named(name) is format_of_code(format.code) is format
    assert {name: format.code for name, format in HELD_FORMATS.items()} == {
        "f32": 1, "f16": 2, "bf16": 3, "int8": 5, "q8_0": 6, "q4_0": 7, "q4_1": 8, "q5_0": 9,
        "q5_1": 10, "q4_k": 11, "q5_k": 12, "q6_k": 13, "i8g16": 14,
    }  # fmt: skip
    for name, format in CARRIED.items():
        assert format_named(name) is format
    assert {**HELD_FORMATS, **CARRIED} == FORMATS
    with pytest.raises(UsageError, match=r"'q9_9'.*f32, f16, bf16, int8, q8_0"):
        format_named("q9_9")
    for code in (0, 4, 15):  # no format, i32, none yet
        with pytest.raises(UsageError, match=rf"code {code}"):
            format_of_code(code)
