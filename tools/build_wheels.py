"""Build wheels of `synapse-backend-cpu` for other systems from this one, and judge each.

    python tools/build_wheels.py dist --all
    python tools/build_wheels.py dist --target aarch64-macos.11.0

The compiler is ziglang for every target. The same checkout gives the same bytes. Needs hatchling
and ziglang, and lief to look into the libraries, in this environment.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "plugins" / "backend_cpu"
RECIPE = runpy.run_path(str(PROJECT / "synapse_backend_cpu" / "native" / "recipe.py"))
TAGS: dict[str, str] = RECIPE["PLATFORM_TAGS"]
# 2020-02-02, hatchling's own; stated, so that a variable of the caller changes nothing.
EPOCH = "1580601600"
# What every system of a target has. A Windows name is of the C runtime that Windows 10 ships.
NEEDED = {
    "linux-gnu": r"libc\.so\.6|libpthread\.so\.0",
    "linux-musl": r"libc\.so",
    "macos": r"/usr/lib/libSystem\.B\.dylib|@rpath/synapse-runtime-\w+\.dylib",
    "windows": r"(?i)kernel32\.dll|api-ms-win-(crt-\w+-l1-1-0|core-synch-l1-2-0)\.dll",
}
MACHINES = {
    ("ELF", "x86_64"): "X86_64",
    ("ELF", "aarch64"): "AARCH64",
    ("MACHO", "x86_64"): "X86_64",
    ("MACHO", "aarch64"): "ARM64",
    ("PE", "x86_64"): "AMD64",
}
EXPORTED = (
    "syn_abi",
    "syn_open",
    "syn_pool_create",
    "syn_pool_run",
    "syn_instructions",
    "syn_pack",
)
GLIBC = (2, 17)


class Unfit(Exception):
    """A wheel is not what its tag says; the text is one line."""


def main() -> None:
    """Build and judge what the command line asks for; leaves with 1 at the first unfit wheel."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the wheels go")
    parser.add_argument("--all", action="store_true", help="every target")
    parser.add_argument("--target", action="append", default=[], choices=TAGS)
    asked = parser.parse_args()
    targets = list(TAGS) if asked.all else asked.target
    if not targets:
        parser.error("name a --target, or --all")
    asked.folder.mkdir(parents=True, exist_ok=True)
    for target in targets:
        try:
            wheel = build(target, asked.folder)
        except Unfit as error:
            sys.exit(str(error))
        print(f"{target}: {wheel.name} {wheel.stat().st_size}", flush=True)


def build(target: str, folder: Path) -> Path:
    """Write a target's wheel; it appears only when it is fit.

    Raises: Unfit.
    """
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as scratch:
        command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
        done = subprocess.run(
            [*command, "-w", scratch, str(PROJECT)],
            env={**os.environ, "SYNAPSE_TARGET": target, "SOURCE_DATE_EPOCH": EPOCH},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Unfit(f"{target}: no wheel: {done.stderr.strip()[-500:]}")
        (wheel,) = Path(scratch).glob("*.whl")
        judge(wheel, target)
        return wheel.replace(folder / wheel.name)


def judge(wheel: Path, target: str) -> None:
    """Check a wheel's tag, its content, and what its libraries need and give.

    Raises: Unfit.
    """
    if not wheel.name.endswith(f"-py3-none-{TAGS[target]}.whl"):
        raise Unfit(f"{wheel.name}: the tag of {target} is py3-none-{TAGS[target]}")
    wanted = {RECIPE["runtime_library"](target, t).file for t in RECIPE["tiers_of"](target)}
    with zipfile.ZipFile(wheel) as archive:
        inside = [name for name in archive.namelist() if "/_lib/" in name]
        found = {name.rpartition("/")[2] for name in inside}
        if found != wanted:
            raise Unfit(f"{wheel.name}: libraries {sorted(found)}, not {sorted(wanted)}")
        for name in inside:
            judge_library(archive.read(name), target, f"{wheel.name}: {name}")


def judge_library(data: bytes, target: str, name: str) -> None:
    """Check a library's machine, what it needs of the system, and what it exports.

    Raises: Unfit.
    """
    import lief

    binary = lief.parse(data)
    if binary is None:
        raise Unfit(f"{name}: not a library of any system")
    kind, machine = binary.format.name, target.partition("-")[0]
    header = binary.header
    is_of = {"ELF": "machine_type", "MACHO": "cpu_type", "PE": "machine"}[kind]
    if getattr(header, is_of).name != MACHINES.get((kind, machine)):
        raise Unfit(f"{name}: {kind} for {getattr(header, is_of).name}, the target is {target}")
    needed = needed_by(binary, kind)
    allowed = next(pattern for system, pattern in NEEDED.items() if system in target)
    if strange := [library for library in needed if not re.fullmatch(allowed, library)]:
        raise Unfit(f"{name}: needs {', '.join(strange)}, which {target} need not have")
    exported = {str(symbol).lstrip("_") for symbol in exported_by(binary, kind)}
    if missing := [symbol for symbol in EXPORTED if symbol not in exported]:
        raise Unfit(f"{name}: does not export {', '.join(missing)}")
    if kind == "ELF":
        _judge_versions(binary, target, name)
    if kind == "MACHO" and (found := binary.build_version.minos) > [11, 0, 0]:
        raise Unfit(f"{name}: made for macOS {found}, the tag says 11.0")


def needed_by(binary: object, kind: str) -> list[str]:
    """Return the libraries that one needs."""
    if kind == "PE":
        return [entry.name for entry in binary.imports]  # type: ignore[attr-defined]
    libraries = binary.libraries  # type: ignore[attr-defined]
    return [lib if isinstance(lib, str) else lib.name for lib in libraries]


def exported_by(binary: object, kind: str) -> list[str]:
    """Return the symbols that a library gives."""
    if kind == "PE":
        return [entry.name for entry in binary.get_export().entries]  # type: ignore[attr-defined]
    return [symbol.name for symbol in binary.exported_symbols]  # type: ignore[attr-defined]


def _judge_versions(binary: object, target: str, name: str) -> None:
    """A musl library asks for no version at all; a glibc one for none after 2.17."""
    for symbol in binary.imported_symbols:  # type: ignore[attr-defined]
        version = re.match(r"GLIBC_([\d.]+)", str(symbol.symbol_version))
        if not version:
            continue
        numbers = tuple(int(part) for part in version[1].split("."))
        if "musl" in target or numbers > GLIBC:
            raise Unfit(f"{name}: {symbol.name} of {version[0]}, which {target} need not have")


if __name__ == "__main__":
    main()
