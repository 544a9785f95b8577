from __future__ import annotations

import itertools

import numpy as np
import pytest

from synapse_core.errors import UsageError
from synapse_core.generate import END, LENGTH, STOP_STRING, Generation, Greedy, StopStrings

PROMPT = [0, 5, 9, 3, 7, 11, 2]


def through(strings: list[str], pieces: list[str]) -> tuple[str, str | None]:
    stops = StopStrings(strings)
    text = "".join(stops.add(piece) for piece in pieces)
    return text + ("" if stops.found else stops.end()), stops.found


def cuts(text: str):
    """Yield every way to cut a text into pieces."""
    for places in itertools.product((False, True), repeat=len(text) - 1):
        pieces = [text[0]]
        for letter, cut in zip(text[1:], places, strict=True):
            if cut:
                pieces.append(letter)
            else:
                pieces[-1] += letter
        yield pieces


@pytest.mark.parametrize(
    ("strings", "text", "left", "found"),
    [
        (["cde"], "abcdefg", "ab", "cde"),
        (["aab"], "aaaabaa", "aa", "aab"),
        (["abcdx", "bc"], "zabcdx", "za", "bc"),
        (["ef", "cdef"], "abcdef", "ab", "cdef"),
        (["gh", "fgx"], "abcdefg", "abcdefg", None),
        (["a"], "abc", "", "a"),
        ([], "abc", "abc", None),
        (["é€"], "aé€b", "a", "é€"),
    ],
)
def test_what_passes_does_not_depend_on_the_pieces(
    strings: list[str], text: str, left: str, found: str | None
) -> None:
    for pieces in cuts(text):
        assert through(strings, pieces) == (left, found)


def test_nothing_of_a_stop_string_passes_while_it_may_still_come() -> None:
    stops = StopStrings(["<end>"])
    assert [stops.add(piece) for piece in ("a<", "en", "x<", "<e")] == ["a", "", "<enx", "<"]
    assert stops.end() == "<e"


def test_after_a_stop_string_nothing_passes() -> None:
    stops = StopStrings(["b"])
    assert [stops.add("ab"), stops.add("c"), stops.end()] == ["a", "", ""]


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(UsageError, match="empty"):
        StopStrings(["a", ""])


def greedy_text(toy, count: int) -> str:
    generation = Generation(toy.decoder(), Greedy(), PROMPT, count, tokenizer=toy.letters())
    return "".join(generation)


def test_a_generation_ends_before_a_stop_string_and_computes_nothing_behind_it(toy) -> None:
    whole = greedy_text(toy, 30)
    stop = whole[7:10]
    generation = Generation(
        toy.decoder(), Greedy(), PROMPT, 30, tokenizer=toy.letters(), stop=["no", stop]
    )
    pieces = list(generation)
    assert "".join(pieces) == generation.text == whole[: whole.index(stop)]
    assert (generation.reason, generation.stop_string) == (STOP_STRING, stop)
    # What was generated is told, the stop string's own tokens too.
    assert toy.letters().decode(generation.tokens) == whole[: whole.index(stop) + len(stop)]
    assert len(generation.decoder.seen) == len(PROMPT) + len(generation.tokens) - 1


def test_the_beginning_of_a_stop_string_that_never_came_is_text(toy) -> None:
    whole = greedy_text(toy, 12)
    generation = Generation(
        toy.decoder(), Greedy(), PROMPT, 12, tokenizer=toy.letters(), stop=[whole[-2:] + "!"]
    )
    assert "".join(generation) == whole
    assert (generation.reason, generation.stop_string) == (LENGTH, None)


def test_a_stop_string_is_not_looked_for_in_the_prompt(toy) -> None:
    whole = greedy_text(toy, 5)
    prompt = toy.letters().decode(PROMPT)
    generation = Generation(
        toy.decoder(), Greedy(), PROMPT, 5, tokenizer=toy.letters(), stop=[prompt[-1] + whole[0]]
    )
    assert "".join(generation) == whole


def test_a_cut_character_that_completes_no_stop_string_stays_out(toy) -> None:
    class Cut(type(toy.letters(1))):
        def piece(self, id: int) -> bytes:
            return b"a\xc3"

    first = int(np.argmax(toy.logits(PROMPT)))
    second = int(np.argmax(toy.logits([*PROMPT, first])))
    assert first != second
    generation = Generation(
        toy.decoder(), Greedy(), PROMPT, 9, tokenizer=Cut(frozenset({second})), stop=["�"]
    )
    # The end comes behind half a character, which the text shows as U+FFFD: here a stop string.
    assert "".join(generation) == "a"
    assert generation.reason == STOP_STRING
    plain = Generation(toy.decoder(), Greedy(), PROMPT, 9, tokenizer=Cut(frozenset({second})))
    assert "".join(plain) == "a�"
    assert plain.reason == END


def test_ids_alone_have_no_stop_strings(toy) -> None:
    generation = Generation(toy.decoder(), Greedy(), PROMPT, 5, stop=["a"])
    with pytest.raises(UsageError, match="text"):
        list(generation.ids())
