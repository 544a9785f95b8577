"""aarch64: a static Linux process under qemu's user emulation, driven through a pipe (serve.c)."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Self

from .guest import ELF, Guest
from .machine import ElfImage
from .tools import no_module, no_program

EMULATOR = "qemu-aarch64"
READ, WRITE, CALL = range(3)


class Aarch64Machine:
    """A process; its addresses are below 2^32, as it is linked at a fixed one."""

    guest = Guest(
        "aarch64", ("-target", "aarch64-linux-musl", *ELF, "-Wl,-e,start"), ("bare.c", "serve.c")
    )

    @classmethod
    def missing(cls) -> str | None:
        return no_program(EMULATOR) or no_module("ziglang", "elftools")

    @classmethod
    def start(cls, guest: Path) -> Self:
        return cls(guest)

    def __init__(self, guest: Path) -> None:
        self._address = ElfImage(guest).address
        self._process = subprocess.Popen(
            [EMULATOR, str(guest)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def read(self, address: int, size: int) -> bytes:
        return self._ask(READ, address, (size,), size)

    def write(self, address: int, data: bytes) -> None:
        self._ask(WRITE, address, (len(data),), 0, data)

    def call(self, function: str, *arguments: int) -> int:
        return int.from_bytes(self._ask(CALL, self._address[function], arguments, 4), "little")

    def close(self) -> None:
        """End the process by closing its pipe."""
        self._process.communicate()

    def _ask(
        self, what: int, address: int, arguments: tuple[int, ...], answer: int, data: bytes = b""
    ) -> bytes:
        sent, received = self._process.stdin, self._process.stdout
        assert sent is not None
        assert received is not None
        padding = (0,) * (4 - len(arguments))
        sent.write(struct.pack("<6I", what, address, *arguments, *padding) + data)
        sent.flush()
        found = received.read(answer)
        if len(found) != answer:
            raise RuntimeError(f"{EMULATOR} ended with code {self._process.wait()}")
        return found
