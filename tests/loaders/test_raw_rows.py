"""Raw rows of block formats in safetensors: what the metadata say must be what the file has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from synapse_core.errors import FileError
from synapse_core.formats import format_named
from synapse_core.loaders.safetensors import read_tensors

ROWS = np.random.default_rng(3).standard_normal((4, 256)).astype(np.float32)
TRUE = {"synapse.rows": "1", "synapse.rows:w": "q4_k 256"}


def save(place: Path, metadata: dict[str, str], tensor: np.ndarray | None = None) -> Path:
    raw = format_named("q4_k").encode(ROWS) if tensor is None else tensor
    save_file({"w": raw}, place / "m.safetensors", metadata)
    return place / "m.safetensors"


def test_a_tensor_is_what_the_metadata_say(tmp_path: Path) -> None:
    tensor = read_tensors(save(tmp_path, TRUE))["w"]
    assert (tensor.format, tensor.shape, tensor.rows, tensor.cols) == ("q4_k", (4, 256), 4, 256)
    expected = format_named("q4_k").encode(ROWS)
    np.testing.assert_array_equal(tensor.raw(), expected)
    np.testing.assert_array_equal(tensor.part(1, 2).raw(), expected[1:3])


def test_bytes_without_metadata_are_bytes(tmp_path: Path) -> None:
    tensor = read_tensors(save(tmp_path, {"format": "pt"}))["w"]
    assert (tensor.format, tensor.shape) == ("u8", (4, 144))


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"synapse.rows": "2"}, "'synapse.rows': found '2', expected '1'"),
        ({"synapse.rows": None}, "'synapse.rows': found None, expected '1'"),
        ({"synapse.rowsx": "q4_k 256"}, "'synapse.rowsx': found 'q4_k 256', expected a format"),
        ({"synapse.rows:w": "q4_k"}, "expected a format and a row's length"),
        ({"synapse.rows:w": "q4_k 256 "}, "expected a format and a row's length"),
        ({"synapse.rows:w": "q4_k -256"}, "expected a format and a row's length"),
        ({"synapse.rows:w": "q4_k 0"}, "expected a format and a row's length"),
        ({"synapse.rows:w": "q4_k ٢٥٦"}, "expected a format and a row's length"),
        ({"synapse.rows:w": f"q4_k {'9' * 5000}"}, "expected a format and a row's length"),
        ({"synapse.rows:w": "q9_9 256"}, "found 'q9_9', expected one of int8"),
        ({"synapse.rows:w": "q3_k 256"}, "found 'q3_k', expected one of int8"),
        ({"synapse.rows:w": "f32 36"}, "found 'f32', expected one of int8"),
        ({"synapse.rows:w": "q4_k 255"}, "rows of 255 are no multiple of the 256 of a block"),
        ({"synapse.rows:w": "q4_k 512"}, "tensor 'w': is U8 (4, 144)"),
        ({"synapse.rows:w": "q4_k 9999999744"}, "tensor 'w': is U8 (4, 144)"),
        ({"synapse.rows:w": "q5_k 256"}, "tensor 'w': is U8 (4, 144)"),
        ({"synapse.rows:v": "q4_k 256"}, "tensor 'v': __metadata__ says q4_k 256, and the file"),
    ],
)
def test_a_lie_in_the_metadata_is_refused_by_its_key(
    tmp_path: Path, changed: dict[str, str | None], problem: str
) -> None:
    metadata = {key: value for key, value in (TRUE | changed).items() if value is not None}
    with pytest.raises(FileError) as error:
        read_tensors(save(tmp_path, metadata))
    assert problem in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "tensor",
    [
        np.zeros((4, 144), np.int8),
        np.zeros((4, 36), np.float32),
        np.zeros((576,), np.uint8),
        np.zeros((2, 2, 144), np.uint8),
        np.zeros((0, 144), np.uint8),
        np.zeros((4, 145), np.uint8),
    ],
)
def test_a_tensor_of_another_type_or_shape_is_refused(tmp_path: Path, tensor: np.ndarray) -> None:
    with pytest.raises(FileError, match=r"tensor 'w': is .*; __metadata__ says q4_k 256"):
        read_tensors(save(tmp_path, TRUE, tensor))
