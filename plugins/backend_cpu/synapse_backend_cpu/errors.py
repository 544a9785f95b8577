"""What the runtime's error codes say to a person."""

from __future__ import annotations

from typing import Any

from synapse_core.errors import ProgramError, SynapseError, Unavailable, UsageError
from synapse_core.program import SECTION_NAMES, FunctionTable, Program, Tables

_OPEN = {
    1: "is no program, or its sizes are off",
    2: "is of another format version; compile the model again",
    3: "the tables are damaged",
    4: "has a count out of bounds",
    5: "lies outside the file",
    6: "has a bad or repeated name",
    7: "refers to bytes that are not there",
    8: "is not a weight of its format inside its segment",
    9: "is not a sound row space",
    10: "does not fit into the arena, or has an unknown dtype",
    11: "does not fit into its page or slot",
    12: "points outside its tables",
    13: "is not a sound port",
    14: "points outside its tables",
    15: "overlaps another operand, or ids that a later op reads",
    17: "is refused by its kernel",
}
_CALL = {
    18: "has too many rows, or none at all",
    19: "names a slot that there is not, or one slot in two runs",
    20: "has a position that does not follow, or is out of bounds",
    21: "has an id out of range",
    22: "has no KV page for a position, or shares one",
    23: "was given too little memory",
}


def open_error(error: Any, program: Program) -> SynapseError:
    """Return what syn_open found, as an error."""
    file = program.path or "program"
    if error.code == 16:
        name = Tables.of(program.image, file).kernel_names()[error.index]
        return Unavailable(f"backend 'cpu' has no kernel for op {name!r}")
    section = SECTION_NAMES[error.section] if error.section < len(SECTION_NAMES) else "header"
    said = _OPEN.get(error.code, f"code {error.code}")
    return ProgramError(file, f"{said} ({error.detail})", field=f"{section}[{error.index}]")


def call_error(error: Any, function: FunctionTable) -> SynapseError:
    """Return what syn_prepare found, as an error."""
    said = _CALL.get(error.code, f"code {error.code}")
    return UsageError(
        f"function {function.name!r}: the call {said} (row {error.index}: {error.detail})"
    )
