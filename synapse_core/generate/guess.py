"""Guessing the tokens to come: from the text so far, or by a smaller model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Protocol

import attrs

from synapse_core.errors import UsageError
from synapse_core.generate.decoder import Decoder
from synapse_core.generate.sampler import Greedy, Random, Sampler
from synapse_core.generate.tokenizer import Tokenizer

# Tokens that must be the same for what followed them once to be guessed.
LONGEST, SHORTEST = 4, 2
# Tokens of two vocabularies that are compared.
COMPARED = 1000


class Guesser(Protocol):
    """Says what may come next. A wrong guess costs time, never a token."""

    def guess(self, seen: Sequence[int], most: int) -> list[int]:
        """Return at most `most` ids that may follow `seen`, prompt and answer so far."""
        ...


@attrs.define
class PromptLookup:
    """What followed the last tokens where they came before, the longest match and then the latest.

    A text that is not the one before and more begins anew.

    Source: Saxena, "Prompt Lookup Decoding", 2023.
    """

    _behind: dict[tuple[int, ...], int] = attrs.field(factory=dict, init=False)
    _known: int = attrs.field(default=0, init=False)
    _last: list[int] = attrs.field(factory=list, init=False)

    def guess(self, seen: Sequence[int], most: int) -> list[int]:
        """Return what followed; a text that repeats itself is continued round and round."""
        if list(seen[self._known - len(self._last) : self._known]) != self._last:
            self._behind, self._known = {}, 0
        for end in range(self._known + 1, len(seen)):
            for size in range(SHORTEST, min(LONGEST, end) + 1):
                self._behind[tuple(seen[end - size : end])] = end
        self._known = max(self._known, len(seen) - 1)
        self._last = list(seen[max(0, self._known - LONGEST) : self._known])
        for size in range(min(LONGEST, len(seen)), SHORTEST - 1, -1):
            place = self._behind.get(tuple(seen[-size:]))
            if place is not None:
                period = len(seen) - place
                return [seen[place + n % period] for n in range(most)]
        return []


@attrs.define
class DraftModel:
    """Tokens of a smaller model with the same vocabulary: the likeliest, or as `sampler` will draw.

    The same draw from like chances is mostly the same token: a copy of the sampler, in the state
    that it is in when it is asked, guesses what it will draw itself.
    """

    decoder: Decoder
    sampler: Sampler | None = None

    def guess(self, seen: Sequence[int], most: int) -> list[int]:
        """Return them; fewer where its context is full.

        Raises: UsageError for a token that it does not have.
        """
        guesses: list[int] = []
        if most < 1 or len(seen) > self.decoder.ports.positions:
            return guesses
        likely = deepcopy(self.sampler) if isinstance(self.sampler, Random) else Greedy()
        chooser, logits = self.decoder.chooser, self.decoder.prefill(seen)
        while logits is not None:
            guesses.append(chooser.choose(likely, logits) if chooser else likely.choose(logits))
            if len(guesses) == most or not self.decoder.room:
                break
            logits = self.decoder.step(guesses[-1])
        return guesses


def check_draft(model: Decoder, draft: Decoder, tokenizers: Sequence[Tokenizer] = ()) -> None:
    """Check that a draft model's ids are the model's; `tokenizers` are those of both, if any.

    Raises: UsageError.
    """
    ours, theirs = model.ports.vocabulary, draft.ports.vocabulary
    if ours != theirs:
        raise UsageError(
            f"the draft model has {theirs} tokens, the model {ours}: take one of its kin"
        )
    for id in range(0, ours, max(1, ours // COMPARED)):
        pieces = {tokenizer.piece(id) for tokenizer in tokenizers}
        if len(pieces) > 1:
            raise UsageError(f"token {id} of the draft model is another than the model's")
