"""Backends run programs here and now; targets are exported to."""

from synapse_core.backends.calls import (
    check_ids,
    check_rows,
    count_rows,
    known_slot,
    take_inputs,
)
from synapse_core.backends.contract import Backend, Executable, Session, Target
from synapse_core.backends.kept import check_copied, check_loaded, check_parts, check_saved
from synapse_core.backends.numpy_backend import NumpyBackend
from synapse_core.backends.pages import (
    PageCounts,
    PageTable,
    first_row,
    hold_pages,
    page_tables,
    pages_of,
)
from synapse_core.backends.unroll import Loop, Unroller, Unrolls

__all__ = [
    "Backend",
    "Executable",
    "Loop",
    "NumpyBackend",
    "PageCounts",
    "PageTable",
    "Session",
    "Target",
    "Unroller",
    "Unrolls",
    "check_copied",
    "check_ids",
    "check_loaded",
    "check_parts",
    "check_rows",
    "check_saved",
    "count_rows",
    "first_row",
    "hold_pages",
    "known_slot",
    "page_tables",
    "pages_of",
    "take_inputs",
]
