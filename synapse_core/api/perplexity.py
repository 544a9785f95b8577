"""How well a model foresees a text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs

from synapse_core.api.model import Model
from synapse_core.api.text import TextTokens
from synapse_core.errors import SynapseError, UsageError
from synapse_core.generate import log_softmax


@attrs.frozen
class Perplexity:
    """What a text cost a model, every token but the first scored once.

    `nats` is the mean cross-entropy of a token and `standard_error` that mean's, tokens taken as
    independent; `tokens` are those scored, `bytes` the text's without its first token.
    """

    nats: float
    standard_error: float
    tokens: int
    bytes: int
    windows: int
    ctx: int
    stride: int

    @property
    def perplexity(self) -> float:
        """The exponential of the cross-entropy; infinite past float64."""
        return math.exp(self.nats) if self.nats < 700 else math.inf

    @property
    def bits_per_byte(self) -> float:
        """The whole text's cross-entropy by its bytes: models of unlike tokenizers compare."""
        return self.nats * self.tokens / (math.log(2) * self.bytes)


def perplexity(
    model: Model,
    path: str | Path,
    *,
    ctx: int | None = None,
    stride: int | None = None,
    report: Callable[[Perplexity], None] = lambda so_far: None,
) -> Perplexity:
    """Score a text file by windows of `ctx` tokens that begin `stride` tokens apart.

    Each window scores the tokens that none before it has, from all tokens of the window before
    them; the first token of the text is not scored. So a token is foretold from at least
    `ctx - stride` others, at the text's beginning from fewer. `ctx` is all that the model was
    planned for unless said, `stride` half of it. Positions begin at 0 in every window. `report` is
    called after each one with the result so far.

    Raises: UsageError for a window that does not fit or a text without a token to score;
    FileError for the file; SynapseError for logits that are not finite.
    """
    decoder = model.decoder
    ctx = decoder.ports.positions if ctx is None else ctx
    if not 2 <= ctx <= decoder.ports.positions:
        problem = f"the model is planned for {decoder.ports.positions} tokens"
        raise UsageError(f"windows of {ctx} tokens: must be 2 or more, and {problem} (--ctx)")
    stride = max(1, ctx // 2) if stride is None else stride
    if not 1 <= stride < ctx:
        raise UsageError(f"stride {stride}: must be 1 to {ctx - 1}, under the window's {ctx}")
    text = TextTokens(Path(path), model.tokenizer)
    total = squares = 0.0
    count = unscored = 0
    result: Perplexity | None = None
    for number, (ids, known) in enumerate(windows(text, ctx, stride), start=1):
        if number == 1 and ids[0] != model.tokenizer.special.bos:
            unscored = len(model.tokenizer.decode(ids[:1]).encode())
        for nats in _scores(model, ids, known):
            total += nats
            squares += nats * nats
            count += 1
        if not math.isfinite(total):
            raise SynapseError(f"{path}: the logits of window {number} are not finite")
        mean = total / count
        error = math.sqrt(max(squares / count - mean * mean, 0.0) / count)
        result = Perplexity(mean, error, count, text.bytes - unscored, number, ctx, stride)
        report(result)
    if result is None:
        raise UsageError(f"{path}: fewer than two tokens; there is none to score")
    # The last bytes are read behind the last window.
    return attrs.evolve(result, bytes=text.bytes - unscored)


def windows(ids: Iterable[int], ctx: int, stride: int) -> Iterator[tuple[list[int], int]]:
    """Yield windows of ids, each with how many of its first ones are not to be scored."""
    held: list[int] = []
    known = 1
    for id in ids:
        held.append(id)
        if len(held) == ctx:
            yield held, known
            held = held[stride:]
            known = len(held)
    if len(held) > known:
        yield held, known


def _scores(model: Model, ids: list[int], known: int) -> Iterator[float]:
    """Yield the nats of each id after the first `known` ones."""
    # The last id's own logits foretell what is behind the window.
    place = known
    for rows in model.decoder.all_logits(ids[:-1], known - 1):
        for row in rows:
            yield -float(log_softmax(row)[ids[place]])
            place += 1
