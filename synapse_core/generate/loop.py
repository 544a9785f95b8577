"""The generation loop: prompt, then token after token until something ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.generate.ahead import Ahead
from synapse_core.generate.decoder import Decoder
from synapse_core.generate.guess import Guesser
from synapse_core.generate.guide import Guide
from synapse_core.generate.logprobs import TokenLogprob
from synapse_core.generate.overflow import SINKS, Overflow
from synapse_core.generate.penalty import RepetitionPenalty
from synapse_core.generate.prompt_cache import PromptCache
from synapse_core.generate.sampler import Sampler
from synapse_core.generate.stops import StopStrings
from synapse_core.generate.tokenizer import Stream, Tokenizer

END, LENGTH, CONTEXT, STOPPED = "end of text", "length", "context full", "stopped"
STOP_STRING = "stop string"


@attrs.define
class Generation:
    """An answer on its way: iterate over it for pieces of text, whole characters each.

    `tokens` are the generated ids, an end token not among them, those of a stop string among them;
    `reason` says why it ended: "end of text", "stop string", "length", "context full" or
    "stopped". `stopped` is asked before every step.

    `penalty` changes the logits before the sampler sees them. `stop` are the strings that the text
    ends before; `stop_string` is the one that came. `top_logprobs` fills `logprobs`, one for each
    of `tokens` with so many likeliest. `overflow` "stop" ends the answer when the context is full,
    "error" raises; "slide" goes on with the first `sinks` tokens and the last ones, half of the
    context, which are run again at their new positions: `slides` counts it, `noted` is told at the
    first time, and penalty and guesser see that shorter text. A `guesser` says what may come: the
    answer is the same, sooner. A `guide` lets through only what an answer of its form has; it
    serves one answer. A `cache` keeps the prompt, computed, for `cache.write()`.

    Units: prefill_s, decode_s in seconds.
    """

    decoder: Decoder
    sampler: Sampler
    prompt: Sequence[int]
    most_tokens: int
    tokenizer: Tokenizer | None = None
    continues: bool = False
    stopped: Callable[[], bool] = lambda: False
    clock: Callable[[], float] = time.perf_counter
    penalty: RepetitionPenalty = attrs.field(factory=RepetitionPenalty)
    stop: Sequence[str] = ()
    top_logprobs: int | None = None
    overflow: str = "stop"
    sinks: int = SINKS
    noted: Callable[[str], None] = lambda line: None
    guesser: Guesser | None = None
    guide: Guide | None = None
    cache: PromptCache | None = None
    tokens: list[int] = attrs.field(factory=list, init=False)
    text: str = attrs.field(default="", init=False)
    logprobs: list[TokenLogprob] = attrs.field(factory=list, init=False)
    stop_string: str | None = attrs.field(default=None, init=False)
    reason: str = attrs.field(default="", init=False)
    slides: int = attrs.field(default=0, init=False)
    prefilled: int = attrs.field(default=0, init=False)
    prefill_s: float = attrs.field(default=0.0, init=False)
    decode_s: float = attrs.field(default=0.0, init=False)
    ahead: Ahead | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        if self.most_tokens < 1:
            raise UsageError(f"{self.most_tokens} tokens to generate: must be 1 or more")
        Overflow.of(self.overflow, self.sinks, self.decoder.ports.positions)
        if self.top_logprobs is not None and self.top_logprobs < 0:
            raise UsageError(f"{self.top_logprobs} log-probabilities a token: must be 0 or more")
        StopStrings(self.stop)

    def __iter__(self) -> Iterator[str]:
        """Yield the text as it becomes certain, never past or into a stop string.

        A character that the length, the context or a stop cuts in half is left out.

        Raises: UsageError without a tokenizer; `ids()` needs none.
        """
        if self.tokenizer is None:
            raise UsageError("no tokenizer: iterate over ids() instead")
        stream, stops = Stream(self.tokenizer, self.continues), StopStrings(self.stop)
        for id in self._ids():
            yield from self._piece(stops.add(stream.add(id)))
            if stops.found is not None:
                break
        held_back = stream.end()
        if self.reason == END:
            yield from self._piece(stops.add(held_back))
        if stops.found is not None:
            self.reason, self.stop_string = STOP_STRING, stops.found
            return
        yield from self._piece(stops.end())

    def ids(self) -> Iterator[int]:
        """Yield the generated ids.

        Raises: UsageError with stop strings, which are found in text only; or when the
        context is full and `overflow` is "error".
        """
        if self.stop:
            raise UsageError("stop strings are found in text: iterate over the text, not the ids")
        yield from self._ids()

    def _ids(self) -> Iterator[int]:
        ends = self.tokenizer.special.ends if self.tokenizer else frozenset()
        begun = self.clock()
        known = self.decoder.common(self.prompt)
        if self.cache is not None:
            self.cache.prepare(self.prompt, self.stopped)
        logits = self.decoder.prefill(self.prompt, stopped=self.stopped)
        self.prefill_s = self.clock() - begun
        self.prefilled = len(self.prompt) - known
        seen = list(self.prompt)
        self.ahead = ahead = Ahead(self.decoder, self.guesser, self.clock)
        try:
            yield from self._chosen(ahead, logits, seen, ends)
        finally:
            ahead.close(seen)

    def _chosen(
        self, ahead: Ahead, logits: np.ndarray | None, seen: list[int], ends: frozenset[int]
    ) -> Iterator[int]:
        overflow = Overflow.of(self.overflow, self.sinks, self.decoder.ports.positions)
        while True:
            if logits is None or self.stopped():
                self.reason = STOPPED
                return
            if self.guide is not None and self.guide.is_done:
                self.reason = END
                return
            id = self._choose(logits, seen)
            if id in ends:
                self.reason = END
                return
            self.tokens.append(id)
            seen.append(id)
            if self.top_logprobs is not None:
                self.logprobs.append(TokenLogprob.of(logits, id, self.top_logprobs))
            yield id
            if len(self.tokens) >= self.most_tokens:
                self.reason = LENGTH
                return
            begun, is_full = self.clock(), len(seen) > overflow.positions
            if is_full and overflow.policy != "slide":
                self.reason = CONTEXT
                overflow.fail(len(self.tokens), self.most_tokens)
                return
            logits = self._slide(ahead, overflow, seen) if is_full else ahead.after(seen)
            self.decode_s += self.clock() - begun

    def _choose(self, logits: np.ndarray, seen: Sequence[int]) -> int:
        """Return the next id, one that the guide lets through."""
        wanted = self.penalty.apply(logits, seen)
        if self.guide is None:
            return self.sampler.choose(wanted)
        id = self.sampler.choose(self.guide.allow(wanted))
        self.guide.choose(id)
        return id

    def _slide(self, ahead: Ahead, overflow: Overflow, seen: list[int]) -> np.ndarray | None:
        """Make the model see a part of the text at new positions; return the logits behind it."""
        if self.cache is not None:
            self.cache.hold()
        if not self.slides:
            self.noted(overflow.note())
        self.slides += 1
        ahead.close(seen)
        seen[:] = overflow.shortened(seen)
        return self.decoder.prefill(seen, stopped=self.stopped)

    def summary(self) -> str:
        """Say in one line how many tokens took how long, and why it ended."""
        steps = len(self.tokens) - 1
        parts = [f"{self.prefilled} prompt tokens{_rate(self.prefilled, self.prefill_s)}"]
        parts.append(f"{len(self.tokens)} tokens{_rate(steps, self.decode_s)}")
        if self.ahead is not None and self.ahead.guessed:
            parts.append(f"{self.ahead.right} of {self.ahead.guessed} guesses right")
        if self.slides:
            parts.append(f"the context slid {self.slides} time{'s' * (self.slides > 1)}")
        return ", ".join([*parts, f"ended: {self.reason or 'not yet'}"])

    def _piece(self, text: str) -> Iterator[str]:
        if text:
            self.text += text
            yield text


def _rate(count: int, seconds: float) -> str:
    return f" ({count / seconds:.1f}/s)" if count > 0 and seconds > 0 else ""
