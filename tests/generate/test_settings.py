from __future__ import annotations

import json
from typing import Any

import pytest

from synapse_core.errors import FileError
from synapse_core.generate import Settings, settings_of

FILE = "generation_config.json"


def read(**values: Any) -> Settings:
    return settings_of({FILE: json.dumps(values)}, "model")


def test_a_model_without_a_file_has_our_defaults() -> None:
    assert settings_of({}) == Settings() == Settings(0.8, 40, 0.95, 0.0, 1.0, ())


def test_a_sampled_model_says_how_and_what_it_leaves_out_is_off() -> None:
    assert read(do_sample=True, temperature=0.6, min_p=0.1) == Settings(0.6, 0, 1.0, 0.1)
    assert read(do_sample=True, top_k=20, top_p=0.9, min_p=None) == Settings(1.0, 20, 0.9)


def test_a_model_that_is_not_sampled_keeps_our_way_of_drawing() -> None:
    assert read(temperature=0.6, min_p=0.1, do_sample=False) == Settings()


def test_penalty_and_stop_strings_hold_whether_it_is_sampled_or_not() -> None:
    for sampled in (True, False, None):
        found = read(do_sample=sampled, repetition_penalty=1.2, stop_strings=["\n\n", "User:"])
        assert (found.repetition_penalty, found.stop) == (1.2, ("\n\n", "User:"))
    assert read(stop_strings="###").stop == ("###",)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repetition_penalty", 0),
        ("repetition_penalty", -1.0),
        ("repetition_penalty", "1.1"),
        ("repetition_penalty", True),
        ("repetition_penalty", float("inf")),
        ("repetition_penalty", float("nan")),
        ("repetition_penalty", 10**400),
        ("min_p", -0.1),
        ("min_p", 1.5),
        ("min_p", []),
        ("top_p", 2),
        ("temperature", "hot"),
        ("stop_strings", 3),
        ("stop_strings", [""]),
        ("stop_strings", ["a", 1]),
        ("stop_strings", ["a"] * 65),
        ("stop_strings", "a" * 1025),
        ("stop_strings", {"a": 1}),
    ],
)
def test_a_lie_is_refused_and_its_key_named(key: str, value: Any) -> None:
    with pytest.raises(FileError, match=f"model/{FILE}: {key}: "):
        read(do_sample=True, **{key: value})
