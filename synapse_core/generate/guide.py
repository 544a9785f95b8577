"""Answers of a form: only tokens with which a text can be JSON of a schema, or follow a grammar.

The grammar is followed by `llguidance`, an extra: `pip install 'synapse[guide]'`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import SynapseError, Unavailable, UsageError
from synapse_core.generate.tokenizer import Tokenizer

# What llguidance takes for a token that is no text.
SPECIAL = b"\xff"
# A model that may write blanks between values may write nothing else.
COMPACT = {"whitespace_flexible": False, "item_separator": ",", "key_separator": ":"}


@attrs.define
class Guide:
    """The state of one answer: which tokens may come next. `is_done`: nothing more may come."""

    _matcher: Any
    _mask: np.ndarray
    _vocabulary: int

    @classmethod
    def json_schema(
        cls, schema: str | Mapping[str, Any], tokenizer: Tokenizer, vocabulary: int
    ) -> Guide:
        """Return the guide of a JSON schema; `vocabulary` is how many logits the model has.

        Raises: UsageError for a schema that is none or asks what is not known; Unavailable without
        llguidance.
        """
        matcher = _llguidance().LLMatcher
        try:
            value = json.loads(schema) if isinstance(schema, str) else dict(schema)
            grammar = matcher.grammar_from_json_schema(json.dumps(value), defaults=COMPACT)
        except (ValueError, TypeError, RecursionError) as error:
            raise UsageError(f"the schema is no JSON schema: {_line(error)}") from None
        return cls._of(grammar, "schema", tokenizer, vocabulary)

    @classmethod
    def grammar(cls, text: str, tokenizer: Tokenizer, vocabulary: int) -> Guide:
        """Return the guide of a context-free grammar in Lark's notation, as llguidance has it.

        Raises: as `json_schema`.
        """
        grammar = _llguidance().LLMatcher.grammar_from_lark(text)
        return cls._of(grammar, "grammar", tokenizer, vocabulary)

    @classmethod
    def _of(cls, grammar: str, what: str, tokenizer: Tokenizer, vocabulary: int) -> Guide:
        library = _llguidance()
        problem = library.LLMatcher.validate_grammar(grammar)
        if problem and not problem.startswith("WARNING"):
            raise UsageError(f"the {what} cannot be followed: {_line(problem)}")
        tokens = library.LLTokenizer(library.TokenizerWrapper(_Tokens.of(tokenizer, vocabulary)))
        matcher = library.LLMatcher(tokens, grammar, log_level=0)
        if matcher.is_error():
            raise UsageError(f"the {what} cannot be followed: {_line(matcher.get_error())}")
        return cls(matcher, np.zeros(-(-vocabulary // 32), dtype=np.int32), vocabulary)

    @property
    def is_done(self) -> bool:
        """Whether the text is complete and nothing but an end may follow."""
        return bool(self._matcher.is_stopped())

    def allow(self, logits: np.ndarray) -> np.ndarray:
        """Return logits, float32 (V,), those of tokens that may not come at minus infinity.

        Raises: SynapseError where the grammar became too complex to follow.
        """
        self._fill()
        bits = np.unpackbits(self._mask.view(np.uint8), count=self._vocabulary, bitorder="little")
        allowed: np.ndarray = np.where(bits, logits, np.float32(-np.inf))
        return allowed

    def halves(self) -> np.ndarray:
        """Return which tokens may come, as the op `sample` has it: halves of 16 bits, float32.

        Raises: as `allow`.
        """
        self._fill()
        return self._mask.view("<u2")[: -(-self._vocabulary // 16)].astype(np.float32)

    def choose(self, id: int) -> None:
        """Go on with a token that was let through."""
        self._matcher.consume_token(id)
        self._check()

    def _fill(self) -> None:
        self._matcher.unsafe_compute_mask_ptr(self._mask.ctypes.data, self._mask.nbytes)
        self._check()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise SynapseError(f"the answer's form was lost: {_line(self._matcher.get_error())}")


@attrs.frozen
class _Tokens:
    """A vocabulary as llguidance wants it."""

    tokens: Sequence[bytes]
    special_token_ids: Sequence[int]
    eos_token_id: int
    bos_token_id: int | None
    tokenizer: Tokenizer

    @classmethod
    def of(cls, tokenizer: Tokenizer, vocabulary: int) -> _Tokens:
        """Take the bytes of each token; what adds none, or has no id, is no text."""
        pieces = [tokenizer.piece(id) for id in range(min(vocabulary, tokenizer.size))]
        if None in pieces:
            raise UsageError(
                "this tokenizer's tokens have no text of their own: no answer of a form"
            )
        pieces += [b""] * (vocabulary - len(pieces))
        special = [id for id, piece in enumerate(pieces) if not piece]
        tokens = [piece or SPECIAL + f"<{id}>".encode() for id, piece in enumerate(pieces)]
        ends = sorted(tokenizer.special.ends)
        if not ends and not special:
            raise UsageError("the model has no end token: no answer of a form")
        end = ends[0] if ends else special[0]
        return cls(tokens, special, end, tokenizer.special.bos, tokenizer)

    def __call__(self, text: str | bytes) -> list[int]:
        """Return ids whose bytes are the text, without a space that the tokenizer puts first."""
        data = text if isinstance(text, bytes) else text.encode()
        ids = self.tokenizer.encode(data.decode("utf-8", "replace"), special=False)
        for start in (0, 1):
            if b"".join(self.tokens[id] for id in ids[start:]) == data:
                return ids[start:]
        return self._longest_first(data)

    def _longest_first(self, data: bytes) -> list[int]:
        ids = {token: id for id, token in enumerate(self.tokens)}
        longest, found = max(map(len, ids)), []
        while data:
            size = next((n for n in range(longest, 0, -1) if data[:n] in ids), 0)
            if not size:
                raise UsageError(
                    f"the model has no token for byte {data[:1]!r}: no answer of a form"
                )
            found.append(ids[data[:size]])
            data = data[size:]
        return found


def _llguidance() -> Any:
    try:
        import llguidance
    except ImportError:
        problem = "an answer of a form needs llguidance: pip install 'synapse[guide]'"
        raise Unavailable(problem) from None
    return llguidance


def _line(problem: object) -> str:
    return " ".join(str(problem).split())[:300]
