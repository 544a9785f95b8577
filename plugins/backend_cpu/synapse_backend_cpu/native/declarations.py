"""What the runtime's headers declare, as cffi has it; parsed once, then kept in the user's cache.

Parsing takes as long as loading a small model does. What cffi makes of it is a Python file of a few
kilobytes that needs no parser; its name carries a hash of the declarations and cffi's version.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import _cffi_backend

from synapse_backend_cpu.native.compiler import cache_folder
from synapse_backend_cpu.native.recipe import HOST, RUNTIME

HEADERS = (RUNTIME / "syn.h", HOST / "pool.h", HOST / "instructions.h", HOST / "pack.h")
MODULE = "synapse_declarations"


@functools.cache
def declarations() -> Any:
    """Return cffi's view of the types and functions, read between the marks of the headers."""
    texts = [declared_in(header) for header in HEADERS]
    key = hashlib.sha256("\0".join([_cffi_backend.__version__, *texts]).encode()).hexdigest()[:20]
    with suppress(OSError):  # a cache that cannot be used costs time only
        file = cache_folder() / f"{MODULE}-{key}.py"
        if not file.is_file():
            _write(_parsed(texts), file)
        names: dict[str, Any] = {}
        exec(compile(file.read_bytes(), str(file), "exec"), names)
        return names["ffi"]
    return _parsed(texts)


def declared_in(header: Path) -> str:
    """Return what a header declares between its CDEF marks, without comments."""
    text = header.read_text().split("/* CDEF */")[1].split("/* END CDEF */")[0]
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S).replace("0xffffffffu", "0xffffffff")


def _parsed(texts: list[str]) -> Any:
    import cffi

    ffi = cffi.FFI()
    for text in texts:
        ffi.cdef(text)
    return ffi


def _write(ffi: Any, file: Path) -> None:
    """Write what cffi made; the file appears whole or not at all."""
    part = file.with_name(f".{secrets.token_hex(6)}.{file.name}")
    try:
        ffi.set_source(MODULE, None, compiler_verbose=False)  # it would print to stdout
        ffi.emit_python_code(str(part))
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
