"""Reading a program's tables back: sections, and functions as a host needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import ProgramError
from synapse_core.ops import Space, TensorType
from synapse_core.program import records as r
from synapse_core.program.contract import Program
from synapse_core.program.image import header_of

_DTYPE_OF_CODE = {code: name for name, code in r.DTYPE_CODES.items()}


@attrs.frozen
class Port:
    """An input or output of a function: its name, what it is, and which tensor of the function."""

    name: str
    type: TensorType
    tensor: int


@attrs.frozen(eq=False)
class FunctionTable:
    """One function of a program: its spaces in record order, its ports, its records."""

    name: str
    index: int
    spaces: tuple[Space, ...]
    max_rows: Mapping[str, int]
    max_position: Mapping[str, int]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    tensor_types: tuple[TensorType, ...]
    tensors: np.ndarray
    ops: np.ndarray
    arena_bytes: int

    @property
    def base_spaces(self) -> tuple[Space, ...]:
        """The spaces that a call counts."""
        return tuple(space for space in self.spaces if space.is_base)


@attrs.frozen(eq=False)
class Tables:
    """Views of a program's sections, each inside the image."""

    kernels: np.ndarray
    segments: np.ndarray
    weights: np.ndarray
    spaces: np.ndarray
    tensors: np.ndarray
    states: np.ndarray
    groups: np.ndarray
    functions: np.ndarray
    ports: np.ndarray
    ops: np.ndarray
    operands: np.ndarray
    host: np.ndarray

    @classmethod
    def of(cls, image: np.ndarray, file: Path | str = "program") -> Tables:
        """Take the sections of an image whose header is sound.

        Raises: ProgramError naming the section that does not lie inside the image.
        """
        header = header_of(image)
        end = int(header["meta_bytes"])
        views: dict[str, np.ndarray] = {}
        for (name, dtype), section in zip(r.SECTIONS.items(), header["section"], strict=True):
            start, count = int(section["offset"]), int(section["count"])
            stop = start + count * dtype.itemsize
            if start % 8 or start < r.HEADER.itemsize or stop > end:
                raise ProgramError(file, f"{count} records from byte {start}", field=name)
            views[name] = image[start:stop].view(dtype)
        return cls(**views)

    def kernel_names(self) -> list[str]:
        """Return the names of the ops that the program needs."""
        return [bytes(name).decode("ascii", "replace") for name in self.kernels["name"]]

    def weights_of(self, kernel: str) -> list[int]:
        """Return the numbers of the weights that ops of this kernel read, in rising order."""
        return sorted({number for _, numbers in self.reads_of(kernel) for number in numbers})

    def reads_of(self, kernel: str) -> Iterator[tuple[np.ndarray, list[int]]]:
        """Give each op of this kernel, its record, and the numbers of the weights that it reads."""
        names = self.kernel_names()
        for op in self.ops:
            if names[int(op["kernel"])] == kernel:
                first = int(op["first_operand"])
                words = self.operands[first : first + int(op["inputs"])].tolist()
                yield op, [w & r.OPERAND_INDEX for w in words if w >> r.OPERAND_SHIFT == r.WEIGHT]


def functions_of(program: Program) -> dict[str, FunctionTable]:
    """Return the functions of a program by name.

    Raises: ProgramError when a number in the tables points outside them.
    """
    file = program.path or "program"
    tables = Tables.of(program.image, file)
    try:
        tables_of = [_function(tables, n, program.host) for n in range(len(tables.functions))]
    except (IndexError, KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
        raise ProgramError(file, f"points outside its tables: {error}", field="functions") from None
    return {function.name: function for function in tables_of}


def _function(tables: Tables, index: int, host: Mapping[str, Any]) -> FunctionTable:
    record = tables.functions[index]
    name = bytes(record["name"]).decode()
    space_records = _slice(tables.spaces, record, "first_space", "spaces")
    names = host.get("functions", {}).get(name, {}).get("spaces", [])
    if len(names) != len(space_records):
        names = [f"space{n}" for n in range(len(space_records))]
    spaces = tuple(
        Space(str(names[n]), str(names[int(s["base"])]), int(s["multiple"]), bool(s["flags"] & 1))
        for n, s in enumerate(space_records)
    )
    tensors = _slice(tables.tensors, record, "first_tensor", "tensors")
    types = _types(tensors, spaces)
    ports = [
        (
            Port(bytes(port["name"]).decode(), types[int(port["tensor"])], int(port["tensor"])),
            int(port["direction"]),
        )
        for port in _slice(tables.ports, record, "first_port", "ports")
    ]
    bases = [(space.name, s) for space, s in zip(spaces, space_records, strict=True)]
    return FunctionTable(
        name=name,
        index=index,
        spaces=spaces,
        max_rows={space: int(s["max_rows"]) for space, s in bases},
        max_position={space: int(s["max_position"]) for space, s in bases},
        inputs=tuple(port for port, direction in ports if direction == r.PORT_INPUT),
        outputs=tuple(port for port, direction in ports if direction == r.PORT_OUTPUT),
        tensor_types=types,
        tensors=tensors,
        ops=_slice(tables.ops, record, "first_op", "ops"),
        arena_bytes=int(record["arena_bytes"]),
    )


def _slice(table: np.ndarray, record: np.ndarray, first: str, count: str) -> np.ndarray:
    start, stop = int(record[first]), int(record[first]) + int(record[count])
    if stop > len(table):
        raise IndexError(f"{count} {start} to {stop} of {len(table)}")
    return table[start:stop]


def _types(tensors: np.ndarray, spaces: tuple[Space, ...]) -> tuple[TensorType, ...]:
    """Return each tensor's type; of the many that are alike one is made."""
    made: dict[tuple[int, ...], TensorType] = {}
    types: list[TensorType] = []
    for key in tensors[["space", "cols", "dtype", "limit", "limit_space"]].tolist():
        if key not in made:
            space, cols, code, limit, limit_space = key
            dtype = _DTYPE_OF_CODE[code]
            by_space = dtype == "i32" and limit == 0
            bound = spaces[limit_space].name if by_space else ""
            made[key] = TensorType(spaces[space], cols, dtype, limit, bound)
        types.append(made[key])
    return tuple(types)
