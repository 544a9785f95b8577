"""`synapse bench`: speed and memory of a model, here and now."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import click

from synapse_core.cli.options import backend_options, format_options, model_argument, open_model
from synapse_core.cli.output import json_option, print_json, print_table


@click.command("bench")
@model_argument(required=False)
@click.option(
    "--prompt-tokens",
    type=click.IntRange(1),
    default=128,
    show_default=True,
    help="Tokens to prefill.",
)
@click.option(
    "-n",
    "--tokens",
    "count",
    type=click.IntRange(2),
    default=64,
    show_default=True,
    help="Tokens to decode.",
)
@click.option(
    "--repeats",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Take the median of so many runs.",
)
@backend_options
@format_options
@json_option
def bench(
    model: Path | None,
    prompt_tokens: int,
    count: int,
    repeats: int,
    backend: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure loading, prefill and decoding of MODEL: medians over the repeats, measured here.

    Every repeat loads the model anew. Peak memory is the whole process's, Python included.
    """
    runs: list[dict[str, float]] = []
    for _ in range(repeats):
        begun = time.perf_counter()
        loaded = open_model(model, backend, threads=threads, output_rows=1, **options)
        load_s = time.perf_counter() - begun
        backend = loaded.backend  # said once
        with loaded:
            runs.append({"load_s": load_s} | measure(loaded, prompt_tokens, count))
            path = str(loaded.built.path)
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    report = {
        "evidence": "run",
        "model": path,
        "backend": backend,
        "repeats": repeats,
        **medians,
        "peak_rss_bytes": peak_rss_bytes(),
        "runs": runs,
    }
    if as_json:
        print_json(report)
        return
    rows = [[key, value] for key, value in report.items() if key != "runs"]
    print_table(
        ["what", "median"], [[k, f"{v:.4g}" if isinstance(v, float) else v] for k, v in rows]
    )


def measure(model: Any, prompt_tokens: int, count: int) -> dict[str, float]:
    """Return the speed of one prefill and the steps behind it.

    Units: tokens a second.
    """
    decoder = model.decoder
    room = decoder.ports.positions
    prompt_tokens = max(1, min(prompt_tokens, room - 2))
    count = min(count, room - prompt_tokens)
    # Any ids do: the work does not depend on them.
    prompt = [(7 * n + 3) % decoder.ports.vocabulary for n in range(prompt_tokens)]
    begun = time.perf_counter()
    decoder.prefill(prompt)
    prefilled = time.perf_counter()
    for n in range(count):
        decoder.step(prompt[n % prompt_tokens])
    done = time.perf_counter()
    return {
        "prompt_tokens": prompt_tokens,
        "tokens": count,
        "prefill_tok_s": prompt_tokens / (prefilled - begun),
        "decode_tok_s": count / (done - prefilled),
    }


def peak_rss_bytes() -> int | None:
    """Return the most memory this process has had, None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
