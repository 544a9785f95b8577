"""Compiling C by ziglang: any target from any machine, the result found again by its content."""

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

from platformdirs import user_cache_path

from synapse_core.errors import Unavailable

PACKAGE = Path(__file__).parents[1]
RUNTIME = PACKAGE / "runtime"
HOST = PACKAGE / "host"
PACKAGED = PACKAGE / "_lib"

# Bits must not depend on the compiler's mood: no contraction, no libm, no sanitizer.
FLAGS = (
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-sanitize=all",
    "-fvisibility=default",
    "-Wall",
    "-Wextra",
    "-Werror",
)
_TARGETS = {
    ("Linux", "x86_64"): "x86_64-linux-gnu.2.17",
    ("Linux", "aarch64"): "aarch64-linux-gnu.2.17",
    ("Darwin", "arm64"): "aarch64-macos.11.0",
    ("Darwin", "x86_64"): "x86_64-macos.11.0",
}


def runtime_sources() -> list[Path]:
    """Return the C files of the runtime and its core kernels."""
    return sorted([*RUNTIME.glob("*.c"), *(RUNTIME / "kernels").glob("*.c")])


def host_target() -> str:
    """Return the compiler's name for this machine.

    Raises: Unavailable on a system that the runtime has no host for.
    """
    machine = (platform.system(), platform.machine())
    try:
        return _TARGETS[machine]
    except KeyError:
        raise Unavailable(f"backend 'cpu' has no host for {' '.join(machine)} yet") from None


def shared_library(
    name: str, sources: Sequence[Path], *, target: str, flags: Iterable[str] = ()
) -> Path:
    """Return the library compiled from C sources: packaged, cached, or built now.

    Its file name carries a hash of sources, headers, flags and target, so a stale one is never
    taken for it.

    Raises: Unavailable when it must be built and there is no compiler, or the build fails.
    """
    options = [*FLAGS, *flags, "-shared", "-fPIC", "-target", target]
    file = f"{name}-{content_key(sources, options)}{'.dylib' if 'macos' in target else '.so'}"
    for folder in (PACKAGED, cache_folder()):
        if (folder / file).is_file():
            return folder / file
    return build(sources, options, cache_folder() / file)


def cache_folder() -> Path:
    """Return the folder for compiled kernels, private to the user."""
    folder = user_cache_path("synapse") / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def build(sources: Sequence[Path], options: Sequence[str], output: Path) -> Path:
    """Compile and link; the output appears whole or not at all.

    Raises: Unavailable without a compiler, or with the compiler's first error.
    """
    if importlib.util.find_spec("ziglang") is None:
        names = ", ".join(path.name for path in sources[:2])
        raise Unavailable(
            f"{names} must be compiled and there is no compiler: pip install 'synapse[kernels]'"
        )
    part = output.with_name(f".{secrets.token_hex(6)}.{output.name}")
    compiler = [sys.executable, "-m", "ziglang", "cc"]
    command = [*compiler, *options, f"-I{RUNTIME}", *map(str, sources), "-o", str(part)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        errors = [line for line in process.stderr.splitlines() if "error:" in line]
        said = errors[0] if errors else process.stderr.strip()[-300:]
        part.unlink(missing_ok=True)
        raise Unavailable(f"{sources[0].name} does not compile: {said}")
    os.replace(part, output)
    return output


def content_key(sources: Iterable[Path], options: Iterable[str]) -> str:
    """Return a hash of sources, all the runtime's headers, and options."""
    digest = hashlib.sha256("\0".join(options).encode())
    headers = sorted([*RUNTIME.glob("**/*.h"), *HOST.glob("*.h")])
    for path in [*headers, *sources]:
        digest.update(b"\0" + path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:20]
