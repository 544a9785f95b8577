"""The backend `cpu`."""

from __future__ import annotations

import attrs

from synapse_backend_cpu.native.compiler import target
from synapse_backend_cpu.packing import packed_bytes
from synapse_backend_cpu.session import CpuSession
from synapse_core.backends import Executable
from synapse_core.errors import Unavailable
from synapse_core.formats import format_named
from synapse_core.ops import ARITHMETICS


@attrs.frozen
class CpuBackend:
    """Runs programs by the C runtime, on one thread or many: the bits are the same."""

    name: str = "cpu"
    rank: int = 10

    def unavailable(self) -> str | None:
        """Say why it cannot work on this machine, or None when it can."""
        try:
            target()
        except Unavailable as error:
            return str(error)
        return None

    def copied_bytes(self, format: str, arith: str, rows: int, cols: int) -> int:
        """Return what a product's weight takes once more; see `synapse_core.backends.Backend`."""
        code = ARITHMETICS.index(arith)
        return packed_bytes(format_named(format).code, code, rows, cols)

    def open(
        self, executable: Executable, *, threads: int | None = None, pages: int | None = None
    ) -> CpuSession:
        """Open a model; see `synapse_core.backends.Backend.open`."""
        return CpuSession.open(executable, threads, pages)
