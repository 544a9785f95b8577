"""What an emulated machine is to its host: a flat memory and functions to call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Protocol, Self

from .guest import Guest


class Machine(Protocol):
    """A machine that has loaded a guest. Addresses and arguments are below 2^32."""

    guest: ClassVar[Guest]

    @classmethod
    def missing(cls) -> str | None:
        """Say which tool is not installed, or None."""
        ...

    @classmethod
    def start(cls, guest: Path) -> Self:
        """Load a compiled guest into a fresh machine."""
        ...

    def read(self, address: int, size: int) -> bytes:
        """Return bytes of the memory."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """Change bytes of the memory."""
        ...

    def call(self, function: str, *arguments: int) -> int:
        """Call a guest's function with up to four words; return its word."""
        ...

    def close(self) -> None:
        """Free it all."""
        ...


class ElfImage:
    """An executable at fixed addresses: where its functions are, and what is loaded where."""

    def __init__(self, path: Path) -> None:
        from elftools.elf.elffile import ELFFile

        with path.open("rb") as file:
            elf = ELFFile(file)
            assert elf["e_type"] == "ET_EXEC", f"{path.name} is no executable at fixed addresses"
            symbols = elf.get_section_by_name(".symtab")
            self.address = {s.name: int(s["st_value"]) for s in symbols.iter_symbols() if s.name}
            self._segments = [
                (int(s["p_vaddr"]), int(s["p_memsz"]), s.data())
                for s in elf.iter_segments("PT_LOAD")
            ]

    @property
    def span(self) -> tuple[int, int]:
        """The first address that is loaded, and the one behind the last."""
        starts = [start for start, _, _ in self._segments]
        return min(starts), max(start + size for start, size, _ in self._segments)

    def loaded(self) -> Iterator[tuple[int, bytes]]:
        """Give address and bytes of what is not zero at the start."""
        for start, _, data in self._segments:
            yield start, data
