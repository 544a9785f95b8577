"""A session as a language model: ids in, logits out, in chunks that the program has rows for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import attrs
import numpy as np

from synapse_core.backends import Session
from synapse_core.errors import UsageError
from synapse_core.generate.chooser import Chooser
from synapse_core.ops import I32, RowTable
from synapse_core.program import FunctionTable, Program, Tables, functions_of
from synapse_core.program.image import header_of
from synapse_core.program.records import STATE_KV

FORWARD = "forward"
LOGITS = "logits"


@attrs.frozen
class TextPorts:
    """Where a text function takes ids and row choices, and where its logits come out."""

    function: str
    ids: str
    tokens: str
    chosen: str | None
    vocabulary: int
    most_tokens: int
    most_outputs: int
    positions: int

    @classmethod
    def of(cls, functions: Mapping[str, FunctionTable]) -> TextPorts:
        """Find them in a program's `forward`.

        Raises: UsageError when the model is none that reads ids and answers with logits.
        """
        function = functions.get(FORWARD)
        if function is None:
            has = ", ".join(sorted(functions)) or "none"
            raise UsageError(
                f"the model has no function {FORWARD!r} (it has: {has}): no text"
                + (
                    "; `synapse encode` and its kin take images and texts"
                    if {"encode_image", "encode_text"} & set(functions)
                    else ""
                )
            )
        whole = [port for port in function.inputs if port.type.dtype == I32]
        ids = [port for port in whole if not port.type.limit_space]
        chosen = [port for port in whole if port.type.limit_space]
        logits = [port for port in function.outputs if port.name == LOGITS]
        if len(ids) != 1 or len(chosen) > 1 or len(logits) != 1:
            raise UsageError(f"function {FORWARD!r} does not turn token ids into logits")
        tokens = ids[0].type.space.base
        outputs = chosen[0].type.space.base if chosen else tokens
        return cls(
            function=FORWARD,
            ids=ids[0].name,
            tokens=tokens,
            chosen=chosen[0].name if chosen else None,
            vocabulary=logits[0].type.cols,
            most_tokens=function.max_rows[tokens],
            most_outputs=function.max_rows[outputs],
            positions=function.max_position[tokens],
        )


@attrs.define
class Decoder:
    """Feeds one slot of a session and knows which ids the slot has seen.

    `rewinds`: it can go back to any of them. A `recurrent` one cannot: what `extend` may have to
    take back is kept in the slot `spare`. A `chooser` chooses tokens from its logits.
    """

    session: Session
    ports: TextPorts
    rewinds: bool = True
    slot: int = 0
    recurrent: bool = False
    spare: int | None = None
    seen: list[int] = attrs.field(factory=list)
    chooser: Chooser | None = attrs.field(default=None, kw_only=True)
    _begun: int = attrs.field(default=0, init=False)
    _saved: bool = attrs.field(default=False, init=False)

    @classmethod
    def open(
        cls, session: Session, program: Program, slot: int = 0, *, chooser: Chooser | None = None
    ) -> Decoder:
        """Return the decoder of a slot of an opened program."""
        ports = TextPorts.of(functions_of(program))
        tables = Tables.of(program.image, program.path or "program")
        recurrent = any(int(state["kind"]) != STATE_KV for state in tables.states)
        windows = any(int(group["window"]) for group in tables.groups)
        has_spare = recurrent and slot + 1 < int(header_of(program.image)["max_slots"])
        spare = slot + 1 if has_spare else None
        rewinds = not recurrent and not windows
        return cls(session, ports, rewinds, slot, recurrent, spare, chooser=chooser)

    def prefill(
        self, ids: Sequence[int], *, stopped: Callable[[], bool] = lambda: False
    ) -> np.ndarray | None:
        """Make the slot have seen exactly `ids`; return the last one's logits, float32 (V,).

        What the slot has seen already is not computed again. None when `stopped` said so.

        Raises: UsageError for no ids, too many, or one that the model does not have.
        """
        self.check(ids)
        if len(ids) > self.ports.positions:
            raise UsageError(f"{len(ids)} tokens; the context holds {self.ports.positions} (--ctx)")
        common = self.common(ids)
        for start in range(common, len(ids), self.ports.most_tokens):
            if stopped():
                return None
            logits = self._call(ids[start : start + self.ports.most_tokens], start, last=1)
        return _last(logits)

    def step(self, id: int) -> np.ndarray:
        """Append one id; return its logits, float32 (V,)."""
        return _last(self._call([id], len(self.seen), last=1))

    def extend(self, ids: Sequence[int]) -> np.ndarray:
        """Append ids, as many as the program gives logits for; return those of each, (n, V).

        `keep` takes back as many of them as it is told to.

        Raises: UsageError where several are given to a recurrent model without a second slot.
        """
        if self.recurrent and len(ids) > 1:
            if self.spare is None:
                raise UsageError("guessing needs a second slot of a recurrent model (slots=2)")
            self.session.copy_state(self.slot, self.spare)
        rows = self._call(ids, len(self.seen), last=len(ids))
        self._saved = self.recurrent and len(ids) > 1
        return rows

    def keep(self, count: int) -> None:
        """Forget all but the first `count` ids.

        Raises: UsageError where the slot cannot go back so far: one that does not rewind can take
        back ids of the last `extend` only.
        """
        if count == len(self.seen):
            return
        if not self.rewinds and (count < self._begun or (self.recurrent and not self._saved)):
            raise UsageError(f"the slot cannot go back from {len(self.seen)} tokens to {count}")
        again = self.seen[self._begun : count]
        if self.recurrent and self.spare is not None:
            self.session.copy_state(self.spare, self.slot)
            self.seen = self.seen[: self._begun]
            if again:
                self._call(again, self._begun, last=1)
        else:
            self.seen = self.seen[:count]

    def all_logits(self, ids: Sequence[int], first: int = 0) -> Iterator[np.ndarray]:
        """Begin anew and yield the logits of the positions from `first` on: float32 (n, V) each.

        Those before are run and their logits never made. The chunks are bounded by the program.
        """
        self.check(ids)
        if len(ids) > self.ports.positions:
            raise UsageError(f"{len(ids)} tokens; the context holds {self.ports.positions} (--ctx)")
        start = 0
        while start < len(ids):
            unasked = max(0, first - start)
            size = min(self.ports.most_tokens, unasked + self.ports.most_outputs)
            chunk = ids[start : start + size]
            asked = len(chunk) - unasked
            rows = self._call(chunk, start, last=max(asked, 1))
            if asked > 0:
                yield rows[-asked:]
            start += size

    def save(self, count: int) -> list[np.ndarray]:
        """Return what the slot remembers of its first `count` ids; see `Session.save_state`."""
        return self.session.save_state(self.slot, count)

    def restore(self, ids: Sequence[int], parts: Sequence[np.ndarray]) -> None:
        """Make the slot have seen just `ids`, from what `save` gave of them.

        Raises: UsageError when the parts do not fit, or for an id that the model does not have.
        """
        self.check(ids)
        self.session.load_state(self.slot, len(ids), parts)
        self.seen, self._begun, self._saved = list(ids), len(ids), False

    def check(self, ids: Sequence[int]) -> None:
        """Raise UsageError for no ids or one out of range."""
        if not ids:
            raise UsageError("no tokens: give a prompt (the model has no start token)")
        for place, id in enumerate(ids):
            if not 0 <= id < self.ports.vocabulary:
                raise UsageError(
                    f"token {place} is {id}; this model's ids are 0 to {self.ports.vocabulary - 1}"
                )

    @property
    def room(self) -> int:
        """How many more ids fit into the context."""
        return self.ports.positions - len(self.seen)

    def common(self, ids: Sequence[int]) -> int:
        """Return how many of the first ids the slot need not see again; the last one it must."""
        pairs = zip(self.seen, ids, strict=False)
        common = next((n for n, (a, b) in enumerate(pairs) if a != b), None)
        if common is None:
            common = min(len(self.seen), len(ids))
        common = min(common, len(ids) - 1)
        return common if self.rewinds or common == len(self.seen) else 0

    def _call(self, ids: Sequence[int], start: int, *, last: int) -> np.ndarray:
        """Run ids and return logits of the last so many; of all where the program has no choice."""
        count = len(ids)
        table = RowTable(
            slot=np.full(count, self.slot, dtype=np.int64),
            position=np.arange(start, start + count, dtype=np.int64),
        )
        inputs = {self.ports.ids: np.asarray(ids, dtype=np.int32).reshape(count, 1)}
        if self.ports.chosen is not None:
            chosen = np.arange(count - last, count, dtype=np.int32)
            inputs[self.ports.chosen] = chosen.reshape(-1, 1)
        before, self.seen = self.seen[:start], []
        outputs = self.session.run(self.ports.function, inputs, {self.ports.tokens: table})
        self.has_seen(before, ids)
        return outputs[LOGITS]

    def has_seen(self, before: Sequence[int], ids: Sequence[int] = ()) -> None:
        """Note what the slot has seen: `ids` in its last call, behind `before`."""
        self.seen = [*before, *ids]
        self._begun, self._saved = len(before), False


def _last(rows: np.ndarray) -> np.ndarray:
    last: np.ndarray = rows[-1]
    return last
