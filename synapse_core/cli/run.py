"""`synapse run`: continue a text."""

from __future__ import annotations

import select
import stat
import sys
from os import fstat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from synapse_core.cli.guessing import guess_options, guessers, room_for_guesses
from synapse_core.cli.options import (
    backend_options,
    fetch,
    format_options,
    model_argument,
    open_model,
    overflow_options,
    prompt_cache_option,
    sampling_options,
    tokenizer_option,
    verbose_option,
)
from synapse_core.cli.output import json_option, print_json
from synapse_core.cli.sampling import Sampling
from synapse_core.cli.stream import Interrupts, note, use_utf8, write_pieces
from synapse_core.errors import SynapseError, UsageError

if TYPE_CHECKING:
    from synapse_core.api import Model
    from synapse_core.generate import Generation, Tokenizer, TokenLogprob

INTERRUPTED = 130
# A pipe that stays silent for so long brings no prompt; `-p -` waits for it.
SILENCE_S = 0.2


@click.command("run")
@model_argument(required=False, pulls=True)
@click.option("-p", "--prompt", help="The text to continue; - reads it from stdin.")
@click.option("--echo", is_flag=True, help="Print the prompt before its continuation.")
@sampling_options
@guess_options
@backend_options
@overflow_options
@click.option(
    "--logprobs",
    type=click.IntRange(0, 1000),
    help="With --json: each token's log-probability and the K likeliest.",
)
@click.option(
    "--schema",
    type=click.File(),
    help="Answer in JSON of the schema in this file (synapse[guide]).",
)
@click.option(
    "--grammar", type=click.File(), help="Answer by the Lark grammar in this file (synapse[guide])."
)
@prompt_cache_option
@tokenizer_option
@format_options
@json_option
@verbose_option
def run(
    model: Path | None,
    prompt: str | None,
    echo: bool,
    overflow: str,
    sinks: int,
    logprobs: int | None,
    schema: TextIO | None,
    grammar: TextIO | None,
    prompt_cache: Path | None,
    count: int,
    lookup: bool,
    draft: Path | None,
    backend: str,
    threads: int | None,
    format: str | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    tokenizer: str | None,
    as_json: bool,
    verbose: bool,
    **sampling: Any,
) -> None:
    """Continue a text, streaming to stdout; without a prompt, from the beginning.

    MODEL is a folder with config.json and safetensors, a .gguf or a .syn file; without one, the
    model that an installed plugin brings. Ctrl-C stops it: what was written stays, the exit code
    is 130.
    """
    if logprobs is not None and not as_json:
        raise UsageError("--logprobs is part of the report: give --json too")
    use_utf8()
    text = _prompt(prompt)
    options: dict[str, Any] = {"format": format, "arith": arith, "kv": kv, "context": context}
    options["tokenizer"] = tokenizer
    options |= room_for_guesses(lookup, draft)
    with (
        open_model(fetch(model), backend, threads=threads, **options) as loaded,
        guessers(loaded, lookup, draft, backend, threads) as guesser,
        Interrupts() as interrupts,
    ):
        chosen = Sampling(**sampling)
        sampler, penalty = chosen.make(loaded), chosen.penalty(loaded)
        cache = None if prompt_cache is None else loaded.prompt_cache(prompt_cache)
        answer = loaded.generate(
            text,
            max_tokens=count,
            sampler=sampler,
            penalties=penalty,
            stop=chosen.stops(loaded),
            logprobs=logprobs,
            overflow=overflow,
            sinks=sinks,
            noted=note,
            guesser=guesser(sampler),
            prompt_cache=cache,
            schema=None if schema is None else schema.read(),
            grammar=None if grammar is None else grammar.read(),
            stopped=interrupts.stopped,
        )
        if as_json:
            written = "".join(answer)
            print_json(_report(loaded, answer, written))
        else:
            if echo:
                write_pieces([text])
            _write(answer)
        if cache is not None:
            cache.write()
        if verbose or (sys.stderr.isatty() and not as_json):
            click.echo(f"{_seed(sampler)}{answer.summary()}", err=True)
        if interrupts.asked:
            raise click.exceptions.Exit(INTERRUPTED)


def _write(answer: Generation) -> None:
    """Write an answer and end its line, also where it fails on the way."""
    try:
        write_pieces(answer)
    except SynapseError:
        if answer.text:
            write_pieces(["\n"])
        raise
    write_pieces(["\n"])


def _prompt(given: str | None) -> str:
    """Return the prompt: as given, or from a pipe or file on stdin, or none."""
    if given is not None and given != "-":
        return given
    if given == "-" or _stdin_brings_text():
        return sys.stdin.read()
    return ""


def _stdin_brings_text() -> bool:
    """Whether stdin is a file or a pipe that says something soon."""
    try:
        mode = fstat(sys.stdin.fileno()).st_mode
        if stat.S_ISREG(mode):
            return True
        return stat.S_ISFIFO(mode) and bool(select.select([sys.stdin], [], [], SILENCE_S)[0])
    except (OSError, ValueError):
        return False


def _seed(sampler: object) -> str:
    seed = getattr(sampler, "seed", None)
    return "" if seed is None else f"seed {seed}, "


def _report(model: Model, answer: Generation, text: str) -> dict[str, Any]:
    report = {
        "text": text,
        "tokens": answer.tokens,
        "prompt_tokens": len(answer.prompt),
        "reason": answer.reason,
        "slides": answer.slides,
        "stop": answer.stop_string,
        "seed": getattr(answer.sampler, "seed", None),
        "prefill_s": answer.prefill_s,
        "decode_s": answer.decode_s,
        "guesses": {"made": answer.ahead.guessed, "right": answer.ahead.right}
        if answer.ahead and answer.guesser
        else None,
        "backend": model.backend,
        "family": model.built.family,
    }
    if answer.top_logprobs is not None:
        report["logprobs"] = [_chances(model.tokenizer, found) for found in answer.logprobs]
    return report


def _chances(tokenizer: Tokenizer, found: TokenLogprob) -> dict[str, Any]:
    top = [_chance(tokenizer, id, logprob) for id, logprob in found.top]
    return _chance(tokenizer, found.id, found.logprob) | {"top": top}


def _chance(tokenizer: Tokenizer, id: int, logprob: float) -> dict[str, Any]:
    piece = tokenizer.piece(id)
    text = tokenizer.decode([id]) if piece is None else piece.decode("utf-8", "replace")
    return {"id": id, "text": text, "logprob": logprob}
