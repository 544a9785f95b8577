"""`synapse chat`: a plain conversation, a line at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
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
from synapse_core.cli.sampling import Sampling
from synapse_core.cli.stream import Interrupts, note, use_utf8, write_pieces

if TYPE_CHECKING:
    from synapse_core.api import Model
    from synapse_core.generate import ChatTemplate, Guesser, Penalties, PromptCache, Sampler

INTERRUPTED = 130
# The least room an answer should have; older exchanges make way for it.
LEAST_ROOM = 32


@click.command("chat")
@model_argument(required=False, pulls=True)
@click.option("--system", help="Instructions that stand before the conversation.")
@sampling_options
@guess_options
@backend_options
@overflow_options
@prompt_cache_option
@tokenizer_option
@format_options
@verbose_option
def chat(
    model: Path | None,
    system: str | None,
    overflow: str,
    sinks: int,
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
    verbose: bool,
    **sampling: Any,
) -> None:
    """Talk with a model, a line at a time, by the model's own chat template.

    The end of the input (Ctrl-D) leaves with 0. Ctrl-C stops an answer; at the prompt it leaves
    with 130. /reset forgets the conversation, /exit leaves. Works with piped input too.
    """
    from synapse_core.generate import ChatTemplate

    use_utf8()
    options: dict[str, Any] = {"format": format, "arith": arith, "kv": kv, "context": context}
    options["tokenizer"] = tokenizer
    options |= room_for_guesses(lookup, draft)
    with (
        open_model(fetch(model), backend, threads=threads, **options) as loaded,
        guessers(loaded, lookup, draft, backend, threads) as guesser,
    ):
        template = ChatTemplate.of(loaded.built.assets, str(loaded.built.path))
        chosen = Sampling(**sampling)
        talk = Conversation(
            loaded,
            template,
            chosen.make(loaded),
            count,
            system,
            verbose,
            penalty=chosen.penalty(loaded),
            stop=chosen.stops(loaded),
            guesser=guesser,
            overflow=overflow,
            sinks=sinks,
            cache=None if prompt_cache is None else loaded.prompt_cache(prompt_cache),
        )
        _converse(talk)
        if talk.cache is not None:
            talk.cache.write()


def _converse(talk: Conversation) -> None:
    """Answer line after line until the input ends, /exit comes or nobody reads any more."""
    talk.reset()
    while (line := read_line()) is not None:
        match line.strip():
            case "":
                continue
            case "/exit":
                return
            case "/reset":
                talk.reset()
            case text:
                if not talk.answer(text):
                    return


@attrs.define
class Conversation:
    """What was said so far, and how the next answer is made."""

    model: Model
    template: ChatTemplate
    sampler: Sampler
    count: int
    system: str | None = None
    verbose: bool = False
    messages: list[dict[str, str]] = attrs.field(factory=list)
    penalty: Penalties = attrs.field(kw_only=True)
    stop: tuple[str, ...] = ()
    guesser: Callable[[Sampler], Guesser | None] = lambda _: None
    cache: PromptCache | None = None
    overflow: str = "stop"
    sinks: int = 4

    def reset(self) -> None:
        """Forget everything but the instructions."""
        self.messages = [{"role": "system", "content": self.system}] if self.system else []

    def answer(self, text: str) -> bool:
        """Answer a message; what was said when Ctrl-C came stays part of the conversation.

        A message without an answer is forgotten.
        Returns False when nobody reads the answers any more.
        """
        from synapse_core.generate import Generation

        self.messages.append({"role": "user", "content": text})
        with Interrupts() as interrupts:
            ids = self._fitting_ids()
            generation = Generation(
                self.model.decoder,
                self.sampler,
                ids,
                self.count,
                tokenizer=self.model.tokenizer,
                stopped=interrupts.stopped,
                penalty=self.penalty,
                guesser=self.guesser(self.sampler),
                stop=self.stop,
                cache=self.cache,
                overflow=self.overflow,
                sinks=self.sinks,
                noted=note,
            )
            read = write_pieces(generation) and write_pieces(["\n"])
        if generation.text:
            self.messages.append({"role": "assistant", "content": generation.text})
        else:
            self.messages.pop()
        if self.verbose:
            click.echo(generation.summary(), err=True)
        return read

    def _fitting_ids(self) -> list[int]:
        """Return the conversation as ids, without the oldest exchanges where they leave no room."""
        positions = self.model.decoder.ports.positions
        dropped = 0
        while True:
            text = self.template.render(self.messages)
            ids = self.model.tokenizer.encode(text, special=False)
            oldest = 1 if self.system else 0
            if len(ids) + LEAST_ROOM <= positions or len(self.messages) < oldest + 3:
                break
            del self.messages[oldest : oldest + 2]
            dropped += 1
        if dropped:
            click.echo(
                f"the context of {positions} tokens is full: the oldest"
                f" {'exchange was' if dropped == 1 else f'{dropped} exchanges were'} dropped",
                err=True,
            )
        return ids


def read_line() -> str | None:
    """Return the next line, None at the end of the input; Ctrl-C leaves with 130."""
    try:
        if not sys.stdin.isatty():
            return sys.stdin.readline() or None
        if not sys.stdout.isatty():
            click.echo("> ", err=True, nl=False)
            return sys.stdin.readline() or None
        with_editing()
        return input("> ")
    except EOFError:
        click.echo(err=True)
        return None
    except KeyboardInterrupt:
        click.echo(err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None


def with_editing() -> None:
    """Let `input` edit lines and remember them, where the system has readline."""
    try:
        import readline  # noqa: F401
    except ImportError:
        return
