"""`synapse bench`: speed and memory of a model, here and now."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core import __version__
from synapse_core.cli.bench_images import image_sizes, measure_images
from synapse_core.cli.image_options import parse_size, size_options
from synapse_core.cli.options import backend_options, format_options, model_argument, open_model
from synapse_core.cli.output import json_option, print_json, print_table
from synapse_core.cli.peak import peak_rss_bytes
from synapse_core.errors import UsageError

if TYPE_CHECKING:
    from synapse_core.api import Model


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
@size_options
@backend_options
@format_options
@json_option
def bench(
    model: Path | None,
    prompt_tokens: int,
    count: int,
    repeats: int,
    size: str | None,
    batch: int | None,
    backend: str,
    threads: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Measure loading, prefill and decoding of MODEL: medians over the repeats, measured here.

    Every repeat loads the model anew; files that were just read come from the system's cache.
    Of a model of images encoding is measured, of one image and of --batch in a call.
    Decoding starts behind the prefilled tokens. Spread is from the least to the most of the
    repeats. Peak memory is the whole process's over all repeats, Python included.
    """
    images = {"image_size": parse_size(size), "images": batch}
    runs: list[dict[str, float]] = []
    sizes: dict[str, Any] = {}
    for _ in range(repeats):
        begun = time.perf_counter()
        loaded = open_model(model, backend, threads=threads, output_rows=1, **images, **options)
        load_s = time.perf_counter() - begun
        backend = loaded.backend  # said once
        with loaded:
            if loaded.takes_images:
                sizes, speeds = image_sizes(loaded), measure_images(loaded)
            else:
                sizes = sizes_of(loaded, prompt_tokens, count)
                speeds = measure(loaded, sizes["prompt_tokens"], sizes["tokens"])
                sizes["kv_pages"] = [counts.as_dict() for counts in loaded.session.page_counts()]
        runs.append(speeds | {"load_s": load_s})
    medians = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    spread = {
        key: [min(run[key] for run in runs), max(run[key] for run in runs)] for key in medians
    }
    report = {
        "evidence": "run",
        "version": __version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "backend": backend,
        "threads": threads,
        "usable_cores": usable_cores(),
        "format": options["format"],
        **sizes,
        "repeats": repeats,
        **medians,
        "spread": spread,
        "peak_rss_bytes": peak_rss_bytes(),
        "runs": runs,
    }
    if as_json:
        print_json(report)
        return
    stated = {
        key: report[key] for key in report if key not in (*medians, "kv_pages", "spread", "runs")
    }
    print_table(["what", "value"], [[key, value] for key, value in stated.items()])
    rows = [[key, *(f"{v:.4g}" for v in (medians[key], *spread[key]))] for key in medians]
    print_table(["measured", "median", "least", "most"], rows)


def sizes_of(model: Model, prompt_tokens: int, count: int) -> dict[str, Any]:
    """Return what is measured on: the model's size, and the tokens asked for that fit.

    Raises: UsageError where the context holds no prompt and two tokens.
    """
    from synapse_core.api import choose_backend, estimate
    from synapse_core.plugins import default_host

    positions = model.decoder.ports.positions
    if positions < 3:
        raise UsageError(f"a context of {positions} tokens is too short to measure (--ctx)")
    prompt_tokens = min(prompt_tokens, positions - 2)
    backend = choose_backend(model.backend, default_host())
    memory = estimate(model.program, model.graph, backend=backend)
    return {
        "model": str(model.built.path),
        "family": model.built.family,
        "parameters": model.program.host.get("parameters"),
        "weights_bytes": memory.weights,
        "copies_bytes": memory.copies,
        "kv_bytes": memory.kv,
        "context": positions,
        "prompt_tokens": prompt_tokens,
        "tokens": min(count, positions - prompt_tokens),
    }


def measure(model: Model, prompt_tokens: int, count: int) -> dict[str, float]:
    """Return the speed of one prefill and of the steps behind it.

    Units: tokens a second.
    """
    decoder = model.decoder
    # Any ids do: the work does not depend on them.
    prompt = [(7 * n + 3) % decoder.ports.vocabulary for n in range(prompt_tokens)]
    begun = time.perf_counter()
    decoder.prefill(prompt)
    prefilled = time.perf_counter()
    for n in range(count):
        decoder.step(prompt[n % prompt_tokens])
    done = time.perf_counter()
    return {
        "prefill_tok_s": prompt_tokens / (prefilled - begun),
        "decode_tok_s": count / (done - prefilled),
    }


def usable_cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
