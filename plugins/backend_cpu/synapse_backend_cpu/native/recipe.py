"""How the runtime's C is compiled: sources, flags, targets, and the name that follows from them.

Uses the standard library only: the wheel's build hook runs this file before anything is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import secrets
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
RUNTIME = PACKAGE / "runtime"
HOST = PACKAGE / "host"

# Bits must not depend on the compiler's mood: no contraction, no libm, no sanitizer.
FLAGS = (
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-sanitize=all",
    "-Wall",
    "-Wextra",
    "-Werror",
)
TARGETS = {
    ("Linux", "x86_64"): "x86_64-linux-gnu.2.17",
    ("Linux", "aarch64"): "aarch64-linux-gnu.2.17",
    ("Darwin", "arm64"): "aarch64-macos.11.0",
    ("Darwin", "x86_64"): "x86_64-macos.11.0",
}


class CompileError(Exception):
    """There is no compiler, or it refuses the source; the text is one line."""


class Library(NamedTuple):
    """A shared library to be: where it comes from, and its file name.

    The name carries a hash of sources, headers, flags and target, so that a stale file is never
    taken for it.
    """

    file: str
    sources: tuple[Path, ...]
    options: tuple[str, ...]


def host_target() -> str | None:
    """Return the compiler's name for this machine; None where the runtime has no host yet."""
    return TARGETS.get((platform.system(), platform.machine()))


def runtime_sources() -> list[Path]:
    """Return the C files of the runtime and its core kernels."""
    return sorted([*RUNTIME.glob("*.c"), *(RUNTIME / "kernels").glob("*.c")])


def runtime_library(target: str) -> Library:
    """Return the recipe of the runtime with its threads."""
    return library("synapse-runtime", [*runtime_sources(), HOST / "pool.c"], target, ["-lpthread"])


def kernel_library(symbol: str, source: Path, target: str) -> Library:
    """Return the recipe of a plugin's kernel, which may use no library at all."""
    return library(symbol, [source], target, ["-ffreestanding"])


def library(stem: str, sources: Sequence[Path], target: str, flags: Iterable[str]) -> Library:
    """Return the recipe of a shared library."""
    options = (*FLAGS, *flags, "-shared", "-fPIC", "-target", target)
    suffix = ".dylib" if "macos" in target else ".so"
    return Library(f"{stem}-{content_key(sources, options)}{suffix}", tuple(sources), options)


def content_key(sources: Iterable[Path], options: Iterable[str]) -> str:
    """Return a hash of sources, all the runtime's headers, and options."""
    digest = hashlib.sha256("\0".join(options).encode())
    headers = sorted([*RUNTIME.glob("**/*.h"), *HOST.glob("*.h")])
    for path in [*headers, *sources]:
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:20]


def build(sources: Sequence[Path], options: Sequence[str], output: Path) -> Path:
    """Compile and link by ziglang; the output appears whole or not at all.

    Raises: CompileError.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise CompileError(
            f"{sources[0].name} must be compiled and there is no compiler:"
            " pip install 'synapse[kernels]'"
        )
    part = output.with_name(f".{secrets.token_hex(6)}.{output.name}")
    compiler = [sys.executable, "-m", "ziglang", "cc"]
    command = [*compiler, *options, f"-I{RUNTIME}", *map(str, sources), "-o", str(part)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        part.unlink(missing_ok=True)
        errors = [line for line in process.stderr.splitlines() if "error:" in line]
        said = errors[0] if errors else process.stderr.strip()[-300:]
        raise CompileError(f"{sources[0].name} does not compile: {said}")
    os.replace(part, output)
    return output
