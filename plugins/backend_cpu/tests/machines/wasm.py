"""wasm32, run by wasmtime."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, Self

from .guest import FUNCTIONS, Guest
from .tools import no_module


class WasmMachine:
    """A module's instance with a memory of its own."""

    guest = Guest(
        "wasm32",
        (
            "-target", "wasm32-freestanding", "-mcpu=generic+bulk_memory", "-nostdlib",
            "-Wl,--no-entry", *(f"-Wl,--export={name}" for name in FUNCTIONS),
        ),
    )  # fmt: skip

    @classmethod
    def missing(cls) -> str | None:
        return no_module("ziglang", "wasmtime")

    @classmethod
    def start(cls, guest: Path) -> Self:
        return cls(guest)

    def __init__(self, guest: Path) -> None:
        import wasmtime

        engine, module = _module(guest)
        self._store = wasmtime.Store(engine)
        self._exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        self._memory = self._exports["memory"]

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._memory.read(self._store, address, address + size))

    def write(self, address: int, data: bytes) -> None:
        self._memory.write(self._store, data, address)

    def call(self, function: str, *arguments: int) -> int:
        return int(self._exports[function](self._store, *arguments)) & 0xFFFFFFFF

    def close(self) -> None:
        self._store.close()


@functools.cache
def _module(guest: Path) -> tuple[Any, Any]:
    import wasmtime

    engine = wasmtime.Engine()
    return engine, wasmtime.Module(engine, guest.read_bytes())
