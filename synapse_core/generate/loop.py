"""The generation loop: prompt, then token after token until something ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import attrs

from synapse_core.errors import UsageError
from synapse_core.generate.decoder import Decoder
from synapse_core.generate.sampler import Sampler
from synapse_core.generate.tokenizer import Stream, Tokenizer

END, LENGTH, CONTEXT, STOPPED = "end of text", "length", "context full", "stopped"


@attrs.define
class Generation:
    """An answer on its way: iterate over it for pieces of text, whole characters each.

    `tokens` are the generated ids, an end token not among them; `reason` says why it ended: "end
    of text", "length", "context full" or "stopped". `stopped` is asked before every step.

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
    tokens: list[int] = attrs.field(factory=list, init=False)
    text: str = attrs.field(default="", init=False)
    reason: str = attrs.field(default="", init=False)
    prefilled: int = attrs.field(default=0, init=False)
    prefill_s: float = attrs.field(default=0.0, init=False)
    decode_s: float = attrs.field(default=0.0, init=False)

    def __iter__(self) -> Iterator[str]:
        """Yield the text as it becomes certain.

        A character that the length, the context or a stop cuts in half is left out.

        Raises: UsageError without a tokenizer; `ids()` needs none.
        """
        if self.tokenizer is None:
            raise UsageError("no tokenizer: iterate over ids() instead")
        stream = Stream(self.tokenizer, self.continues)
        for id in self.ids():
            yield from self._piece(stream.add(id))
        held_back = stream.end()
        if self.reason == END:
            yield from self._piece(held_back)

    def ids(self) -> Iterator[int]:
        """Yield the generated ids."""
        if self.most_tokens < 1:
            raise UsageError(f"{self.most_tokens} tokens to generate: must be 1 or more")
        ends = self.tokenizer.special.ends if self.tokenizer else frozenset()
        begun = self.clock()
        known = self.decoder.common(self.prompt)
        logits = self.decoder.prefill(self.prompt, stopped=self.stopped)
        self.prefill_s = self.clock() - begun
        self.prefilled = len(self.prompt) - known
        while True:
            if logits is None or self.stopped():
                self.reason = STOPPED
                return
            id = self.sampler.choose(logits)
            if id in ends:
                self.reason = END
                return
            self.tokens.append(id)
            yield id
            if len(self.tokens) >= self.most_tokens:
                self.reason = LENGTH
                return
            if self.decoder.room == 0:
                self.reason = CONTEXT
                return
            begun = self.clock()
            logits = self.decoder.step(id)
            self.decode_s += self.clock() - begun

    def summary(self) -> str:
        """Say in one line how many tokens took how long, and why it ended."""
        steps = len(self.tokens) - 1
        parts = [f"{self.prefilled} prompt tokens{_rate(self.prefilled, self.prefill_s)}"]
        parts.append(f"{len(self.tokens)} tokens{_rate(steps, self.decode_s)}")
        return ", ".join([*parts, f"ended: {self.reason or 'not yet'}"])

    def _piece(self, text: str) -> Iterator[str]:
        if text:
            self.text += text
            yield text


def _rate(count: int, seconds: float) -> str:
    return f" ({count / seconds:.1f}/s)" if count > 0 and seconds > 0 else ""
