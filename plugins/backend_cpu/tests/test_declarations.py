"""The headers are parsed once: what cffi made of them is kept."""

from __future__ import annotations

import pytest
from synapse_backend_cpu.native import declarations as module

STRUCTS = ("syn_program", "syn_call", "syn_op", "syn_error")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """The function without its own cache, and an empty folder for what is kept."""
    monkeypatch.setattr(module, "cache_folder", lambda: tmp_path)
    return module.declarations.__wrapped__


def test_kept_declarations_are_those_that_were_parsed(fresh, tmp_path, monkeypatch, capfd):
    first = fresh()
    (kept,) = tmp_path.iterdir()
    assert kept.name.startswith(module.MODULE)
    parsed = module._parsed([module.declared_in(header) for header in module.HEADERS])
    monkeypatch.setattr(module, "_parsed", None)  # called, it would raise
    again = fresh()
    for struct in STRUCTS:
        assert first.sizeof(struct) == again.sizeof(struct) == parsed.sizeof(struct)
    assert capfd.readouterr() == ("", "")


def test_other_declarations_have_another_file(fresh, tmp_path, monkeypatch):
    fresh()
    monkeypatch.setattr(module, "HEADERS", module.HEADERS[:1])
    fresh()
    assert len(list(tmp_path.iterdir())) == 2


def test_cache_that_cannot_be_used_costs_time_only(fresh, monkeypatch):
    def refuse():
        raise PermissionError("read-only")

    monkeypatch.setattr(module, "cache_folder", refuse)
    assert fresh().sizeof("syn_program") > 0
