"""DINOv2 and CLIP against transformers: every variant, awkward sizes, stored in three dtypes."""

from __future__ import annotations

import numpy as np
import pytest

from .conftest import MakeTower
from .tower_cases import CASES, IMAGE_CASES, TEXT_CASES, TOLERANCE
from .tower_runner import encode_images, encode_texts, open_encoder

pytestmark = pytest.mark.reference

BACKENDS = ("numpy", "cpu")


def ends_of(ids: tuple[np.ndarray, ...]) -> list[int]:
    """Return the first place of the highest id, which is the end's in every case."""
    return [int(each.argmax()) for each in ids]


def assert_same(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert set(found) == set(expected)
    for name, theirs in expected.items():
        error = np.abs(found[name] - theirs).max() / theirs.std()
        assert error <= TOLERANCE, (name, error)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", IMAGE_CASES)
def test_images_match_transformers(make_tower_of: MakeTower, name: str, backend: str) -> None:
    made = make_tower_of(name)
    session = open_encoder(made.folder, backend, size=made.case.size)
    assert_same(encode_images(session, made.pixels), made.images)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TEXT_CASES)
def test_texts_without_padding_match_a_padded_batch(
    make_tower_of: MakeTower, name: str, backend: str
) -> None:
    made = make_tower_of(name)
    session = open_encoder(made.folder, backend)
    assert_same(encode_texts(session, made.ids, ends_of(made.ids)), made.texts)


@pytest.mark.parametrize("name", ["clip", "clip legacy gelu"])
def test_similarity_matches_transformers(make_tower_of: MakeTower, name: str) -> None:
    made = make_tower_of(name)
    expected = made.images["direction"] @ made.texts["query"].T
    session = open_encoder(made.folder, "cpu")
    images = encode_images(session, made.pixels)
    texts = encode_texts(session, made.ids, ends_of(made.ids))
    found = images["direction"] @ texts["query"].T
    assert np.abs(found - expected).max() <= TOLERANCE * expected.std()


@pytest.mark.parametrize("name", ["dinov2 gated bf16", "registers classes bf16", "clip"])
def test_an_image_alone_gives_the_same_bits_with_one_thread_and_two(
    make_tower_of: MakeTower, name: str
) -> None:
    made = make_tower_of(name)
    size = made.case.size
    together = encode_images(open_encoder(made.folder, "cpu", size=size, threads=2), made.pixels)
    session = open_encoder(made.folder, "cpu", size=size, threads=1)
    for number in range(len(made.pixels)):
        alone = encode_images(session, made.pixels[number : number + 1])
        for output, rows in together.items():
            each = len(rows) // len(made.pixels)
            mine = rows[number * each : (number + 1) * each]
            assert mine.tobytes() == alone[output].tobytes(), output


@pytest.mark.parametrize("format", ["int8", "q8_0", "q4_0"])
@pytest.mark.parametrize("name", ["dinov2 classes", "registers", "clip"])
def test_formats_stay_near(make_tower_of: MakeTower, name: str, format: str) -> None:
    """Of matrices of 32 columns or more: rows that do not divide fall back to f16."""
    made = make_tower_of(name)
    found = encode_images(
        open_encoder(made.folder, "cpu", size=made.case.size, format=format), made.pixels
    )
    truth = encode_images(
        open_encoder(made.folder, "numpy", size=made.case.size, format=format), made.pixels
    )
    bound = {"int8": 0.15, "q8_0": 0.15, "q4_0": 0.6}[format]
    for output, theirs in made.images.items():
        scale = theirs.std()
        lost = np.sqrt(np.mean((found[output] - theirs) ** 2)) / scale
        assert lost <= bound, (output, lost)
        apart = np.sqrt(np.mean((found[output] - truth[output]) ** 2)) / scale
        assert apart <= 0.1, (output, apart)


def test_every_case_is_of_images_or_texts() -> None:
    assert set(IMAGE_CASES) | set(TEXT_CASES) == set(CASES)
