"""Whether a model's re-encoded weights fit the memory of the machine, before one is made.

A matrix that keeps its format lies in a mapped file, whose pages the system takes back when it
needs them; one in another format lies in memory of our own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from synapse_core.errors import Unavailable
from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.graph import Graph
from synapse_core.passes import Rule, holding_of

# They are made one by one and each moves into one block; a backend may copy them for its kernels.
COPIES = 2
# Of two kinds of cgroup: limit, what is used, and how the file's cache in that is called.
CGROUPS = (
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def check_room(
    path: Path,
    graph: Graph,
    plan: Sequence[Rule],
    limit_bytes: int | None,
    known: Formats = CORE_FORMATS,
) -> None:
    """Refuse a model whose re-encoded matrices would take more than `limit_bytes`, None: any.

    `known` are the formats that weights are stored or asked in.

    Raises: Unavailable with both figures.
    """
    formats: dict[str, int] = {}
    carried: set[str] = set()
    for weight in graph.weights.values():
        holding = holding_of(weight, plan, known)
        if holding is None or holding.held is holding.stored:
            continue
        if holding.asked is None:
            carried.add(holding.stored.name)
        taken = weight.rows * holding.held.row_bytes(weight.cols)
        formats[holding.held.name] = formats.get(holding.held.name, 0) + taken
    needed = COPIES * sum(formats.values())
    if limit_bytes is None or needed <= limit_bytes:
        return
    why = f" ({', '.join(sorted(carried))} cannot be run as stored)" if carried else ""
    raise Unavailable(
        f"{path}: its matrices held in {', '.join(sorted(formats))}{why} take"
        f" {COPIES} × {_size(needed // COPIES)} of memory, {_size(limit_bytes)} are available;"
        " `synapse quantize` writes a file in a format that runs without a copy"
    )


def available_bytes() -> int | None:
    """Return how much memory this process may still take, None where nobody says.

    Linux: what the kernel holds available, or what is left of the cgroup's limit where that is
    less. Elsewhere: all memory of the machine.
    """
    found = [_kernel_bytes(), *_left_in_cgroups()]
    return min((count for count in found if count is not None), default=None)


def _kernel_bytes() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    with suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if sys.platform == "win32":
        return _windows_bytes()
    return None


def _left_in_cgroups() -> Iterator[int]:
    """Yield what is left of each limit that holds for this process, or for its container."""
    paths = {"/"}
    with suppress(OSError):
        paths |= {line.rpartition(":")[2] for line in _lines("/proc/self/cgroup")}
    for home, limit, used, cache in CGROUPS:
        for path in sorted(paths):
            folder = Path(home) / path.lstrip("/")
            with suppress(OSError, ValueError):
                most = int((folder / limit).read_text())  # "max" is no number: there is none
                held = int((folder / used).read_text())
                rows = (line.split() for line in _lines(folder / "memory.stat"))
                held -= next((int(row[1]) for row in rows if row[0] == cache), 0)
                yield max(0, most - held)


def _lines(path: str | Path) -> list[str]:
    return Path(path).read_text().splitlines()


def _windows_bytes() -> int | None:
    """Return `ullAvailPhys` of GlobalMemoryStatusEx."""
    import ctypes

    windows: Any = vars(ctypes)["windll"]
    status = (ctypes.c_uint64 * 8)()  # two u32 (size, load), then seven u64
    ctypes.cast(status, ctypes.POINTER(ctypes.c_uint32))[0] = ctypes.sizeof(status)
    return int(status[2]) if windows.kernel32.GlobalMemoryStatusEx(status) else None


def _size(count: int) -> str:
    """Return bytes in a unit of which there are at least ten, or bytes."""
    for unit, shift in (("GB", 30), ("MB", 20), ("kB", 10)):
        if count >= 10 << shift:
            return f"{count / (1 << shift):.1f} {unit}"
    return f"{count} bytes"
