"""A refusal is one line of bounded length, whatever the file put into it."""

from __future__ import annotations

import pytest

from synapse_core.cli.frame import run
from synapse_core.errors import FileError, shortened


def test_a_name_of_megabytes_does_not_make_a_line_of_megabytes() -> None:
    error = FileError("m.gguf", "y" * 5_000_000, field="tensor " + "x" * 5_000_000, offset=7)
    assert len(str(error)) < 1100
    assert str(error).startswith("m.gguf: tensor xxx")
    assert " at byte 7: yyy" in str(error)


def test_what_fits_is_left_as_it_is_and_both_ends_are_kept() -> None:
    assert shortened("a" * 20, 20) == "a" * 20
    assert shortened("begin" + "-" * 99 + "end", 40).startswith("begin")
    assert shortened("begin" + "-" * 99 + "end", 40).endswith("end")
    assert len(shortened("begin" + "-" * 99 + "end", 40)) == 40


def test_control_characters_of_a_name_do_not_reach_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run(["inspect", "no\x1b[2Jsuch\x85\u202emodel"]) == 3
    said = capfd.readouterr().err
    assert said.startswith("synapse: no�[2Jsuch")
    assert said.removesuffix("\n").isprintable()
