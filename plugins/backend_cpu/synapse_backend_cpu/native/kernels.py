"""Plugins' kernels: a C file, compiled ahead of time or on first use, opened by its symbol."""

from __future__ import annotations

import functools
from importlib.resources import files
from pathlib import Path
from typing import Any

from synapse_backend_cpu.native.compiler import compiled, target
from synapse_backend_cpu.native.declarations import declarations
from synapse_backend_cpu.native.library import runtime, tier
from synapse_backend_cpu.native.recipe import CARRIED, Tier, kernel_library, kernel_symbol
from synapse_core.errors import Unavailable
from synapse_core.ops import Op

CORE = "core"


def kernel_source(op: Op) -> Path | None:
    """Return a plugin op's C file; None for an op whose kernel the runtime has.

    Raises: Unavailable when the op has no C kernel, or names a file that is not there.
    """
    place = op.kernels.get("c")
    if place is None:
        raise Unavailable(f"op {op.name!r} has no kernel in C; it runs on --backend numpy")
    if place == CORE:
        return None
    package, _, path = place.partition(":")
    try:
        source = Path(str(files(package).joinpath(path)))
    except ModuleNotFoundError as error:
        raise Unavailable(f"op {op.name!r}: kernel {place!r}: {error}") from error
    if not source.is_file():
        raise Unavailable(f"op {op.name!r}: there is no kernel file {place!r}")
    return source


def kernel_pointers(ops: list[Op]) -> list[Any]:
    """Return `const syn_kernel *` of the core's kernels and of these plugin ops."""
    count = declarations().new("uint32_t *")
    table = runtime().syn_core_table(count)
    pointers = [table[n] for n in range(count[0])]
    for op in ops:
        source = kernel_source(op)
        if source is not None:
            pointers.append(_open(op.name, source, tier()))
    return pointers


def compile_kernel(name: str, source: Path, of: Tier) -> Path:
    """Return the library of a plugin's kernel for a table of kernels, compiled if need be."""
    library = kernel_library(kernel_symbol(name), source, target(), of)
    return compiled(library, source.parent / CARRIED)


@functools.cache
def _open(name: str, source: Path, of: Tier) -> Any:
    library = compile_kernel(name, source, of)
    ffi = _with_symbol(kernel_symbol(name))
    opened = ffi.dlopen(str(library))
    try:
        address = ffi.addressof(opened, kernel_symbol(name))
    except AttributeError as error:
        raise Unavailable(
            f"op {name!r}: {source.name} does not export {kernel_symbol(name)!r}"
        ) from error
    _KEEP.append(opened)
    return declarations().cast("const syn_kernel *", int(ffi.cast("uintptr_t", address)))


_KEEP: list[Any] = []


def _with_symbol(symbol: str) -> Any:
    import cffi

    ffi = cffi.FFI()
    ffi.cdef(f"extern const unsigned char {symbol}[];")
    return ffi
