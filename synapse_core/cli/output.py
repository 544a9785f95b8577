"""How verbs print: a table for people, one JSON object for scripts."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

SCHEMA = 1

json_option: Callable[[Any], Any] = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object."
)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one object with the schema's number."""
    click.echo(json.dumps({"schema": SCHEMA, **content}, indent=1))


def finite(value: Any) -> Any:
    """Return a value that JSON has: no number that is none."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str) -> str:
    """Return a text that cannot drive a terminal: names come out of strangers' files."""
    return "".join(c if c.isprintable() else "�" for c in text)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str = "") -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(printable(str(cell)) for cell in row))
    Console(soft_wrap=False).print(table, markup=False)
