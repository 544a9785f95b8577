"""Whether a regular expression from outside can be run: its work must not explode.

The engine behind `tokenizers` backtracks. What makes it run for ever is a repeated group that can
take the same text in several ways, what makes it grow is a count of a count; the patterns of real
tokenizers have neither, so both are refused before the engine sees them.
"""

from __future__ import annotations

import re

import attrs

MOST_CHARACTERS = 16 << 10
# The most that a pattern's counted repetitions may unfold it, and one group of choices repeat.
MOST_UNFOLDED = 20_000
MOST_CHOICES = 8
UNBOUNDED = 1 << 30
COUNT = re.compile(r"\{(\d{0,9})(,?)(\d{0,9})\}")
# Calls of groups, references to what was found, conditions, callouts: nothing a tokenizer needs.
REFUSED_ESCAPES = frozenset("gk123456789")
# After "(?": a group that is plain, looks ahead or behind, is atomic, has a name, or sets flags.
GROUP_START = re.compile(r":|=|!|>|<=|<!|<[A-Za-z_]\w*>|[imx-]{1,6}:")
FLAGS = re.compile(r"\(\?[imx-]{1,6}\)")


@attrs.define
class _Group:
    """What lies between two brackets: how far it unfolds, and whether it matches in many ways."""

    size: int = 0
    last: int = 0
    loose: bool = False
    choices: bool = False
    last_loose: bool = False
    last_choices: bool = False

    def take(self, size: int, *, loose: bool = False, choices: bool = False) -> None:
        self.size += size
        self.loose, self.choices = self.loose or loose, self.choices or choices
        self.last, self.last_loose, self.last_choices = size, loose, choices


def pattern_problem(pattern: str) -> str | None:
    """Return why a pattern is refused, None where it may be run."""
    if len(pattern) > MOST_CHARACTERS:
        return f"a pattern of {len(pattern)} characters; at most {MOST_CHARACTERS}"
    groups = [_Group()]
    at = 0
    while at < len(pattern):
        character = pattern[at]
        if character == "\\":
            if pattern[at + 1 : at + 2] in REFUSED_ESCAPES and at + 1 < len(pattern):
                return f"\\{pattern[at + 1]} is not taken from a file"
            at = _end_of_escape(pattern, at)
            groups[-1].take(1)
        elif character == "[":
            at = _end_of_class(pattern, at)
            groups[-1].take(1)
        elif (flags := FLAGS.match(pattern, at)) is not None:
            at = flags.end()
        elif character == "(":
            at, problem = _open_group(pattern, at)
            if problem:
                return problem
            groups.append(_Group())
        elif character == ")":
            if len(groups) == 1:
                return "a bracket closes that was not opened"
            inner = groups.pop()
            groups[-1].take(inner.size, loose=inner.loose, choices=inner.choices)
            at += 1
        elif character == "|":
            groups[-1].choices = True
            groups[-1].take(1)
            at += 1
        elif (counted := _quantifier(pattern, at)) is not None:
            least, most, at = counted
            problem = _repeat(groups[-1], least, most)
            if problem:
                return problem
        else:
            groups[-1].take(1)
            at += 1
    return None if len(groups) == 1 else "a bracket opens that is not closed"


def _repeat(group: _Group, least: int, most: int) -> str | None:
    """Take a repetition of what stands before it."""
    if most > 1 and (group.last_loose or (group.last_choices and most > MOST_CHOICES)):
        return "repeats a group that can match one text in several ways"
    times = max(least, most if most < UNBOUNDED else 1, 1)
    group.size += group.last * (times - 1)
    if group.size > MOST_UNFOLDED:
        return f"its counted repetitions unfold it to more than {MOST_UNFOLDED} steps"
    group.loose = group.loose or least != most
    # A second quantifier behind the first one repeats a repetition.
    group.last, group.last_loose = group.last * times, least != most and most > 1
    return None


def _quantifier(pattern: str, at: int) -> tuple[int, int, int] | None:
    """Return (least, most, end) of a quantifier with its lazy or possessive mark."""
    simple = {"*": (0, UNBOUNDED), "+": (1, UNBOUNDED), "?": (0, 1)}.get(pattern[at])
    if simple is not None:
        least, most, end = *simple, at + 1
    else:
        count = COUNT.match(pattern, at)
        if count is None or count[0] == "{}" or count[0] == "{,}":
            return None
        least = int(count[1] or 0)
        most = int(count[3]) if count[3] else (UNBOUNDED if count[2] else least)
        end = count.end()
    if pattern[end : end + 1] in ("?", "+") and end < len(pattern):
        end += 1
    return least, max(least, most), end


def _open_group(pattern: str, at: int) -> tuple[int, str | None]:
    if pattern.startswith("(*", at):
        return at, "(* is not taken from a file"
    if not pattern.startswith("(?", at):
        return at + 1, None
    start = GROUP_START.match(pattern, at + 2)
    if start is None:
        return at, f"{pattern[at : at + 4]!r} is not taken from a file"
    return start.end(), None


def _end_of_escape(pattern: str, at: int) -> int:
    """Return where an escaped character, property or code point ends."""
    if pattern[at + 1 : at + 2] in ("p", "P", "x", "u") and pattern[at + 2 : at + 3] == "{":
        close = pattern.find("}", at)
        return len(pattern) if close < 0 else close + 1
    return at + 2


def _end_of_class(pattern: str, at: int) -> int:
    """Return where a set of characters ends; sets may hold sets."""
    depth = 0
    while at < len(pattern):
        if pattern[at] == "\\":
            at += 1
        elif pattern[at] == "[":
            depth += 1
            # A bracket that closes right after the opening one is a character.
            first = at + 2 if pattern[at + 1 : at + 2] == "^" else at + 1
            if pattern[first : first + 1] == "]":
                at = first
        elif pattern[at] == "]":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return at
