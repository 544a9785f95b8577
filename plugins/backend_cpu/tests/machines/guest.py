"""Compiling the guest: the runtime, its core kernels and at most one plugin's, for one machine."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import NamedTuple

import attrs
from synapse_backend_cpu.native import recipe
from synapse_backend_cpu.native.kernels import kernel_source, kernel_symbol

from synapse_core.errors import Unavailable
from synapse_core.ops import Op

HERE = Path(__file__).parent
FUNCTIONS = (
    "guest_take",
    "guest_open",
    "guest_scratch_bytes",
    "guest_run",
    "guest_rollout",
    "guest_copy_state",
)
# The symbol table is kept by -g; the functions, which nothing in the guest calls, by the linker.
ELF = ("-nostdlib", "-static", "-g", "-Wl,--no-gc-sections")


class Plugin(NamedTuple):
    """A plugin's kernel: the C name of it, and its file."""

    symbol: str
    source: Path


@attrs.frozen
class Guest:
    """How a machine's guest is made: name, compiler flags, C files beside guest.c, kernels."""

    name: str
    flags: tuple[str, ...]
    sources: tuple[str, ...] = ()
    tier: recipe.Tier = recipe.PLAIN

    def build(self, plugin: Plugin | None) -> Path:
        """Return the guest, compiled once a process.

        Raises: CompileError.
        """
        return _build(self, plugin)


def plugin_of(ops: list[Op]) -> Plugin | None:
    """Return the kernel that a program needs beyond the core's.

    Raises: Unavailable when an op has no kernel in C, or more than one is a plugin's.
    """
    found = [(op, source) for op in ops if (source := kernel_source(op)) is not None]
    if len(found) > 1:
        names = ", ".join(op.name for op, _ in found)
        raise Unavailable(f"a guest holds one plugin's kernel; the program needs {names}")
    return Plugin(kernel_symbol(found[0][0].name), found[0][1]) if found else None


@functools.cache
def _build(guest: Guest, plugin: Plugin | None) -> Path:
    sources = [HERE / name for name in ("guest.c", *guest.sources)]
    sources += recipe.runtime_sources(guest.tier)
    options = (*recipe.FLAGS, "-ffreestanding", *guest.flags, *guest.tier.flags)
    if plugin is not None:
        sources.append(plugin.source)
        options = (*options, f"-DGUEST_PLUGIN={plugin.symbol}")
    name = f"{guest.name}-{recipe.content_key(sources, options)}"
    return recipe.build(sources, options, Path(_folder().name) / name)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="synapse-guest-")
