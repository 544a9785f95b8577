"""Pictures become samples; what is none, or too large, is one error that names the file."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synapse_core.errors import FileError, Unavailable, UsageError
from synapse_core.images import MOST_IMAGE_PIXELS, check_samples, read_image

from .pictures import bomb, samples, save


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK", "LA", "1", "I;16"])
def test_every_mode_becomes_rgb_as_pillow_converts_it(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("x.tif" if mode == "CMYK" else "x.png")
    if mode == "I;16":
        Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60) * 20).save(path)
    else:
        save(path, mode=mode)
    with Image.open(path) as picture:
        expected = np.array(picture.convert("RGB"))
    np.testing.assert_array_equal(read_image(path), expected)


def test_a_model_of_one_channel_gets_grey(tmp_path: Path) -> None:
    found = read_image(save(tmp_path / "x.png"), channels=1)
    assert found.shape == (40, 60, 1)
    np.testing.assert_array_equal(found[:, :, 0], Image.fromarray(samples(40, 60)).convert("L"))


def test_the_camera_s_turn_is_left_as_processors_leave_it(tmp_path: Path) -> None:
    picture = Image.fromarray(samples(40, 60))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "x.png", exif=exif)
    assert read_image(tmp_path / "x.png").shape == (40, 60, 3)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.1, 0.5, 0.8])
@pytest.mark.parametrize("kind", ["png", "jpg", "webp", "gif", "bmp"])
def test_a_truncated_picture_is_one_line(tmp_path: Path, kind: str, kept: float) -> None:
    path = save(tmp_path / f"x.{kind}")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(FileError, match="cannot be read as a picture") as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_damage_in_the_middle_never_escapes_as_another_error(tmp_path: Path) -> None:
    whole = save(tmp_path / "x.png").read_bytes()
    rng = np.random.default_rng(3)
    refused = 0
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(8, len(data), 6):
            data[place] = rng.integers(256)
        (tmp_path / "y.png").write_bytes(data)
        try:
            assert read_image(tmp_path / "y.png").dtype == np.uint8
        except FileError:
            refused += 1
    assert refused > 30


def test_too_many_pixels_are_refused_before_one_is_decoded(tmp_path: Path) -> None:
    for side in (10_000, 60_000):  # below and above where Pillow itself raises
        with pytest.raises(FileError, match="pixels") as caught:
            read_image(bomb(tmp_path / "x.png", side))
        assert str(MOST_IMAGE_PIXELS) in str(caught.value)


def test_what_is_no_picture_is_told_which_kinds_are(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    path.write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(FileError, match="PNG, JPEG"):
        read_image(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(FileError, match="not a regular file"):
        read_image(tmp_path / "x.png")


def test_other_channels_are_told_of_pixels(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--pixels"):
        read_image(save(tmp_path / "x.png"), channels=4)


def test_samples_of_another_kind_are_named() -> None:
    for wrong in (np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)):
        with pytest.raises(UsageError, match="expected uint8"):
            check_samples(wrong, 3)


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(Unavailable, match=r"synapse\[images\]"):
        read_image(path)
