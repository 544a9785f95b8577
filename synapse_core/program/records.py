"""The fixed-size records of a program, as numpy dtypes; the same layout as the runtime's syn.h.

Source: docs/decisions/0005-program-format.md. A test holds both descriptions against each other.
"""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

MAGIC = b"SYNP"
FORMAT_MAJOR = 1
FORMAT_MINOR = 0
NAME_BYTES = 32
MAX_OPERANDS = 16
MAX_ATTRIBUTES = 12
MAX_KERNELS = 64
MAX_SEGMENTS = 32
MAX_SPACES = 8
MAX_GROUPS = 4
PAGE_ROWS = 64
NO_PAGE = 0xFFFFFFFF
ARENA_ALIGN = 64

DTYPE_CODES = MappingProxyType({"f32": 1, "f16": 2, "bf16": 3, "i32": 4})
# Of keys and values: those of tensors, and a format of weights.
KV_CODES = MappingProxyType({"f32": 1, "f16": 2, "bf16": 3, "q8_0": 6})
LAYOUT_ROWS = 0

NONE, TENSOR, WEIGHT, STATE = range(4)
OPERAND_SHIFT = 28
OPERAND_INDEX = (1 << OPERAND_SHIFT) - 1

STATE_KV, STATE_RECURRENT = 1, 2
SPACE_ROWS = 1
SEGMENT_INLINE, SEGMENT_EXTERNAL = 0, 1
PORT_INPUT, PORT_OUTPUT = 0, 1

_NAME = f"S{NAME_BYTES}"
SECTION = np.dtype([("offset", "<u4"), ("count", "<u4")])
KERNEL = np.dtype([("name", _NAME)])
SEGMENT = np.dtype(
    [
        ("offset", "<u8"),
        ("bytes", "<u8"),
        ("kind", "<u4"),
        ("reserved", "<u4"),
        ("sha256", "u1", 32),
    ]
)
WEIGHT_RECORD = np.dtype(
    [
        ("offset", "<u8"),
        ("segment", "<u4"),
        ("format", "<u4"),
        ("layout", "<u4"),
        ("rows", "<u4"),
        ("cols", "<u4"),
        ("row_bytes", "<u4"),
    ]
)
SPACE = np.dtype(
    [
        ("base", "<u4"),
        ("multiple", "<u4"),
        ("max_rows", "<u4"),
        ("max_position", "<u4"),
        ("flags", "<u4"),
        ("reserved", "<u4"),
    ]
)
TENSOR_RECORD = np.dtype(
    [
        ("offset", "<u8"),
        ("space", "<u4"),
        ("cols", "<u4"),
        ("dtype", "<u4"),
        ("limit", "<u4"),
        ("limit_space", "<u4"),
        ("reserved", "<u4"),
    ]
)
STATE_RECORD = np.dtype(
    [
        ("offset", "<u8"),
        ("bytes", "<u8"),
        ("kind", "<u4"),
        ("group", "<u4"),
        ("dtype", "<u4"),
        ("width", "<u4"),
        ("width_v", "<u4"),
        ("head", "<u4"),
    ]
)
GROUP = np.dtype([("page_bytes", "<u8"), ("window", "<u4"), ("reserved", "<u4")])
FUNCTION = np.dtype(
    [
        ("name", _NAME),
        ("arena_bytes", "<u8"),
        ("first_space", "<u4"),
        ("spaces", "<u4"),
        ("first_tensor", "<u4"),
        ("tensors", "<u4"),
        ("first_port", "<u4"),
        ("ports", "<u4"),
        ("first_op", "<u4"),
        ("ops", "<u4"),
    ]
)
PORT = np.dtype([("name", _NAME), ("tensor", "<u4"), ("direction", "<u4")])
RECORD = np.dtype(
    [
        ("kernel", "<u4"),
        ("inputs", "<u4"),
        ("outputs", "<u4"),
        ("first_operand", "<u4"),
        ("attributes", "<u4", MAX_ATTRIBUTES),
    ]
)
OPERAND = np.dtype("<u4")
HOST = np.dtype("u1")

SECTIONS = MappingProxyType(
    {
        "kernels": KERNEL,
        "segments": SEGMENT,
        "weights": WEIGHT_RECORD,
        "spaces": SPACE,
        "tensors": TENSOR_RECORD,
        "states": STATE_RECORD,
        "groups": GROUP,
        "functions": FUNCTION,
        "ports": PORT,
        "ops": RECORD,
        "operands": OPERAND,
        "host": HOST,
    }
)
SECTION_NAMES = tuple(SECTIONS)
HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("major", "<u2"),
        ("minor", "<u2"),
        ("header_bytes", "<u4"),
        ("checksum", "<u4"),
        ("file_bytes", "<u8"),
        ("meta_bytes", "<u8"),
        ("max_slots", "<u4"),
        ("reserved", "<u4"),
        ("slot_bytes", "<u8"),
        ("section", SECTION, len(SECTIONS)),
    ]
)


def align(value: int, to: int) -> int:
    """Return the smallest multiple of `to` that is not below `value`."""
    return -(-value // to) * to


def operand(kind: int, index: int) -> int:
    """Pack an operand word: kind in the top 4 bits, index in the rest."""
    return (kind << OPERAND_SHIFT) | index
