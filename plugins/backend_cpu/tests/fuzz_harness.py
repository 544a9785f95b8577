"""Building and running the fuzzer of plugins/backend_cpu/fuzz, and the programs it begins with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import attrs
import numpy as np
from synapse_backend_cpu.native import recipe

from synapse_core.ops import Op, StateType, TensorType, WeightType
from synapse_core.program import Program, write_program
from synapse_core.testing import Case, causal_decoder, corpus, toys

PLUGIN = Path(__file__).parents[1]
FUZZ = PLUGIN / "fuzz"
RUNTIME = PLUGIN / "synapse_backend_cpu" / "runtime"
HOST = PLUGIN / "synapse_backend_cpu" / "host"
SCAN = PLUGIN.parents[1] / "tests/third_party/acme/synapse_acme/kernels/scan.c"

# The recipe's flags, every report fatal, and locals that are not set hold a pattern, not zero.
FLAGS = (
    "-std=gnu11", "-O2", "-g", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra",
    "-Werror", "-ftrivial-auto-var-init=pattern", "-fno-sanitize-recover=all",
)  # fmt: skip
SANITIZERS = "address,undefined,float-cast-overflow"
# What size_t and pointers are on rv32 and wasm32; Debian: g++-multilib.
THIRTY_TWO_BITS = (
    "-m32", "-msse2", "-mfpmath=sse", "-idirafter", "/usr/include/x86_64-linux-gnu",
    "-Wno-unused-command-line-argument",
)  # fmt: skip
# What the recipe says to zig, said to clang.
TIERS = {
    "avx512": ("-march=x86-64-v4", "-mavx512vnni"),
    "avx2": ("-march=x86-64-v2", "-mavx2", "-mfma", "-mf16c"),
}
EXTERNALS = 6
MOST_INLINE_BYTES = 1 << 16


@attrs.frozen
class Outcome:
    """What a run of the fuzzer said: its exit code, its counts, its last words, its crash file."""

    code: int
    counts: dict[str, int]
    log: str
    crash: Path | None


def compiler() -> str | None:
    """Return a clang, or None; `links` says whether it has libFuzzer."""
    return next((found for name in ("clang-14", "clang") if (found := shutil.which(name))), None)


def links(clang: str, folder: Path, flags: Sequence[str]) -> bool:
    """Whether a fuzzer can be linked with these flags."""
    source = folder / "empty.c"
    source.write_text(
        "int LLVMFuzzerTestOneInput(void); int LLVMFuzzerTestOneInput(void){return 0;}"
    )
    command = [clang, *flags, f"-fsanitize=fuzzer,{SANITIZERS}", str(source)]
    done = subprocess.run([*command, "-o", str(folder / "empty")], capture_output=True)
    return done.returncode == 0


def build(
    clang: str,
    folder: Path,
    runtime: Path = RUNTIME,
    flags: Sequence[str] = (),
    tier: recipe.Tier = recipe.PLAIN,
) -> Path:
    """Compile the fuzzer against a runtime; only what is under test is traced for coverage."""
    tested = [*(runtime / path.relative_to(RUNTIME) for path in recipe.runtime_sources(tier)), SCAN]
    jobs = [(path, f"fuzzer-no-link,{SANITIZERS}") for path in tested]
    own = [path for path in sorted(FUZZ.glob("*.c")) if path.name != "sweep.c"]
    jobs += [(path, SANITIZERS) for path in [*own, HOST / "pool.c"]]
    folder.mkdir(parents=True, exist_ok=True)
    objects = [folder / f"{number}.o" for number in range(len(jobs))]

    def compile_one(job: tuple[Path, str], to: Path) -> None:
        source, sanitizers = job
        options = [*FLAGS, *flags, f"-fsanitize={sanitizers}", f"-I{runtime}"]
        _tool([clang, *options, "-c", str(source), "-o", str(to)])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(compile_one, jobs, objects))
    program = folder / "fuzz"
    link = [f"-fsanitize=fuzzer,{SANITIZERS}", *map(str, objects), "-lpthread"]
    _tool([clang, *flags, *link, "-o", str(program)])
    return program


def run(program: Path, seeds: Path, folder: Path, seconds: int, *flags: str) -> Outcome:
    """Fuzz for some seconds; a crash file lies in `folder`."""
    corpus_folder = folder / "corpus"
    corpus_folder.mkdir(parents=True, exist_ok=True)
    command = [
        str(program), f"-max_total_time={seconds}", "-seed=1", "-max_len=262144", "-len_control=0",
        "-timeout=30", "-mutate_depth=2", "-rss_limit_mb=2048", f"-artifact_prefix={folder}/",
        *flags, str(corpus_folder), str(seeds),
    ]  # fmt: skip
    environment = {**os.environ, "UBSAN_OPTIONS": "print_stacktrace=1"}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", env=environment
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('{"schema"')]
    crashes = sorted(
        path for kind in ("crash", "leak", "timeout", "oom") for path in folder.glob(f"{kind}-*")
    )
    return Outcome(
        done.returncode,
        json.loads(lines[-1]) if lines else {},
        done.stderr[-6000:],
        crashes[0] if crashes else None,
    )


def write_seeds(folder: Path) -> int:
    """Write the toys and the op corpus as inputs of the fuzzer; return how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for case in _cases():
        for image, external in _forms(case.executable().program, folder / "whole.syn"):
            sizes = np.zeros(2 + EXTERNALS, dtype="<u4")
            sizes[:2] = count + 1, len(external)
            sizes[2 : 2 + len(external)] = [data.size for data in external]
            (folder / f"{count:04}").write_bytes(sizes.tobytes() + image.tobytes())
            count += 1
    return count


def _cases() -> Iterator[Case]:
    yield from toys(_scan())
    yield from (causal_decoder("q8_0", "bf16"), causal_decoder("int8", "f32"))
    yield from corpus()


def _forms(program: Program, whole: Path) -> Iterator[tuple[np.ndarray, Sequence[np.ndarray]]]:
    """A program as it is lowered, its weights outside; and as a file, all in one."""
    yield program.image, program.external
    write_program(program, whole)
    if whole.stat().st_size <= MOST_INLINE_BYTES:
        yield np.fromfile(whole, dtype=np.uint8), ()
    whole.unlink()


def _scan() -> Op:
    """The graph's side of the kernel in tests/third_party; it is lowered here, never run."""

    def infer(inputs: Sequence[object], options: object) -> tuple[TensorType, ...]:
        x, decay, state = inputs
        assert isinstance(x, TensorType)
        assert isinstance(decay, WeightType)
        assert isinstance(state, StateType)
        return (x,)

    def reference(*_: object) -> tuple[np.ndarray, ...]:
        raise NotImplementedError("only the C kernel runs")

    return Op(name="acme.scan", summary="s = decay · s + x", infer=infer, reference=reference)


def _tool(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
