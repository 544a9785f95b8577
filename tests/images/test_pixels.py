"""Pixels out of a .npy file: float32 of the model's shape, or an error that names the fault."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from synapse_core.errors import FileError
from synapse_core.images import load_pixels

SHAPE = (3, 4, 5)


def save(path: Path, array: np.ndarray) -> Path:
    np.save(path, array)
    return path


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_any_float_becomes_rows_of_float32(tmp_path: Path, dtype: type) -> None:
    numbers = np.arange(120, dtype=dtype).reshape(2, *SHAPE)
    found = load_pixels(save(tmp_path / "x.npy", numbers), SHAPE)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, numbers.reshape(2, 60))
    one = load_pixels(save(tmp_path / "y.npy", numbers[0]), SHAPE)
    np.testing.assert_array_equal(one, found[:1])


FAULTS = {
    "bytes": (np.zeros((1, *SHAPE), np.uint8), "holds uint8"),
    "another shape": (np.zeros((1, 4, 5, 3), np.float32), r"expected \(images, 3, 4, 5\)"),
    "wrong channels": (np.zeros((1, 1, 4, 5), np.float32), r"expected \(images, 3, 4, 5\)"),
    "rows": (np.zeros((1, 60), np.float32), r"expected \(images, 3, 4, 5\)"),
    "none": (np.zeros((0, *SHAPE), np.float32), r"expected \(images, 3, 4, 5\)"),
    "objects": (np.array([None]), "no .npy file of numbers"),
    "too large": (np.full((1, *SHAPE), 1e300), r"pixel \[0, 0, 0\] of image 0 is inf"),
}


@pytest.mark.parametrize("what", FAULTS)
def test_what_is_no_pixels_is_told(tmp_path: Path, what: str) -> None:
    array, said = FAULTS[what]
    with pytest.raises(FileError, match=said):
        load_pixels(save(tmp_path / "x.npy", array), SHAPE)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_none_is_told_with_its_place(tmp_path: Path, bad: float) -> None:
    numbers = np.zeros((2, *SHAPE), np.float32)
    numbers[1, 2, 3, 4] = bad
    with pytest.raises(FileError, match=r"pixel \[2, 3, 4\] of image 1 is"):
        load_pixels(save(tmp_path / "x.npy", numbers), SHAPE)


@pytest.mark.parametrize("kept", [0, 5, 40, 127, 200])
def test_a_truncated_file_is_told(tmp_path: Path, kept: int) -> None:
    path = save(tmp_path / "x.npy", np.zeros((2, *SHAPE), np.float32))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(FileError, match=r"no \.npy file"):
        load_pixels(path, SHAPE)


@pytest.mark.parametrize("count", [99999999999, -1, 1 << 70])
def test_a_header_that_promises_what_the_file_has_not_takes_no_memory(
    tmp_path: Path, count: int
) -> None:
    written = "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, 3, 4, 5), }}"
    text = written.format(count).ljust(117) + "\n"
    (tmp_path / "x.npy").write_bytes(b"\x93NUMPY\x01\x00" + bytes([118, 0]) + text.encode())
    with pytest.raises(FileError, match=r"no \.npy file"):
        load_pixels(tmp_path / "x.npy", SHAPE)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npy")
    with pytest.raises(FileError, match="not a regular file"):
        load_pixels(tmp_path / "x.npy", SHAPE)


def test_an_archive_is_told(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", np.zeros(3))
    with pytest.raises(FileError, match=r"\.npz"):
        load_pixels(tmp_path / "x.npz", SHAPE)
