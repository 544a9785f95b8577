"""The machine's own limits, measured beside what is compared: reading memory, integer products."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cffi
import numpy as np

SOURCE = Path(__file__).with_name("limits.c")
READ_BYTES = 512 << 20
DECLARED = "double read_rate(const uint8_t *, uint64_t, int); double product_rate(int);"


class Limits:
    """Loops in C, compiled here for this processor; call `measure` as often as you compare."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="synapse-limits-")
        library = Path(self._folder.name) / "limits.so"
        command = [
            sys.executable,
            "-m",
            "ziglang",
            "cc",
            "-O3",
            "-march=native",
            "-shared",
            "-fPIC",
        ]
        subprocess.run([*command, str(SOURCE), "-o", str(library)], check=True)
        self._ffi = cffi.FFI()
        self._ffi.cdef(DECLARED)
        self._library: Any = self._ffi.dlopen(str(library))
        self._data = np.ones(READ_BYTES + 64, dtype=np.uint8)

    def measure(self, threads: int, times: int = 5) -> dict[str, float]:
        """Return what all threads reach together.

        Units: read_gb_s 10^9 bytes a second; product_gmac_s 10^9 multiply-adds a second, of
        VPDPBUSD, 0 on a processor without.
        """
        part = READ_BYTES // threads // 64 * 64
        start = -self._data.ctypes.data % 64
        address = self._data.ctypes.data + start
        places = [self._ffi.cast("uint8_t *", address + n * part) for n in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            read = list(pool.map(lambda at: self._library.read_rate(at, part, times), places))
            products = list(pool.map(lambda _: self._library.product_rate(times), places))
        return {"read_gb_s": sum(read) / 1e9, "product_gmac_s": sum(products) / 1e9}
