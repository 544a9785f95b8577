"""How the runtime's C is compiled: sources, flags, targets, and the name that follows from them.

Uses the standard library only: the wheel's build hook runs this file before anything is installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import re
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1]
RUNTIME = PACKAGE / "runtime"
HOST = PACKAGE / "host"
# The folder of what a wheel carries compiled: in this package, and beside a plugin's C files.
CARRIED = "_lib"

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
    ("Linux musl", "x86_64"): "x86_64-linux-musl",
    ("Linux musl", "aarch64"): "aarch64-linux-musl",
    ("Darwin", "arm64"): "aarch64-macos.11.0",
    ("Darwin", "x86_64"): "x86_64-macos.11.0",
    ("Windows", "AMD64"): "x86_64-windows-gnu",
}
# Of a wheel with a target's libraries.
PLATFORM_TAGS = {
    "x86_64-linux-gnu.2.17": "manylinux_2_17_x86_64.manylinux2014_x86_64",
    "aarch64-linux-gnu.2.17": "manylinux_2_17_aarch64.manylinux2014_aarch64",
    "x86_64-linux-musl": "musllinux_1_2_x86_64",
    "aarch64-linux-musl": "musllinux_1_2_aarch64",
    "aarch64-macos.11.0": "macosx_11_0_arm64",
    "x86_64-macos.11.0": "macosx_11_0_x86_64",
    "x86_64-windows-gnu": "win_amd64",
}
SUFFIXES = {"linux": ".so", "macos": ".dylib", "windows": ".dll"}


class Tier(NamedTuple):
    """One table of kernels, for the processors that have its instructions.

    `folder` has the files that take the place of those of the same name in `kernels/` and `host/`,
    and what they need beside; all others are compiled with the tier's flags. `feature` is its bit
    in `syn_instructions`, 0 for none.
    """

    name: str
    feature: int
    flags: tuple[str, ...]
    folder: str | None


PLAIN = Tier("plain", 0, (), None)
# The fastest first.
TIERS = {
    "x86_64": (
        Tier("amx", 4, ("-mcpu=x86_64_v4+avx512vnni+amx_tile+amx_int8+amx_bf16",), "simd"),
        Tier("avx512", 2, ("-mcpu=x86_64_v4+avx512vnni",), "simd"),
        Tier("avx2", 1, ("-mcpu=x86_64_v2+avx2+fma+f16c",), "simd"),
        PLAIN,
    ),
    "aarch64": (
        Tier("i8mm", 16, ("-mcpu=generic+dotprod+i8mm",), "simd"),
        Tier("dotprod", 8, ("-mcpu=generic+dotprod",), "simd"),
        Tier("neon", 0, ("-mcpu=generic",), "simd"),
        PLAIN,
    ),
    "wasm32": (
        Tier("relaxed", 0, ("-mcpu=generic+bulk_memory+simd128", "-DSYN_RELAXED_DOT"), "simd"),
        Tier("simd128", 0, ("-mcpu=generic+bulk_memory+simd128",), "simd"),
        PLAIN,
    ),
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
    system = platform.system()
    if system == "Linux" and "musl" in EXTENSION_SUFFIXES[0]:
        system = "Linux musl"
    return TARGETS.get((system, platform.machine()))


def system_of(target: str) -> str:
    """Return a target's system: linux, macos or windows."""
    return target.split("-")[1].partition(".")[0]


def tiers_of(target: str) -> tuple[Tier, ...]:
    """Return the tables of kernels that there are for a target, the fastest first.

    AMX is left out where `syn_instructions` cannot ask the system for its tiles: all but Linux.
    """
    tiers = TIERS[target.partition("-")[0]]
    return tiers if system_of(target) == "linux" else tuple(t for t in tiers if t.name != "amx")


def runtime_sources(tier: Tier = PLAIN) -> list[Path]:
    """Return the C files of the runtime, its loops, and a table of its core kernels."""
    loops = (RUNTIME / "loops").glob("*.c")
    return sorted([*RUNTIME.glob("*.c"), *loops, *kernel_sources(tier)])


def kernel_sources(tier: Tier = PLAIN) -> list[Path]:
    """Return the C files of a table of core kernels."""
    replaced = {path.name for folder in (RUNTIME / "kernels", HOST) for path in folder.glob("*.c")}
    own = (RUNTIME / tier.folder).glob("*.c") if tier.folder else ()
    beside = [path for path in own if path.name not in replaced]
    return sorted([*_of_tier(RUNTIME / "kernels", tier), *beside])


def host_sources(tier: Tier = PLAIN) -> list[Path]:
    """Return the C files around the runtime: threads, instructions, packing."""
    return _of_tier(HOST, tier)


def _of_tier(folder: Path, tier: Tier) -> list[Path]:
    """Return a folder's files, the tier's own instead where it has one of the same name."""
    own = RUNTIME / (tier.folder or "")
    named = ((path, own / path.name) for path in sorted(folder.glob("*.c")))
    return [mine if tier.folder and mine.is_file() else path for path, mine in named]


def runtime_library(target: str, tier: Tier = PLAIN) -> Library:
    """Return the recipe of the runtime with its threads."""
    sources = [*runtime_sources(tier), *host_sources(tier)]
    # On Windows: WaitOnAddress, and there are threads without a library.
    needs = "-lapi-ms-win-core-synch-l1-2-0" if system_of(target) == "windows" else "-lpthread"
    return library(f"synapse-runtime-{tier.name}", sources, target, (*tier.flags, needs))


def kernel_symbol(name: str) -> str:
    """Return the C name of an op's kernel."""
    return "syn_kernel_" + re.sub(r"[^0-9A-Za-z]", "_", name)


def kernel_library(symbol: str, source: Path, target: str, tier: Tier = PLAIN) -> Library:
    """Return the recipe of a plugin's kernel, which may use no library at all."""
    return library(symbol, [source], target, (*tier.flags, "-ffreestanding"))


def library(stem: str, sources: Sequence[Path], target: str, flags: Iterable[str]) -> Library:
    """Return the recipe of a shared library."""
    system = system_of(target)
    # Code on Windows moves anyway, and clang refuses the flag.
    position = () if system == "windows" else ("-fPIC",)
    # Else the linker writes the path it was built at into the file.
    name = (f"-Wl,-install_name,@rpath/{stem}.dylib",) if system == "macos" else ()
    options = (*FLAGS, *flags, "-g0", "-s", "-shared", *position, *name, "-target", target)
    file = f"{stem}-{content_key(sources, options)}{SUFFIXES[system]}"
    return Library(file, tuple(sources), options)


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
    import subprocess
    import tempfile

    # The linker writes the file's name into some libraries.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=output.parent) as folder:
        part = Path(folder) / output.name
        compiler = [sys.executable, "-m", "ziglang", "cc"]
        command = [*compiler, *options, f"-I{RUNTIME}", *map(str, sources), "-o", str(part)]
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        if process.returncode:
            errors = [line for line in process.stderr.splitlines() if "error:" in line]
            said = errors[0] if errors else process.stderr.strip()[-300:]
            raise CompileError(f"{sources[0].name} does not compile: {said}")
        os.replace(part, output)
    return output


def build_into(folder: Path, libraries: Sequence[Library]) -> None:
    """Make a folder hold these libraries and no others; those that it holds are kept.

    Raises: CompileError.
    """
    folder.mkdir(exist_ok=True)
    for library in libraries:
        if not (folder / library.file).is_file():
            build(library.sources, library.options, folder / library.file)
    wanted = {library.file for library in libraries}
    for path in folder.iterdir():
        if path.is_file() and path.name not in wanted:
            path.unlink(missing_ok=True)
