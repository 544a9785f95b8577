"""The generation loop: prompt, then token after token until something ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.generate.ahead import Ahead
from synapse_core.generate.answer_text import AnswerText
from synapse_core.generate.charges import Charges
from synapse_core.generate.decoder import Decoder
from synapse_core.generate.guess import Guesser
from synapse_core.generate.guide import Guide
from synapse_core.generate.logprobs import TokenLogprob
from synapse_core.generate.overflow import SINKS, Overflow
from synapse_core.generate.penalty import Penalties
from synapse_core.generate.prompt_cache import PromptCache
from synapse_core.generate.sampler import Sampler, is_described
from synapse_core.generate.stops import StopStrings
from synapse_core.generate.tokenizer import Tokenizer

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
    penalty: Penalties = attrs.field(factory=Penalties)
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
    _charges: Charges = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        if self.most_tokens < 1:
            raise UsageError(f"{self.most_tokens} tokens to generate: must be 1 or more")
        self.penalty.check(self.decoder.ports.vocabulary)
        self._charges = Charges(self.penalty)
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
        text = AnswerText(self.tokenizer, self.continues, self.stop)
        for id in self._ids():
            yield from self._piece(text.add(id))
            if text.found is not None:
                break
        yield from self._piece(self.end_text(text))

    def end_text(self, text: AnswerText) -> str:
        """Return what the text held back, now that nothing follows; a stop string is the reason."""
        held_back = text.end(is_whole=self.reason == END)
        if text.found is not None:
            self.reason, self.stop_string = STOP_STRING, text.found
        return held_back

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
        while True:
            if logits is None or self.stopped():
                self.reason = STOPPED
                return
            id = self.take(logits, seen, ends)
            if id is None:
                return
            yield id
            slides = self.slides
            if self.is_over(seen):
                return
            begun = self.clock()
            if self.slides > slides:
                ahead.close(self.decoder.seen)
                logits = self.decoder.prefill(seen, stopped=self.stopped)
            else:
                logits = ahead.after(seen)
            self.decode_s += self.clock() - begun

    def take(self, logits: np.ndarray, seen: list[int], ends: frozenset[int]) -> int | None:
        """Choose what follows `seen` and append it there; None where the answer ends instead."""
        if self.guide is not None and self.guide.is_done:
            self.reason = END
            return None
        id = self._choose(logits, seen)
        if id in ends:
            self.reason = END
            return None
        self.tokens.append(id)
        seen.append(id)
        if self.top_logprobs is not None:
            self.logprobs.append(TokenLogprob.of(logits, id, self.top_logprobs))
        return id

    def is_over(self, seen: list[int]) -> bool:
        """Whether length or context end the answer behind `seen`; `reason` says which.

        Where the context slides, `seen` becomes what is kept of it.

        Raises: UsageError when the context is full and `overflow` is "error".
        """
        if len(self.tokens) >= self.most_tokens:
            self.reason = LENGTH
        elif len(seen) > self.decoder.ports.positions:
            self._overflow(seen)
        return bool(self.reason)

    def _choose(self, logits: np.ndarray, seen: Sequence[int]) -> int:
        """Return the next id, one that the guide lets through."""
        chooser = self.decoder.chooser
        if chooser is not None and is_described(self.sampler):
            id = chooser.choose(self.sampler, logits, self._charges, seen, self.guide)
        else:
            wanted = self.penalty.apply(logits, seen)
            id = self.sampler.choose(self.guide.allow(wanted) if self.guide else wanted)
        if self.guide is not None:
            self.guide.choose(id)
        return id

    def _overflow(self, seen: list[int]) -> None:
        overflow = Overflow.of(self.overflow, self.sinks, self.decoder.ports.positions)
        if overflow.policy != "slide":
            self.reason = CONTEXT
            overflow.fail(len(self.tokens), self.most_tokens)
            return
        if self.cache is not None:
            self.cache.hold()
        if not self.slides:
            self.noted(overflow.note())
        self.slides += 1
        seen[:] = overflow.shortened(seen)

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
