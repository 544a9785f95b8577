"""Building and running fuzz/sweep.c: the fuzzer's inputs on one thread and on several."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from synapse_backend_cpu.native import recipe

from . import fuzz_harness as fuzz

SANITIZERS = {
    "memory": ("-fsanitize=address,undefined,float-cast-overflow",),
    "threads": ("-fsanitize=thread",),
}
TIERS = {
    "plain": (),
    **fuzz.TIERS,
    "amx": (*fuzz.TIERS["avx512"], "-mamx-tile", "-mamx-int8", "-mamx-bf16"),
}
# Vectors are compiled in half the time; Debian's valgrind reads no later form of debug information.
FLAGS = (*fuzz.FLAGS, "-O1", "-gdwarf-4")
VALGRIND = ("valgrind", "-q", "--error-exitcode=9", "--leak-check=full")
SECONDS = 300


def build(
    clang: str,
    to: Path,
    tier: recipe.Tier,
    flags: Sequence[str],
    plugin: Path = fuzz.PLUGIN,
) -> Path:
    """Compile the sweep against a table of kernels, of the plugin or of a copy of it."""
    tested = [*recipe.runtime_sources(tier), *recipe.host_sources(tier)]
    # The sweep takes the pool in, to leave threads out.
    own = [fuzz.FUZZ / name for name in ("world.c", "input.c", "sweep.c")]
    paths = [*own, *(path for path in tested if path.name != "pool.c")]
    sources = [plugin / path.relative_to(fuzz.PLUGIN) for path in paths]
    runtime = plugin / fuzz.RUNTIME.relative_to(fuzz.PLUGIN)
    command = [clang, *FLAGS, *TIERS[tier.name], *flags]
    jobs = [*sources, fuzz.SCAN]
    objects = [to.with_suffix(f".{number}.o") for number in range(len(jobs))]

    def compile_one(source: Path, object: Path) -> None:
        _tool([*command, f"-I{runtime}", "-c", str(source), "-o", str(object)])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, jobs, objects))
    _tool([*command, *map(str, objects), "-lpthread", "-o", str(to)])
    return to


def _tool(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run(program: Path, seeds: Path, *before: str) -> subprocess.CompletedProcess[str]:
    """Play every input, under a tool that is named before."""
    command = [*before, str(program), *map(str, sorted(seeds.iterdir()))]
    # A race may also be a wait for ever: the first report ends the run.
    environment = {**os.environ, "TSAN_OPTIONS": "halt_on_error=1"}
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=SECONDS, env=environment
    )
