"""Options that let tokens be guessed ahead: from the text, or by a draft model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from synapse_core.cli.options import Command, ModelPath, fetch
from synapse_core.errors import UsageError

if TYPE_CHECKING:
    from synapse_core.api import Model
    from synapse_core.generate import Guesser, Sampler

# Rows that a call has logits for: a token and its guesses.
ROWS = 16
# Where what a recurrent model may have to take back is kept.
SLOTS = 2
# A draft model of fewer bytes takes under half a millisecond a token on one thread: several would
# wait for each other, and for the waiting threads of the model, longer than they save.
ONE_THREAD_BYTES = 8 << 20


def guess_options(command: Command) -> Command:
    """Add --lookup and --draft."""
    draft = "Guess ahead by a smaller model of the same tokens; the text stays the same."
    command = click.option("--draft", type=ModelPath(pulls=True), metavar="MODEL", help=draft)(
        command
    )
    lookup = "Guess ahead what followed the same tokens before; the text stays the same."
    return click.option("--lookup", is_flag=True, help=lookup)(command)


def room_for_guesses(lookup: bool, draft: Path | None) -> dict[str, int]:
    """Return how a model is loaded for them.

    Raises: UsageError where both are asked.
    """
    if lookup and draft:
        raise UsageError("--lookup and --draft exclude each other")
    return {"output_rows": ROWS, "slots": SLOTS} if lookup or draft else {"output_rows": 1}


@contextmanager
def guessers(
    model: Model, lookup: bool, draft: Path | None, backend: str, threads: int | None
) -> Iterator[Callable[[Sampler], Guesser | None]]:
    """Give what makes the guesser of an answer; a draft model is open as long.

    Raises: UsageError for a draft model of other tokens.
    """
    from synapse_core.api import load
    from synapse_core.generate import DraftModel, PromptLookup, check_draft, has_tokenizer

    if not draft:
        yield lambda _: PromptLookup() if lookup else None
        return
    positions = model.decoder.ports.positions
    path = fetch(draft) or draft
    threads = threads_of_draft(path, threads)
    with load(path, backend=backend, threads=threads, context=positions) as smaller:
        has_both = all(has_tokenizer(m.built.assets) for m in (model, smaller))
        tokenizers = (model.tokenizer, smaller.tokenizer) if has_both else ()
        check_draft(model.decoder, smaller.decoder, tokenizers)
        yield lambda sampler: DraftModel(smaller.decoder, sampler)


def threads_of_draft(path: Path, asked: int | None) -> int | None:
    """Return how many threads a draft model is run with: one where it is small."""
    files = path.rglob("*") if path.is_dir() else [path]
    small = sum(file.stat().st_size for file in files if file.is_file()) < ONE_THREAD_BYTES
    return 1 if small else asked
