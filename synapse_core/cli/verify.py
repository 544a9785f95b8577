"""`synapse verify`: hold a backend against the reference, or a file against its digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import click

from synapse_core.cli.options import format_options, model_argument, open_model
from synapse_core.cli.output import json_option, print_json, print_table
from synapse_core.errors import CheckFailed, UsageError


@click.command("verify")
@model_argument(required=False)
@click.option("--backend", default="auto", show_default=True, help="What to hold against numpy.")
@click.option("--threads", type=click.IntRange(1, 1024), help="How many threads.")
@click.option("--integrity", is_flag=True, help="Check a .syn file's SHA-256 digests instead.")
@click.option(
    "--tolerance", type=click.FloatRange(min=0), help="Largest error, in deviations of the logits."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Chooses the tokens.")
@format_options
@json_option
def verify(
    model: Path | None,
    backend: str,
    threads: int | None,
    integrity: bool,
    tolerance: float | None,
    seed: int,
    format: str | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    as_json: bool,
) -> None:
    """Compare MODEL's logits with the numpy reference's on the same weights, dequantised.

    They must agree to 2e-4 standard deviations everywhere; where the program rounds activations,
    keys or values, to 5 % rms. Beyond that the exit code is 1. Keys and values are f32 unless
    --kv says otherwise.
    """
    if integrity:
        _verify_file(model, as_json)
        return
    from synapse_core.api import verify as measure
    from synapse_core.api.source import is_program

    if kv is None and (model is None or not is_program(model)):
        kv = "f32"
    options = {"format": format, "arith": arith, "kv": kv, "context": context}
    with (
        open_model(model, backend, threads=threads, **options) as tested,
        open_model(model, "numpy", **options) as reference,
    ):
        found = measure(tested, reference, tolerance=tolerance, seed=seed)
        report: dict[str, Any] = attrs.asdict(found) | {"holds": found.holds}
        report |= {"backend": tested.backend, "model": str(tested.built.path)}
    if as_json:
        print_json(report)
    else:
        rows = [[key, f"{v:.3g}" if isinstance(v, float) else v] for key, v in report.items()]
        print_table(["what", "value"], rows)
    if not found.holds:
        error = found.max_error if found.measure == "max" else found.rms_error
        raise CheckFailed(
            f"backend {report['backend']!r}: {found.measure} error {error:.3g} of a deviation at"
            f" position {found.worst}; the tolerance is {found.tolerance:.3g}"
        )


def _verify_file(model: Path | None, as_json: bool) -> None:
    from synapse_core.api.source import is_program
    from synapse_core.program import damaged_segments, open_program

    if model is None or not is_program(model):
        raise UsageError("--integrity needs a .syn file; a checkpoint carries no digests")
    damaged = list(damaged_segments(open_program(model)))
    if as_json:
        print_json({"model": str(model), "damaged": [str(name) for name in damaged]})
    elif not damaged:
        click.echo(f"{model}: every segment is what it was written as")
    if damaged:
        raise CheckFailed(f"{model}: damaged segments: {', '.join(str(name) for name in damaged)}")
