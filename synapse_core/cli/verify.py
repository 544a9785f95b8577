"""`synapse verify`: hold a model against a reference, or a file against its digests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from synapse_core.cli.image_options import parse_size, pixels_option, size_options
from synapse_core.cli.logits import parse_ids
from synapse_core.cli.options import (
    format_options,
    model_argument,
    open_model,
    tokenizer_option,
)
from synapse_core.cli.output import finite, json_option, print_json, print_table
from synapse_core.cli.verify_images import verify_model_of_images
from synapse_core.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from synapse_core.api import Model, Reference

NUMPY, TRANSFORMERS, LLAMA_CPP = "numpy", "transformers", "llama.cpp"
# So much of a text is looked at: all logits of both sides are in memory at once.
MOST_TEXT_TOKENS = 512
# Enough characters for so many tokens.
MOST_CHARACTERS = 1 << 16


@click.command("verify")
@model_argument(required=False)
@click.option("--backend", default="auto", show_default=True, help="Where MODEL runs.")
@click.option("--threads", type=click.IntRange(1, 1024), help="How many threads.")
@click.option(
    "--against",
    type=click.Choice([NUMPY, TRANSFORMERS, LLAMA_CPP]),
    default=NUMPY,
    show_default=True,
    help="The reference.",
)
@click.option(
    "--original",
    type=click.Path(path_type=Path),
    help="What the reference reads, with its weights as stored; MODEL unless said.",
)
@click.option("--tokens", help="On these ids, with commas between: 1,2,3.")
@click.option(
    "--text",
    type=click.Path(path_type=Path),
    help=f"On the beginning of a text file, at most {MOST_TEXT_TOKENS} tokens.",
)
@pixels_option
@size_options
@click.option("--integrity", is_flag=True, help="Check a .syn file's SHA-256 digests instead.")
@click.option(
    "--tolerance", type=click.FloatRange(min=0), help="Largest error, in deviations of the logits."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Chooses the tokens.")
@tokenizer_option
@format_options
@json_option
def verify(
    model: Path | None,
    backend: str,
    threads: int | None,
    against: str,
    original: Path | None,
    tokens: str | None,
    text: Path | None,
    pixels: Path | None,
    size: str | None,
    batch: int | None,
    integrity: bool,
    tolerance: float | None,
    seed: int,
    format: str | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    tokenizer: str | None,
    as_json: bool,
) -> None:
    """Compare MODEL's logits with a reference's on the same tokens, seeded ones unless given.

    The numpy reference computes on the same weights, dequantised; with --original on that model's,
    as stored. transformers reads a folder in float32, llama.cpp a GGUF file. They must agree to
    2e-4 standard deviations of the logits everywhere; where one side rounds weights, activations,
    keys or values, to 5 % rms. Beyond that the exit code is 1. Keys and values are f32 unless --kv
    says otherwise. Of an encoder every output is compared, on seeded texts and on seeded or given
    pixels.
    """
    if integrity:
        _verify_file(model, as_json)
        return
    from synapse_core.api import default_model, reencodes, rounds
    from synapse_core.api import verify as measure
    from synapse_core.api.source import is_program
    from synapse_core.plugins import default_host

    if tokens is not None and text is not None:
        raise UsageError("--tokens and --text exclude each other")
    ids = None if tokens is None else parse_ids(tokens)
    model = model or default_model(default_host())
    options: dict[str, Any] = {"format": format, "arith": arith, "kv": kv, "context": context}
    if kv is None and not is_program(model):
        options["kv"] = "f32"
    options |= {"image_size": parse_size(size), "images": batch}
    with open_model(model, backend, threads=threads, tokenizer=tokenizer, **options) as tested:
        if tested.encodes:
            if ids is not None or text is not None:
                raise UsageError("this model is verified on seeded texts: give no tokens, no text")
            verify_model_of_images(
                tested, model, against, original, pixels, seed, tolerance, options, as_json
            )
            return
        if pixels is not None:
            raise UsageError(f"{model} takes no images: give --tokens or --text")
        with _reference(against, model, original, options) as reference:
            rounded = against == LLAMA_CPP or rounds(tested)
            if against != NUMPY or original is not None:
                rounded = rounded or reencodes(tested, original or model, default_host())
            if text is not None:
                ids = _beginning(tested, text)
            found = measure(
                tested, reference, tokens=ids, tolerance=tolerance, rounded=rounded, seed=seed
            )
    report: dict[str, Any] = {"model": str(model), "backend": tested.backend, "against": against}
    report |= {"original": str(original or model)}
    report |= attrs.asdict(found) | {"holds": found.holds}
    if as_json:
        print_json({key: finite(value) for key, value in report.items()})
    else:
        rows = [[key, f"{v:.3g}" if isinstance(v, float) else v] for key, v in report.items()]
        print_table(["what", "value"], rows)
    if not found.holds:
        raise CheckFailed(
            f"backend {tested.backend!r} against {against}: {found.measure} error"
            f" {found.error:.3g} of a deviation, the largest at position {found.worst}; the"
            f" tolerance is {found.tolerance:.3g}"
        )


@contextmanager
def _reference(
    against: str, model: Path, original: Path | None, options: dict[str, Any]
) -> Iterator[Reference]:
    from synapse_core.api import LlamaCpp, Transformers
    from synapse_core.api.source import is_program

    if against == TRANSFORMERS:
        yield Transformers(original or model)
        return
    if against == LLAMA_CPP:
        yield LlamaCpp(original or model)
        return
    if original is not None:
        kv = None if is_program(original) else "f32"
        options = {"kv": kv, "context": None if is_program(original) else options["context"]}
    with open_model(original or model, NUMPY, **options) as reference:
        yield reference


def _beginning(model: Model, text: Path) -> list[int]:
    from synapse_core.api.text import TextTokens

    most = min(MOST_TEXT_TOKENS, model.decoder.ports.positions)
    return list(islice(TextTokens(text, model.tokenizer, MOST_CHARACTERS), most))


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
