from __future__ import annotations

import pytest

from synapse_core.generate.pattern_check import pattern_problem
from synapse_core.generate.pre_tokenizers import KNOWN_PATTERNS


def test_patterns_of_real_tokenizers_pass_but_for_one_that_was_read() -> None:
    refused = [pattern for pattern in KNOWN_PATTERNS if pattern_problem(pattern)]
    assert len(refused) == 1
    assert r"(?: \p{L}\p{M}*)*" in refused[0]


@pytest.mark.parametrize(
    "pattern",
    [
        r"(?i:'s|'t)",
        r"(?=(\d{3})+(?!\d))",
        r"\d{1,3}(?=(?:\d{3})*\b)",
        r"(A|B|C){1,4}Z",
        r"[^\s\p{L}]?+\p{L}++",
        r"[\]\[a-z&&[^aeiou]]+",
        r"[]a]+(b)",
        r"(?<word>\w+)\b",
        r"(?i)abc",
        r"\(a+\)+",
        r"x{y}+",
        r"a+?b*?",
    ],
)
def test_pattern_without_explosion_passes(pattern: str) -> None:
    assert pattern_problem(pattern) is None


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+",
        r"((a|b)+)*",
        r"(a?)+",
        r"(?:x(?:a*)y)*",
        r"(a|a){9}",
        r"(?:x(?:a|a))+",
        r"(?=(a*)*b)",
        r"a+*",
        r"(a{100}){300}",
        r"[a](b+)+",
        r"\\(a+)+",
    ],
)
def test_repetition_of_a_repetition_is_refused(pattern: str) -> None:
    assert pattern_problem(pattern) is not None
