"""The runtime as a library, declared from its own headers."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import cffi

from synapse_backend_cpu.native.compiler import compiled, target
from synapse_backend_cpu.native.recipe import HOST, RUNTIME, runtime_library


@functools.cache
def declarations() -> cffi.FFI:
    """Return cffi's view of the types and functions, read between the marks of the headers."""
    ffi = cffi.FFI()
    for header in (RUNTIME / "syn.h", HOST / "pool.h"):
        ffi.cdef(declared_in(header))
    return ffi


def declared_in(header: Path) -> str:
    """Return what a header declares between its CDEF marks, without comments."""
    text = header.read_text().split("/* CDEF */")[1].split("/* END CDEF */")[0]
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S).replace("0xffffffffu", "0xffffffff")


@functools.cache
def runtime() -> Any:
    """Return the opened runtime: compiled before, or now.

    Raises: Unavailable without a library and without a compiler.
    """
    return declarations().dlopen(str(library_path()))


def library_path() -> Path:
    """Return where the runtime's library is."""
    return compiled(runtime_library(target()))
