"""rv32imafc, a core of the ESP32-P4's kind, emulated by unicorn: no operating system."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from .guest import ELF, Guest
from .machine import ElfImage
from .tools import no_module

# What firmware is compiled with; the size budget (test_size.py) is measured with the same.
FLAGS = (
    "-Os", "-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+a+f+c+zicsr",
    "-mabi=ilp32f",
)  # fmt: skip
PAGE = 4096
STACK, STACK_BYTES = 0x40000000, 1 << 16
RETURN = STACK + STACK_BYTES  # a page that is never run: who returns to it has ended
FLOAT_ON = 1 << 13  # mstatus.FS = initial (RISC-V privileged architecture, 3.1.6.6)
FILL = b"\xa5"


class Rv32Machine:
    """A core, the guest's memory, and a stack of 64 KB."""

    guest = Guest("rv32", (*FLAGS, *ELF, "-Wl,-e,guest_open"), ("bare.c",))

    @classmethod
    def missing(cls) -> str | None:
        return no_module("ziglang", "elftools", "unicorn")

    @classmethod
    def start(cls, guest: Path) -> Self:
        return cls(ElfImage(guest))

    def __init__(self, image: ElfImage) -> None:
        from unicorn import UC_ARCH_RISCV, UC_MODE_RISCV32, Uc, riscv_const

        self._address = image.address
        self._registers = riscv_const
        self._core = Uc(UC_ARCH_RISCV, UC_MODE_RISCV32)
        start, end = (image.span[0] // PAGE * PAGE, -(-image.span[1] // PAGE) * PAGE)
        self._core.mem_map(start, end - start)
        for address, data in image.loaded():
            self._core.mem_write(address, data)
        self._core.mem_map(STACK, STACK_BYTES + PAGE)
        self._core.mem_write(STACK, FILL * STACK_BYTES)
        status = self._core.reg_read(riscv_const.UC_RISCV_REG_MSTATUS)
        self._core.reg_write(riscv_const.UC_RISCV_REG_MSTATUS, status | FLOAT_ON)

    @property
    def stack_bytes(self) -> int:
        """The most stack that a call has used so far."""
        stack = bytes(self._core.mem_read(STACK, STACK_BYTES))
        return len(stack.lstrip(FILL))

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._core.mem_read(address, size))

    def write(self, address: int, data: bytes) -> None:
        self._core.mem_write(address, data)

    def call(self, function: str, *arguments: int) -> int:
        r, core = self._registers, self._core
        places = (r.UC_RISCV_REG_A0, r.UC_RISCV_REG_A1, r.UC_RISCV_REG_A2, r.UC_RISCV_REG_A3)
        for place, argument in zip(places, arguments, strict=False):
            core.reg_write(place, argument)
        core.reg_write(r.UC_RISCV_REG_RA, RETURN)
        core.reg_write(r.UC_RISCV_REG_SP, STACK + STACK_BYTES)
        core.emu_start(self._address[function], RETURN)
        return int(core.reg_read(r.UC_RISCV_REG_A0)) & 0xFFFFFFFF

    def close(self) -> None:
        del self._core
