"""The pages say what is there: hooks, ops, formats, verbs and links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from synapse_core.cli.frame import VERBS
from synapse_core.formats import CARRIED, HELD_FORMATS
from synapse_core.hookspecs import HOOK_OF_KIND
from synapse_core.ops import CORE_OPS
from synapse_core.testing.case import finder

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def rows_of(page: str) -> list[list[str]]:
    """Return the cells of all table rows of a page."""
    lines = (ROOT / "docs" / page).read_text().splitlines()
    return [[c.strip() for c in line.strip("|").split("|")] for line in lines if line[:1] == "|"]


def test_every_hook_is_on_its_page_with_its_kind():
    found = {row[0].strip("`"): row[1].strip("`") for row in rows_of("hooks.md")}
    assert {hook: found.get(hook) for hook in HOOK_OF_KIND.values()} == {
        hook: kind for kind, hook in HOOK_OF_KIND.items()
    }


def test_every_object_that_hooks_name_can_be_imported():
    from importlib import import_module

    named = re.findall(
        r"`(synapse_core\.[a-z_.]+)\.([A-Z]\w+)`", "".join(map(str, rows_of("hooks.md")))
    )
    assert len(named) > 8
    for module, name in named:
        assert hasattr(import_module(module), name), f"{module}.{name}"


def test_every_op_is_on_its_page_with_its_attributes():
    found = {row[0].strip("`"): row[-1] for row in rows_of("ops.md")}
    for op in CORE_OPS:
        for attribute in op.attributes:
            assert f"`{attribute.name}`" in found[op.name], f"{op.name}: {attribute.name}"
    assert finder()("linear").name in found


def test_every_format_is_on_its_page_with_its_code():
    rows = [(row[0].strip("`"), row[1]) for row in rows_of("formats.md")]
    missing = {(name, str(format.code)) for name, format in HELD_FORMATS.items()} - set(rows)
    assert missing == set()
    named = {name for cell, _ in rows for name in cell.replace("`", "").split(", ")}
    assert set(CARRIED) <= named


def test_every_verb_is_in_the_readme_or_on_the_page_of_runs():
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "run.md").read_text()
    missing = [verb for verb in VERBS if f"synapse {verb}" not in text]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target
