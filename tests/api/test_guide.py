"""Answers of a form parse, whatever the model would rather say and however it is sampled."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from synapse_core.api import Model, load
from synapse_core.errors import Unavailable, UsageError
from synapse_core.generate import PromptLookup

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
        "likes": {"type": "array", "items": {"enum": ["tea", "sea"]}, "maxItems": 3},
    },
    "required": ["name", "age", "likes"],
    "additionalProperties": False,
}
GRAMMAR = 'start: word (", " word)~1..3 "."\nword: "fox" | "duck" | "sea"\n'


@pytest.fixture(scope="module", params=["stories", "default"])
def model(request: pytest.FixtureRequest, shared_data: Path) -> Iterator[Model]:
    """SentencePiece with bytes to fall back to, and byte-level BPE."""
    place = shared_data / "stories260K" / "hf" if request.param == "stories" else None
    with load(place, backend="cpu", context=256) as loaded:
        yield loaded


def is_person(text: str) -> bool:
    value = json.loads(text)
    return (
        list(value) == ["name", "age", "likes"]
        and len(value["name"]) <= 8
        and type(value["age"]) is int
        and 0 <= value["age"] <= 99
        and len(value["likes"]) <= 3
        and set(value["likes"]) <= {"tea", "sea"}
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0, 4.0])
def test_json_of_a_schema_parses_for_every_seed(model: Model, temperature: float) -> None:
    for seed in range(12):
        answer = model.generate(
            "Once", max_tokens=200, temperature=temperature, seed=seed, schema=PERSON
        )
        text = "".join(answer)
        assert answer.reason == "end of text", text
        assert is_person(text)


def test_a_grammar_is_followed(model: Model) -> None:
    for seed in range(12):
        text = "".join(
            model.generate("Once", max_tokens=80, temperature=2.0, seed=seed, grammar=GRAMMAR)
        )
        assert re.fullmatch(r"(fox|duck|sea)(, (fox|duck|sea)){1,3}\.", text), text


def test_guesses_and_forms_go_together(model: Model) -> None:
    asked: dict[str, Any] = {"max_tokens": 120, "temperature": 1.0, "seed": 3, "schema": PERSON}
    plain = model.generate("Once", **asked)
    guessed = model.generate("Once", **asked, guesser=PromptLookup())
    assert "".join(guessed) == "".join(plain)
    assert guessed.tokens == plain.tokens


def test_a_form_goes_on_where_the_context_slides(shared_data: Path) -> None:
    place = shared_data / "stories260K" / "hf"
    with load(place, backend="cpu", context=24) as model:
        for seed in range(12):
            answer = model.generate(
                "Once", max_tokens=200, temperature=1.0, seed=seed, schema=PERSON, overflow="slide"
            )
            text = "".join(answer)
            assert answer.slides > 0
            assert answer.reason == "end of text", text
            assert is_person(text)


def test_a_length_cuts_and_says_so(model: Model) -> None:
    answer = model.generate("Once", max_tokens=3, schema=PERSON)
    assert not "".join(answer).endswith("}")
    assert answer.reason == "length"


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"schema": "{"}, "no JSON schema"),
        ({"schema": "5"}, "no JSON schema"),
        ({"schema": {"type": 5}}, "schema cannot be followed"),
        ({"schema": {"$ref": "#/nowhere"}}, "schema cannot be followed"),
        ({"grammar": "start: ("}, "grammar cannot be followed"),
        ({"grammar": "a: b"}, "grammar cannot be followed"),
        ({"grammar": GRAMMAR, "schema": PERSON}, "not both"),
    ],
)
def test_what_cannot_be_followed_is_refused_before_anything_runs(
    model: Model, asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as found:
        model.generate("Once", **asked)
    assert "\n" not in str(found.value)


def test_without_the_library_the_extra_is_named(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(Unavailable, match=r"pip install 'synapse\[guide\]'"):
        model.generate("Once", schema=PERSON)
