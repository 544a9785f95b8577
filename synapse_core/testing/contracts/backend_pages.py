"""Contracts of backends about pages: slots share them, and there are no more than asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from synapse_core.backends import Backend, Session
from synapse_core.errors import OutOfPages, UsageError
from synapse_core.ops import RowTable
from synapse_core.testing.agreement import feed
from synapse_core.testing.case import rows
from synapse_core.testing.contracts.contract import require
from synapse_core.testing.toys import causal_decoder

# What becomes of a sequence of 80 ids and its copies: slot, position it begins at, number of ids.
AFTER = ((1, 30, 50), (2, 70, 5), (0, 80, 9), (1, 80, 3), (2, 75, 4))


def require_shared_pages_apart(backend: Backend) -> None:
    """Slots that share their pages give the bits of slots that computed all by themselves.

    One goes back into a page that all read, one goes on in the middle of one.
    """
    case = causal_decoder(window=0)
    sharing, alone = (backend.open(case.executable()) for _ in range(2))
    first, ids = np.random.default_rng(8).integers(0, 67, (2, 80))
    for slot in range(3):
        feed(alone, first, rows((slot, 0, 80)))
    feed(sharing, first, rows((0, 0, 80)))
    before = [counts.used for counts in sharing.page_counts()]
    sharing.copy_state(0, 1)
    sharing.copy_state(0, 2, 70)
    taken = [counts.used for counts in sharing.page_counts()]
    require(taken == before, f"copies of a slot took pages: {taken} are used, it was {before}")
    gap = _refuses(lambda: feed(sharing, [1], rows((2, 75, 1))), UsageError)
    require(gap, "a slot that remembers 70 positions went on at position 75")
    for run in AFTER:
        mine, theirs = (feed(s, ids[: run[2]], rows(run)).tobytes() for s in (sharing, alone))
        place = f"slot {run[0]} from position {run[1]} on"
        require(mine == theirs, f"{place}: other bits where slots shared pages")
    sharing.copy_state(1, 1, 64)
    sharing.release(0)
    sharing.release(2)
    left = [counts.used for counts in sharing.page_counts()]
    require(max(left, default=1) == 1, f"a slot of 64 positions is left, and {left} pages are used")
    sharing.release(1)
    left = [counts.used for counts in sharing.page_counts()]
    require(not any(left), f"all slots were released, and {left} pages are used")
    windowed = backend.open(causal_decoder().executable())
    feed(windowed, range(20), rows((0, 0, 20)))
    part = _refuses(lambda: windowed.copy_state(0, 1, 10), UsageError)
    require(part, "half of a slot with a window was copied, it must be a UsageError")
    for session in (sharing, alone, windowed):
        session.close()


def require_pages_run_out_by_name(backend: Backend) -> None:
    """With the pages in use nothing runs, all slots remember, and a released page serves again."""
    case = causal_decoder(window=0)
    none = _refuses(lambda: backend.open(case.executable(), pages=0), UsageError)
    require(none, "no pages at all were allowed, it must be a UsageError")
    few, plenty = (backend.open(case.executable(), pages=pages) for pages in (3, None))
    for session in (few, plenty):
        feed(session, range(64), rows((0, 0, 64)))
        feed(session, range(60), rows((1, 0, 60)))
        feed(session, range(9), rows((2, 0, 9)))
    _require_full(few, [2] * 2, rows((0, 64, 2)))
    _require_full(few, [2] * 8, rows((1, 60, 4), (0, 64, 4)))
    for session in (few, plenty):
        session.copy_state(1, 2)
        feed(session, range(5), rows((0, 64, 5)))
    _require_full(few, [3], rows((2, 60, 1)))
    part = few.save_state(0, 69)
    full = _refuses(lambda: few.load_state(2, 69, part), OutOfPages)
    require(full, "a slot of two pages was loaded where there was none left")
    few.release(0)
    few.load_state(2, 69, part)
    plenty.copy_state(0, 2)
    for slot, position in ((2, 69), (1, 60)):
        mine, theirs = (feed(s, [5], rows((slot, position, 1))) for s in (few, plenty))
        same = mine.tobytes() == theirs.tobytes()
        require(same, f"slot {slot} has other bits after calls that found no page")
    few.close()
    plenty.close()


def _require_full(session: Session, ids: list[int], table: RowTable) -> None:
    full = _refuses(lambda: feed(session, ids, table), OutOfPages)
    require(full, "a fourth page was given where three are allowed, it must be OutOfPages")


def _refuses(call: Callable[[], object], error: type[Exception]) -> bool:
    try:
        call()
    except error:
        return True
    return False
