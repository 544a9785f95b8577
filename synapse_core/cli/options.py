"""Options that several verbs share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.errors import FileError

if TYPE_CHECKING:
    from synapse_core.api import Model

Command = Callable[..., Any]
FORMAT_HELP = "Re-encode the matrices: f16, int8, q8_0, q4_k … (docs/formats.md)."


class ModelPath(click.Path):
    """MODEL: a path, a family that ships one, or ORG/NAME in the hub's cache or, to pull, on it."""

    def __init__(self, *, pulls: bool) -> None:
        super().__init__(path_type=Path)
        self.pulls = pulls

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path; one that is on the hub only stays a name until `fetch` pulls it."""
        path = Path(str(super().convert(value, param, ctx)))
        if path.exists():
            return path
        from synapse_core.api.hub import HubName, find_model
        from synapse_core.api.source import shipped_model
        from synapse_core.plugins import default_host

        shipped = shipped_model(str(value), default_host())
        if shipped is not None:
            return shipped
        found = find_model(str(value))
        if isinstance(found, HubName):
            if not self.pulls:
                problem = f"does not exist here; `synapse pull {value}` looks on the hub"
                raise FileError(path, problem)
            return path
        return found


def model_argument(*, required: bool = True, pulls: bool = False) -> Callable[[Command], Command]:
    """Add the argument MODEL."""
    return click.argument("model", type=ModelPath(pulls=pulls), required=required)


def fetch(model: Path | None) -> Path | None:
    """Pull a MODEL that is a name on the hub and not in its cache, and say so on stderr."""
    if model is None:
        return None
    from synapse_core.api.hub import name_of, pull

    name = name_of(str(model))
    if name is None:
        return model
    click.echo(f"{name} is not here; pulling it", err=True)
    return pull(name, progress=sys.stderr.isatty()).path


def format_options(command: Command) -> Command:
    """Add how weights, products and states are held."""
    format = click.option("--format", help=FORMAT_HELP)
    return _all((format, holding_options), command)


def holding_options(command: Command) -> Command:
    """Add how products and states are held, without the weights' format."""
    options = (
        click.option("--arith", help="Arithmetic of products: f32, bf16, a8/32, a8/row."),
        click.option("--kv", help="Type of keys and values: f32, f16, bf16, q8_0."),
        click.option("--ctx", "context", type=int, help="Positions to plan memory for."),
    )
    return _all(options, command)


def backend_options(command: Command) -> Command:
    """Add where it runs."""
    options = (
        click.option("--backend", default="auto", show_default=True, help="Where it runs."),
        click.option("--threads", type=click.IntRange(1, 1024), help="How many threads."),
    )
    return _all(options, command)


def sampling_options(command: Command) -> Command:
    """Add how the next token is chosen."""
    options = (
        click.option(
            "-n",
            "--tokens",
            "count",
            type=click.IntRange(min=1),
            default=256,
            show_default=True,
            help="Generate at most so many tokens.",
        ),
        click.option("--temperature", type=float, help="0 is greedy."),
        click.option("--top-k", type=int, help="Of the K likeliest only; 0 keeps all."),
        click.option("--top-p", type=float, help="Of the likeliest that have the mass P."),
        click.option("--min-p", type=float, help="Of those at least P times the likeliest's."),
        click.option("--seed", type=int, help="The same seed gives the same tokens."),
        click.option("--greedy", is_flag=True, help="Always the likeliest token."),
        click.option("--sampler", help="A sampler that a plugin provides, by name."),
        click.option("--repetition-penalty", type=float, help="Over 1 repeats less; 1 is none."),
        click.option("--repetition-window", type=int, help="Look at the last N; 0 is all."),
        click.option("--frequency-penalty", type=float, help="Off the logit, each time it came."),
        click.option("--presence-penalty", type=float, help="Off the logit of what came at all."),
        click.option(
            "--logit-bias",
            multiple=True,
            metavar="ID=VALUE",
            help="Add to a token's logit; -inf forbids it. May come several times.",
        ),
        click.option("--stop", multiple=True, help="End before this text; may come several times."),
    )
    return _all(options, command)


def overflow_options(command: Command) -> Command:
    """Add what a full context does."""
    help = "When the context is full: end the text, go on with a part of it, or fail."
    choice = click.Choice(["stop", "slide", "error"])
    options = (
        click.option("--overflow", type=choice, default="stop", show_default=True, help=help),
        click.option(
            "--sinks",
            type=click.IntRange(min=0),
            default=4,
            show_default=True,
            help="With --overflow slide: keep the first N tokens.",
        ),
    )
    return _all(options, command)


def prompt_cache_option(command: Command) -> Command:
    """Add where the computed prompt is kept."""
    return click.option(
        "--prompt-cache",
        type=click.Path(path_type=Path),
        help="Keep the computed prompt in this file; what it holds is not computed again.",
    )(command)


def tokenizer_option(command: Command) -> Command:
    """Add which tokenizer reads the model's files."""
    help = "Which reads the model's files, where several could: core, or a plugin's by name."
    return click.option("--tokenizer", help=help)(command)


def verbose_option(command: Command) -> Command:
    """Add -v."""
    return click.option("-v", "--verbose", is_flag=True, help="Say more on stderr.")(command)


def open_model(model: Path | None, backend: str, **options: Any) -> Model:
    """Load a model for a verb and say on stderr where "auto" runs it."""
    from synapse_core.api import load

    loaded = load(model, backend=backend, **options)
    if backend == "auto":
        click.echo(f"backend: {loaded.backend}", err=True)
    return loaded


def _all(options: tuple[Callable[[Command], Command], ...], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command
