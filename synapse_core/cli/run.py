"""`synapse run`: continue a text."""

from __future__ import annotations

import select
import stat
import sys
from os import fstat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.cli.options import (
    backend_options,
    fetch,
    format_options,
    model_argument,
    open_model,
    sampling_options,
    verbose_option,
)
from synapse_core.cli.output import json_option, print_json
from synapse_core.cli.sampling import Sampling
from synapse_core.cli.stream import Interrupts, use_utf8, write_pieces

if TYPE_CHECKING:
    from synapse_core.api import Model
    from synapse_core.generate import Generation

INTERRUPTED = 130
# A pipe that stays silent for so long brings no prompt; `-p -` waits for it.
SILENCE_S = 0.2


@click.command("run")
@model_argument(required=False, pulls=True)
@click.option("-p", "--prompt", help="The text to continue; - reads it from stdin.")
@click.option("--echo", is_flag=True, help="Print the prompt before its continuation.")
@sampling_options
@backend_options
@format_options
@json_option
@verbose_option
def run(
    model: Path | None,
    prompt: str | None,
    echo: bool,
    count: int,
    backend: str,
    threads: int | None,
    format: str | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    as_json: bool,
    verbose: bool,
    **sampling: Any,
) -> None:
    """Continue a text, streaming to stdout; without a prompt, from the beginning.

    MODEL is a folder with config.json and safetensors, or a .syn file; without one, the model that
    an installed plugin brings. Ctrl-C stops it: what was written stays, the exit code is 130.
    """
    use_utf8()
    text = _prompt(prompt)
    options = {"format": format, "arith": arith, "kv": kv, "context": context}
    with (
        open_model(fetch(model), backend, threads=threads, output_rows=1, **options) as loaded,
        Interrupts() as interrupts,
    ):
        sampler = Sampling(**sampling).make(loaded)
        answer = loaded.generate(
            text, max_tokens=count, sampler=sampler, stopped=interrupts.stopped
        )
        if as_json:
            written = "".join(answer)
            print_json(_report(loaded, answer, written))
        else:
            if echo:
                write_pieces([text])
            write_pieces(answer)
            write_pieces(["\n"])
        if verbose or (sys.stderr.isatty() and not as_json):
            click.echo(f"{_seed(sampler)}{answer.summary()}", err=True)
        if interrupts.asked:
            raise click.exceptions.Exit(INTERRUPTED)


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
    return {
        "text": text,
        "tokens": answer.tokens,
        "prompt_tokens": len(answer.prompt),
        "reason": answer.reason,
        "seed": getattr(answer.sampler, "seed", None),
        "prefill_s": answer.prefill_s,
        "decode_s": answer.decode_s,
        "backend": model.backend,
        "family": model.built.family,
    }
