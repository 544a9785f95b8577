"""Preprocessing by the keys of a preprocessor_config.json."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from synapse_core.errors import FileError, UsageError
from synapse_core.images import PREPROCESSOR_JSON, preprocessing_of, size_of_file
from synapse_core.plugins import default_host

from .pictures import samples

SHAPE = (3, 28, 28)
VIT = {"image_processor_type": "ViTImageProcessor", "size": {"height": 28, "width": 28}}
CLIP = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 32, "crop_size": 28}


def made(said: dict[str, Any] | str, shape: tuple[int, int, int] = SHAPE) -> Any:
    """Return the preprocessing of a file."""
    text = said if isinstance(said, str) else json.dumps(said)
    return preprocessing_of({PREPROCESSOR_JSON: text}, {}, "m", shape, default_host())


def test_a_row_is_channel_major_and_normalised() -> None:
    picture = samples(28, 28)
    row = made({**VIT, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.6, 0.7]}).rows(picture)
    assert (row.shape, row.dtype) == ((1, 3 * 28 * 28), np.float32)
    scaled = picture.astype(np.float64) / 255
    expected = (scaled - [0.1, 0.2, 0.3]) / [0.5, 0.6, 0.7]
    np.testing.assert_allclose(row.reshape(3, 28, 28), expected.transpose(2, 0, 1), atol=1e-6)


def test_a_crop_takes_the_middle() -> None:
    off = {"do_resize": False, "do_rescale": False, "do_normalize": False}
    picture = samples(41, 50)
    row = made({**CLIP, **off}).rows(picture).reshape(3, 28, 28)
    np.testing.assert_array_equal(row, picture[6:34, 11:39].transpose(2, 0, 1))


def test_a_crop_of_a_smaller_picture_puts_zeros_around() -> None:
    off = {"do_resize": False, "do_rescale": False, "do_normalize": False}
    row = made({**CLIP, **off}).rows(samples(11, 50)).reshape(3, 28, 28)
    assert not row[:, :9].any()
    assert not row[:, 20:].any()
    np.testing.assert_array_equal(row[:, 9:20], samples(11, 50)[:, 11:39].transpose(2, 0, 1))


def test_another_size_grows_resizing_and_cropping_together() -> None:
    twice = made(CLIP, (3, 56, 56))
    assert (twice.short, twice.cropped) == (64, (56, 56))
    assert made(VIT, (3, 42, 70)).resized == (42, 70)


@pytest.mark.parametrize(
    ("said", "size"),
    [
        (VIT, (28, 28)),
        (CLIP, (28, 28)),
        ({"size": 224}, (224, 224)),
        ({"size": {"shortest_edge": 9}}, None),
        ({"do_resize": False}, None),
        (
            {"image_processor_type": "BitImageProcessor", "crop_size": {"height": 5, "width": 7}},
            (5, 7),
        ),
        ({"image_processor_type": "ViTImageProcessorFast"}, (224, 224)),
        ({"image_processor_type": "OtherImageProcessor"}, None),
    ],
)
def test_the_size_that_a_file_makes_of_every_picture(said: dict[str, Any], size: Any) -> None:
    assert size_of_file({PREPROCESSOR_JSON: json.dumps(said)}, "m") == size


def test_without_a_file_the_family_says_it() -> None:
    given = {"preprocessing": {"do_normalize": False}}
    found = preprocessing_of({}, given, "m", SHAPE, default_host())
    assert (found.resized, found.mean) == ((28, 28), None)
    with pytest.raises(UsageError, match="--pixels"):
        preprocessing_of({}, {}, "m", SHAPE, default_host())


BAD = {
    "another processor": {"image_processor_type": "LlavaImageProcessor"},
    "a number for its name": {"image_processor_type": 7},
    "no size": {**VIT, "size": {"height": 28}},
    "another key of size": {**VIT, "size": {"longest_edge": 28}},
    "a size of text": {**VIT, "size": "28"},
    "a size of nothing": {**VIT, "size": {"height": 0, "width": 28}},
    "a huge size": {**VIT, "size": {"height": 10**9, "width": 28}},
    "two means": {**VIT, "image_mean": [0.5, 0.5]},
    "a mean of text": {**VIT, "image_mean": ["x", 0.5, 0.5]},
    "a deviation of zero": {**VIT, "image_std": [0.5, 0, 0.5]},
    "an endless factor": {**VIT, "rescale_factor": 1e300},
    "an unknown filter": {**VIT, "resample": 9},
    "a flag of text": {**VIT, "do_resize": "yes"},
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_file_is_refused_by_key(what: str) -> None:
    with pytest.raises(FileError, match=r"m: preprocessor_config\.json"):
        made(BAD[what])


@pytest.mark.parametrize("text", ["", "[1]", "{", "null"])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(FileError, match=r"preprocessor_config\.json"):
        made(text)


def test_a_picture_that_does_not_get_the_size_is_told_both() -> None:
    said = {"do_resize": False}
    with pytest.raises(UsageError, match=r"becomes 30 × 28 pixels, the model takes 28 × 28"):
        made(said).rows(samples(30, 28))


def test_a_long_picture_is_not_resized_beyond_bounds() -> None:
    with pytest.raises(UsageError, match="would be resized"):
        made({**CLIP, "size": 16384}).rows(np.zeros((1, 30000, 3), np.uint8))


class Doubled:
    """A plugin's preprocessor: twice the middle."""

    cols = 2

    def rows(self, samples: np.ndarray) -> np.ndarray:
        return np.full((1, 2), 2.0 * samples.mean(), np.float32)


class WithDoubled:
    """The installed plugins, and one that provides `Doubled` by name."""

    def get(self, kind: str, name: str) -> Any:
        return Doubled if (kind, name) == ("preprocessor", "DoubledProcessor") else None

    def names(self, kind: str) -> tuple[str, ...]:
        return ("DoubledProcessor",) if kind == "preprocessor" else ()

    def advice(self, kind: str, name: str) -> str:
        return ""


def test_a_processor_of_another_name_is_the_plugin_s_that_provides_it() -> None:
    files = {PREPROCESSOR_JSON: json.dumps({"image_processor_type": "DoubledProcessor"})}
    found = preprocessing_of(files, {}, "m", (2, 1, 1), WithDoubled())
    assert isinstance(found, Doubled)
    with pytest.raises(FileError, match="'DoubledProcessor' is not read"):
        preprocessing_of(files, {}, "m", SHAPE, default_host())
