"""A pickle machine that can only build dictionaries of tensors.

It runs opcode after opcode over a stack and a memo, as pickle does, with bounds on each, and never
imports or calls anything: globals come from the list in `inert`.

Source: the opcodes' meanings are those of Lib/pickletools.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from synapse_core.errors import FileError
from synapse_core.loaders.torch_file.inert import (
    Global,
    NotATensorDictionary,
    Storage,
    call,
    find_global,
    kind_of,
    set_item,
    storage_of,
)

# A tensor takes about 26 opcodes, 230 bytes and 13 places of the memo: room for 20,000 of them. A
# pickler writes the entries of a dictionary a thousand at a time.
MOST_PICKLE_BYTES = 16 << 20
MOST_OPCODES = 1 << 19
MOST_STACK = 1 << 14
MOST_MEMO = 1 << 18
MOST_TEXT = 1 << 16
MOST_INT_BYTES = 16
# numbers, sizes and texts that follow an opcode, little-endian
_U1, _U2, _U4, _I4, _U8 = (struct.Struct(f"<{code}") for code in "BHIiQ")
_STOP = ord(".")
_F8 = struct.Struct(">d")


class PickleMachine:
    """Reads one pickle from `data`, which begins at byte `base` of the file.

    `storages` are those it named, by key, in their order.
    """

    def __init__(self, path: Path, data: bytes, *, field: str, base: int) -> None:
        self.storages: dict[str, Storage] = {}
        self._path, self._data, self._field, self._base = path, data, field, base
        self._at = self._begin = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> tuple[Any, int]:
        """Return the value and how many bytes its pickle has.

        Raises: FileError naming the byte in the file.
        """
        try:
            for _ in range(MOST_OPCODES):
                self._begin = self._at
                code = self._take(1)[0]
                if code == _STOP:
                    value = self._pop()
                    if self._stack or self._marks:
                        self._bad("ends with values left on its stack")
                    return value, self._at
                step = _STEPS.get(code)
                if step is None:
                    self._bad(f"has opcode {_name_of(code)}, which no dictionary of tensors needs")
                step(self)
                if len(self._stack) + len(self._marks) > MOST_STACK:
                    self._bad(f"has more than {MOST_STACK} values on its stack")
        except NotATensorDictionary as error:
            self._bad(str(error))
        self._bad(f"has more than {MOST_OPCODES} opcodes")

    def _bad(self, problem: str) -> NoReturn:
        offset = self._base + self._begin
        raise FileError(self._path, problem, field=self._field, offset=offset) from None

    def _take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            self._begin = min(self._begin, len(self._data))
            self._bad("is cut off, or larger than a dictionary of tensors is")
        taken = self._data[self._at : end]
        self._at = end
        return taken

    def _number(self, layout: struct.Struct) -> Any:
        return layout.unpack(self._take(layout.size))[0]

    def _text(self, length: int) -> str:
        if not 0 <= length <= MOST_TEXT:
            self._bad(f"has a text of {length} bytes; at most {MOST_TEXT} are read")
        try:
            return self._take(length).decode("utf-8")
        except UnicodeDecodeError:
            self._bad("has a text that is not UTF-8")

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at, self._at + 257)
        if end < 0:
            self._bad("has a name without end")
        name = self._text(end - self._at)
        self._at += 1
        return name

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            self._bad("takes a value from an empty stack")
        return self._stack.pop()

    def _top(self, kind: type) -> Any:
        """Return the value on top, which stays there and must be of a kind."""
        value = self._pop()
        if type(value) is not kind:
            self._bad(f"fills a {kind_of(value)}, expected a {kind.__name__}")
        self._stack.append(value)
        return value

    def _mark(self) -> None:
        self._marks.append(len(self._stack))

    def _since_mark(self) -> list[Any]:
        if not self._marks:
            self._bad("looks for a mark where none is")
        begin = self._marks.pop()
        values = self._stack[begin:]
        del self._stack[begin:]
        return values

    def _proto(self) -> None:
        version = self._number(_U1)
        if not 2 <= version <= 5:
            self._bad(f"has protocol {version}; 2 to 5 are read")

    def _frame(self) -> None:
        length = self._number(_U8)
        if length > len(self._data) - self._at:
            self._bad(f"has a frame of {length} bytes, {len(self._data) - self._at} are left")

    def _long(self) -> None:
        length = self._number(_U1)
        if length > MOST_INT_BYTES:
            self._bad(f"has a number of {length} bytes; at most {MOST_INT_BYTES} are read")
        self._push(int.from_bytes(self._take(length), "little", signed=True))

    def _tuple(self, count: int) -> None:
        begin = len(self._stack) - count
        if begin < (self._marks[-1] if self._marks else 0):
            self._bad("takes a value from an empty stack")
        self._stack[begin:] = [tuple(self._stack[begin:])]

    def _append(self) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _appends(self) -> None:
        values = self._since_mark()
        self._top(list).extend(values)

    def _set_item(self) -> None:
        value, key = self._pop(), self._pop()
        set_item(self._top(dict), key, value)

    def _set_items(self) -> None:
        values = self._since_mark()
        if len(values) % 2:
            self._bad("sets a key without a value")
        target = self._top(dict)
        for key, value in zip(values[::2], values[1::2], strict=True):
            set_item(target, key, value)

    def _put(self, place: int) -> None:
        if len(self._memo) >= MOST_MEMO:
            self._bad(f"remembers more than {MOST_MEMO} values")
        value = self._pop()
        self._stack.append(value)
        self._memo[place] = value

    def _get(self, place: int) -> None:
        if place not in self._memo:
            self._bad(f"recalls value {place}, which was never remembered")
        self._push(self._memo[place])

    def _global(self) -> None:
        module = self._line()
        self._push(find_global(f"{module}.{self._line()}"))

    def _stack_global(self) -> None:
        name, module = self._pop(), self._pop()
        if type(name) is not str or type(module) is not str:
            self._bad("refers to a global by no name")
        self._push(find_global(f"{module}.{name}"))

    def _reduce(self) -> None:
        arguments, target = self._pop(), self._pop()
        self._push(call(target, arguments))

    def _new_object(self) -> None:
        arguments, target = self._pop(), self._pop()
        if type(target) is not Global or target.name != "collections.OrderedDict":
            self._bad(f"makes an object of {kind_of(target)}")
        self._push(call(target, arguments))

    def _build(self) -> None:
        # An OrderedDict's own attributes (`_metadata`: module versions) say nothing of its tensors.
        if type(self._pop()) is not dict:
            self._bad("sets the state of an object with something else than a dict")
        self._top(dict)

    def _persistent(self) -> None:
        storage = storage_of(self._pop())
        known = self.storages.setdefault(storage.key, storage)
        if (known.dtype, known.count) != (storage.dtype, storage.count):
            self._bad(f"gives storage {storage.key!r} a second type or size")
        self._push(known)


Step = Callable[[PickleMachine], None]


def _name_of(code: int) -> str:
    from pickletools import opcodes

    names = {opcode.code: opcode.name for opcode in opcodes}
    return names.get(chr(code), f"0x{code:02x}")


def _pushes(make: Callable[[], Any]) -> Step:
    return lambda machine: machine._push(make())


def _pushes_number(layout: struct.Struct) -> Step:
    return lambda machine: machine._push(machine._number(layout))


def _pushes_text(layout: struct.Struct) -> Step:
    return lambda machine: machine._push(machine._text(machine._number(layout)))


_STEPS_OF: dict[bytes, Step] = {
    b"\x80": PickleMachine._proto,
    b"\x95": PickleMachine._frame,
    b"(": PickleMachine._mark,
    b"N": _pushes(lambda: None),
    b"\x88": _pushes(lambda: True),
    b"\x89": _pushes(lambda: False),
    b"K": _pushes_number(_U1),
    b"M": _pushes_number(_U2),
    b"J": _pushes_number(_I4),
    b"G": _pushes_number(_F8),
    b"\x8a": PickleMachine._long,
    b"X": _pushes_text(_U4),
    b"\x8c": _pushes_text(_U1),
    b"T": _pushes_text(_I4),
    b"U": _pushes_text(_U1),
    b"}": _pushes(dict),
    b"]": _pushes(list),
    b")": _pushes(tuple),
    b"\x85": lambda machine: machine._tuple(1),
    b"\x86": lambda machine: machine._tuple(2),
    b"\x87": lambda machine: machine._tuple(3),
    b"t": lambda machine: machine._push(tuple(machine._since_mark())),
    b"a": PickleMachine._append,
    b"e": PickleMachine._appends,
    b"s": PickleMachine._set_item,
    b"u": PickleMachine._set_items,
    b"q": lambda machine: machine._put(machine._number(_U1)),
    b"r": lambda machine: machine._put(machine._number(_U4)),
    b"\x94": lambda machine: machine._put(len(machine._memo)),
    b"h": lambda machine: machine._get(machine._number(_U1)),
    b"j": lambda machine: machine._get(machine._number(_U4)),
    b"c": PickleMachine._global,
    b"\x93": PickleMachine._stack_global,
    b"R": PickleMachine._reduce,
    b"\x81": PickleMachine._new_object,
    b"b": PickleMachine._build,
    b"Q": PickleMachine._persistent,
}
_STEPS = {code[0]: step for code, step in _STEPS_OF.items()}
