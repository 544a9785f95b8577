"""A session whose logits are a known function of what it has seen, and a tokenizer of letters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
import numpy as np
import pytest

from synapse_core.backends import PageCounts, PageTable
from synapse_core.errors import UsageError
from synapse_core.generate import Decoder, SpecialTokens, TextPorts
from synapse_core.ops import RowTable

VOCABULARY = 32
SLOTS = 16


@attrs.define
class ToySession:
    """Its next token depends on every token of the slot, in order; it checks positions."""

    memory: dict[int, list[int]] = attrs.field(factory=dict)
    calls: list[int] = attrs.field(factory=list)
    fails: bool = False
    recurrent: bool = False
    pages: PageTable = attrs.field(factory=lambda: PageTable.of(0, 8, SLOTS, 64))

    def run(
        self, function: str, inputs: Mapping[str, np.ndarray], rows: Mapping[str, RowTable]
    ) -> dict[str, np.ndarray]:
        ids, table = inputs["ids"][:, 0], rows["tokens"]
        if self.fails:
            raise UsageError("the toy fails")
        for slot in dict.fromkeys(table.slot.tolist()):
            positions = table.position[table.slot == slot]
            self.pages.reserve(slot, positions[0], positions[-1] + 1, lambda page, new: None)
        self.calls.append(len(ids))
        logits = []
        for id, slot, position in zip(ids, table.slot, table.position, strict=True):
            seen = self.memory.setdefault(int(slot), [])
            assert position <= len(seen), "a gap in the positions"
            assert not self.recurrent or position in (0, len(seen)), "a recurrent slot goes back"
            del seen[int(position) :]
            seen.append(int(id))
            logits.append(toy_logits(seen))
        return {"logits": np.stack(logits)[inputs["index"][:, 0]]}

    def copy_state(self, source: int, target: int, positions: int | None = None) -> None:
        seen = self.memory[source]
        count = len(seen) if positions is None else positions
        assert count <= len(seen), "more than there is"
        assert not self.recurrent or count == len(seen), "half of a recurrent slot"
        self.memory[target] = seen[:count]
        self.pages.share(source, target, count)

    def release(self, slot: int) -> None:
        self.memory.pop(slot, None)
        self.pages.release(slot)

    def page_counts(self) -> list[PageCounts]:
        return [self.pages.counts()]

    def close(self) -> None:
        self.memory.clear()


def toy_logits(seen: Sequence[int]) -> np.ndarray:
    seed = sum((n + 1) * (id + 7) for n, id in enumerate(seen))
    return np.random.default_rng(seed).normal(size=VOCABULARY).astype(np.float32)


def toy_decoder(
    *,
    most_tokens: int = 4,
    most_outputs: int = 2,
    positions: int = 64,
    rewinds: bool = True,
    recurrent: bool = False,
    spare: int | None = None,
    pages: int | None = None,
) -> Decoder:
    ports = TextPorts(
        function="forward",
        ids="ids",
        tokens="tokens",
        chosen="index",
        vocabulary=VOCABULARY,
        most_tokens=most_tokens,
        most_outputs=most_outputs,
        positions=positions,
    )
    table = PageTable.of(0, 8, SLOTS, positions, pages)
    session = ToySession(recurrent=recurrent, pages=table)
    return Decoder(session, ports, rewinds and not recurrent, 0, recurrent, spare)


@attrs.frozen
class Letters:
    """Ids are letters; 0 begins a text, `ends` end it."""

    ends: frozenset[int] = frozenset({1})
    leading_space: bool = False

    @property
    def special(self) -> SpecialTokens:
        return SpecialTokens(0, self.ends)

    @property
    def size(self) -> int:
        return VOCABULARY

    def encode(self, text: str, special: bool) -> list[int]:
        return [0] * special + [ord(letter) - 95 for letter in text]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.piece(id) for id in ids).decode()

    def piece(self, id: int) -> bytes:
        return b"" if id < 2 else chr(id + 95).encode()


@attrs.frozen
class Toy:
    """What the tests of this folder use of the above."""

    vocabulary: int = VOCABULARY

    def decoder(self, **options: object) -> Decoder:
        return toy_decoder(**options)

    def logits(self, seen: Sequence[int]) -> np.ndarray:
        return toy_logits(seen)

    def letters(self, *ends: int) -> Letters:
        return Letters(frozenset(ends))


@pytest.fixture(scope="session")
def toy() -> Toy:
    return Toy()
