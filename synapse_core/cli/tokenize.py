"""`synapse tokenize`: a text as the ids that a model is given."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from synapse_core.cli.options import model_argument, tokenizer_option
from synapse_core.cli.output import json_option, print_json


@click.command("tokenize")
@model_argument(required=False)
@click.option("-p", "--prompt", default="-", help="The text; without one, or -, stdin is read.")
@tokenizer_option
@json_option
def tokenize(model: Path | None, prompt: str, tokenizer: str | None, as_json: bool) -> None:
    """Print the ids that `synapse run` would begin with; no weight is read.

    With --json also the text of each id, null where that depends on its neighbours.
    """
    from synapse_core.api import default_model, tokenizer_of
    from synapse_core.generate import prompt_ids
    from synapse_core.plugins import default_host

    host = default_host()
    found = tokenizer_of(model or default_model(host), host, tokenizer)
    ids = prompt_ids(found, sys.stdin.read() if prompt == "-" else prompt)
    if not as_json:
        click.echo(" ".join(map(str, ids)))
        return
    pieces = [found.piece(id) for id in ids]
    texts = [None if piece is None else piece.decode("utf-8", "replace") for piece in pieces]
    print_json({"ids": ids, "pieces": texts, "size": found.size})
