"""The grammar of the little world: what it writes it reads, at the same probability."""

from __future__ import annotations

import math
import random
from itertools import islice

import pytest
from little_world.corpus import held_out_documents, held_out_sentences, training_documents
from little_world.grammar import END, STOP, log_probability, opening_sentences, write
from little_world.pen import ParseError, Reader


def documents(seed: int, count: int) -> list[tuple[str, float]]:
    rng = random.Random(seed)
    return [write(rng) for _ in range(count)]


def test_what_it_writes_it_reads_at_the_same_probability():
    for text, written in documents(1, 300):
        assert log_probability(text) == pytest.approx(written, rel=1e-12)


def test_the_same_seed_writes_the_same():
    assert documents(5, 20) == documents(5, 20)
    assert documents(5, 20) != documents(6, 20)


def test_half_of_all_documents_are_stories():
    stories = sum(text.startswith("<|begin|>Once") for text, _ in documents(2, 4000))
    assert abs(stories / 4000 - 0.5) < 4 * math.sqrt(0.25 / 4000)


def test_a_wrong_word_is_no_document_and_its_place_is_named():
    text, _ = documents(3, 1)[0]
    for wrong in (text[:-1], text + "x", text.replace(" a ", " the ", 1), text.replace(STOP, END)):
        with pytest.raises(ParseError) as caught:
            log_probability(wrong)
        assert 0 < caught.value.position <= len(text)


def test_what_was_said_stays_true():
    """A hero who changes their home at the end is not of this world."""
    text = next(t for t, _ in documents(4, 200) if "lived by the river. The end." in t)
    with pytest.raises(ParseError):
        log_probability(text.replace("by the river. The end.", "near the sea. The end."))


def test_a_reader_with_something_left_has_not_finished():
    reader = Reader("ab")
    reader.say("a")
    with pytest.raises(ParseError):
        reader.finish()


def test_training_has_no_held_out_sentence_and_held_out_documents_have_one():
    unseen = {s for text, _ in held_out_documents(1001, 300) for s in held_out_sentences(text)}
    assert len(unseen) > 100
    for text in islice(training_documents(2), 5000):
        assert unseen.isdisjoint(opening_sentences(text))
