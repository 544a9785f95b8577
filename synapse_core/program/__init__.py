"""The graph lowered to records over planned memory; file form `.syn`."""

from synapse_core.program.contract import Limits, Program
from synapse_core.program.file import all_segments, damaged_segments, open_program, write_program
from synapse_core.program.identity import program_digest
from synapse_core.program.image import aligned_zeros, header_of
from synapse_core.program.lower import lower
from synapse_core.program.records import KV_CODES, NO_PAGE, PAGE_ROWS, SECTION_NAMES, STATE_KV
from synapse_core.program.tables import FunctionTable, Port, Tables, functions_of

__all__ = [
    "KV_CODES",
    "NO_PAGE",
    "PAGE_ROWS",
    "SECTION_NAMES",
    "STATE_KV",
    "FunctionTable",
    "Limits",
    "Port",
    "Program",
    "Tables",
    "aligned_zeros",
    "all_segments",
    "damaged_segments",
    "functions_of",
    "header_of",
    "lower",
    "open_program",
    "program_digest",
    "write_program",
]
