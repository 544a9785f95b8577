"""A small draft model runs on one thread, whatever the model runs on."""

from __future__ import annotations

import pytest

from synapse_core.cli import guessing
from synapse_core.cli.guessing import threads_of_draft


@pytest.mark.parametrize("asked", [None, 1, 2, 8])
def test_a_small_draft_has_one_thread_and_a_big_one_as_many_as_asked(tmp_path, monkeypatch, asked):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.safetensors").write_bytes(bytes(60))
    (tmp_path / "b.gguf").write_bytes(bytes(50))
    monkeypatch.setattr(guessing, "ONE_THREAD_BYTES", 100)
    assert threads_of_draft(tmp_path / "b.gguf", asked) == 1
    assert threads_of_draft(tmp_path / "inner", asked) == 1
    assert threads_of_draft(tmp_path, asked) == asked
