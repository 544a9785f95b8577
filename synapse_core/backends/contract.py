"""What a backend is: it opens a lowered model and runs its functions, call by call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import attrs

from synapse_core.backends.pages import PageCounts
from synapse_core.graph import Graph
from synapse_core.ops import Op, RowTable
from synapse_core.program import Program

if TYPE_CHECKING:
    import numpy as np


@attrs.frozen(eq=False)
class Executable:
    """A model ready for a backend: the program, and the graph it came from when there is one.

    A `.syn` file has no graph. Both describe the same functions, spaces, inputs and outputs.
    `find_op` resolves an op's name, for its reference or for the source of a plugin's kernel.
    """

    program: Program
    find_op: Callable[[str], Op]
    graph: Graph | None = None


class Session(Protocol):
    """An opened model with its memory: arena, states, pages. Not for two threads at once."""

    def run(
        self,
        function: str,
        inputs: Mapping[str, np.ndarray],
        rows: Mapping[str, RowTable],
    ) -> dict[str, np.ndarray]:
        """Run one call of a function and return its outputs, float32 (rows, cols).

        `rows` gives slot and position for every row of the base spaces that carry them; a space
        without (`outputs`) is counted by its inputs. The calls of a slot follow each other by
        position: a smaller position than before truncates the KV cache, position 0 begins anew.

        Raises: UsageError when a row, slot, position or id is out of bounds, OutOfPages when no
        page is left for one; nothing has run then.
        """
        ...

    def copy_state(self, source: int, target: int, positions: int | None = None) -> None:
        """Make slot `target` remember what slot `source` does, or its first positions only.

        They share their pages: one that either writes to later is copied then. Of a slot to itself,
        it forgets what comes after the positions, and the pages of that are free.

        Raises: UsageError for more positions than the source has seen; for fewer, but not for
        none, where it cannot go back, that is where a state is recurrent or has a window.
        """
        ...

    def release(self, slot: int) -> None:
        """Forget a slot and free the pages that no other slot shares."""
        ...

    def page_counts(self) -> list[PageCounts]:
        """Count the pages of keys and values, by group; none where no state has any."""
        ...

    @property
    def state_form(self) -> str:
        """What saved states are bound to besides the program: at most 64 ASCII characters.

        Two sessions of one program and form compute the same bits and read each other's states.
        """
        ...

    def save_state(self, slot: int, positions: int) -> list[np.ndarray]:
        """Return what a slot remembers of its first positions, as parts of bytes, (n,) uint8 each.

        It says nothing of other slots, nor of where in memory the states lie.

        Raises: UsageError for no positions or more than the slot has seen; for fewer where it
        cannot go back, that is where a state is recurrent or has a window.
        """
        ...

    def load_state(self, slot: int, positions: int, parts: Sequence[np.ndarray]) -> None:
        """Make a slot remember what was saved; what it knew before is forgotten.

        Raises: UsageError when the parts are not as long as those of so many positions, or there
        is no such slot or position, and the slot is untouched then; OutOfPages, and it is empty.
        """
        ...

    def close(self) -> None:
        """Free all memory and join the threads; the session cannot be used afterwards."""
        ...


class Backend(Protocol):
    """A machine that runs programs here and now.

    Two things it may have besides: `rank`, an int by which `auto` chooses among several, 0 where
    there is none; and `copied_bytes(format, arith, rows, cols)`, an int: what it copies of a
    weight that a product of this arithmetic reads, 0 where it reads weights as they lie.
    """

    @property
    def name(self) -> str:
        """What `--backend` calls it."""
        ...

    def unavailable(self) -> str | None:
        """Say why it cannot work on this machine, or None when it can."""
        ...

    def open(
        self, executable: Executable, *, threads: int | None = None, pages: int | None = None
    ) -> Session:
        """Open a model. `threads` None: as many as there are usable cores.

        `pages` bounds the pages of keys and values, those of each window; None: as many as all
        slots have when they are full.

        Raises: UsageError for a bound below 1; Unavailable naming the op when one has no kernel
        here; ProgramError when the runtime refuses the program.
        """
        ...


class Target(Protocol):
    """A machine that programs are exported to."""

    name: str

    def export(self, executable: Executable, folder: str) -> None:
        """Write everything the target needs into a new folder, whole or not at all."""
        ...
