"""Pictures and captions in calls that fit the program: alone, together, in any batches."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from synapse_core.backends import Session
from synapse_core.errors import UsageError
from synapse_core.images import Encoder, encoder_ports
from synapse_core.plugins import default_host
from synapse_core.testing.case import Case
from synapse_core.testing.toys import causal_decoder, image_encoder, two_towers


def opened(case: Case, backend: str, threads: int | None = None) -> Session:
    """Open a toy on a backend."""
    host = default_host()
    if backend not in host.names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")
    made = host.get("backend", backend)
    made = made() if isinstance(made, type) else made
    session: Session = made.open(case.executable(), threads=threads)
    return session


@pytest.fixture(params=["numpy", "cpu"])
def encoder(request: pytest.FixtureRequest) -> Iterator[Encoder]:
    case = two_towers()
    session = opened(case, request.param)
    yield Encoder.open(session, case.executable().program)
    session.close()


def pixels(count: int) -> list[np.ndarray]:
    """Return rows of two_towers' images."""
    return list(np.random.default_rng(8).standard_normal((count, 1, 64), dtype=np.float32))


def test_the_ports_say_shape_rows_and_the_natural_output_first() -> None:
    image, text = encoder_ports(image_encoder().executable().program)
    assert image is not None
    assert text is None
    assert (image.shape, image.most, image.outputs) == ((3, 12, 12), 3, ("class", "mean"))
    _, text = encoder_ports(two_towers().executable().program)
    assert text is not None
    assert (text.positions, text.most_texts, text.vocabulary) == (16, 3, 41)


@pytest.mark.parametrize("threads", [1, 2])
def test_more_images_than_a_call_takes_have_the_bits_of_each_alone(threads: int) -> None:
    session = opened(image_encoder(), "cpu", threads)
    encoder = Encoder.open(session, image_encoder().executable().program)
    rows = list(np.random.default_rng(8).standard_normal((7, 1, 432), dtype=np.float32))
    together = encoder.images(rows, ["class", "mean"])
    alone = [encoder.images([row], ["class", "mean"]) for row in rows]
    session.close()
    for name in ("class", "mean"):
        np.testing.assert_array_equal(together[name], np.concatenate([one[name] for one in alone]))


def test_texts_of_any_lengths_have_the_bits_of_each_alone_on_cpu() -> None:
    case = two_towers()
    session = opened(case, "cpu")
    encoder = Encoder.open(session, case.executable().program)
    rng = np.random.default_rng(9)
    texts = [rng.integers(0, 41, length).tolist() for length in (16, 1, 9, 7, 1, 1, 1, 12, 3)]
    together = encoder.texts(texts, ["embedding"])["embedding"]
    alone = [encoder.texts([text], ["embedding"])["embedding"] for text in texts]
    session.close()
    np.testing.assert_array_equal(together, np.concatenate(alone))


def test_progress_counts_what_is_done(encoder: Encoder) -> None:
    heard: list[int] = []
    encoder.images(pixels(7), ["embedding"], heard.append)
    assert heard == [3, 6, 7]
    heard.clear()
    encoder.texts([[1] * 9, [2] * 8, [3], [4], [5]], ["embedding"], heard.append)
    assert heard == [1, 4, 5]


def test_images_come_one_by_one_and_no_more_than_a_call_are_held(encoder: Encoder) -> None:
    made, held = 0, []

    def rows() -> Iterator[np.ndarray]:
        nonlocal made
        for row in pixels(8):
            made += 1
            yield row

    encoder.images(rows(), ["embedding"], lambda done: held.append(made - done))
    assert held == [0, 0, 0]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([[1] * 17], "text 0 has 17 tokens; the model reads 1 to 16"),
        ([[1], []], "text 1 has 0 tokens"),
        ([], "no texts"),
    ],
)
def test_a_text_that_does_not_fit_is_told(
    encoder: Encoder, texts: list[list[int]], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        encoder.texts(texts, ["embedding"])


def test_an_output_that_there_is_not_is_told_with_those_there_are(encoder: Encoder) -> None:
    with pytest.raises(UsageError, match=r"no output 'logits'; it has: embedding"):
        encoder.images(pixels(1), ["logits"])
    with pytest.raises(UsageError, match="no images"):
        encoder.images([], ["embedding"])


def test_a_model_of_text_takes_no_images() -> None:
    case = causal_decoder()
    session = opened(case, "numpy")
    with pytest.raises(UsageError, match="'encode_image'"):
        Encoder.open(session, case.executable().program)
