"""The validator and the runtime under address and undefined-behaviour sanitizers.

`SYNAPSE_FUZZ_SECONDS` says how long to look, 60 by default; ten minutes are 600. A crash file is
kept and named; `<fuzz> <crash file>` runs it again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from synapse_backend_cpu.native import recipe
from synapse_backend_cpu.native.library import features
from synapse_backend_cpu.native.recipe import host_target

from . import fuzz_harness as harness

SECONDS = int(os.environ.get("SYNAPSE_FUZZ_SECONDS", "60"))
LEAST_ACCEPTED = 0.10
# A tenth of what one crowded core does: a harness that hangs is found, not a slow machine.
LEAST_PER_SECOND = 50
# The longest that a planted fault may stay hidden; a quiet machine finds each in seconds.
PLANTED_SECONDS = 180
PLANTED = (
    ("program.c", "bytes > f->arena_bytes - t", "bytes > f->arena_bytes + 16 - t"),
    ("program.c", "all > size - w->offset)", "all > size - w->offset + 2)"),
    ("program.c", "read |= words[i] == word;", "read |= words[i] == ~word;"),
    ("call.c", "if (ids[n] >= limit)", "if (ids[n] > limit)"),
    ("syn_kernel.h", "&& syn_is_derived(a) == syn_is_derived(b);", ";"),
)

pytestmark = pytest.mark.fuzz


@pytest.fixture(scope="module")
def clang(tmp_path_factory) -> str:
    """The compiler; where CI is true it must be there."""
    found = harness.compiler()
    if found is None or not harness.links(found, tmp_path_factory.mktemp("fuzz-links"), ()):
        reason = "no clang with libFuzzer (Debian: clang-14): programs were not fuzzed"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz-seeds")
    assert harness.write_seeds(folder) > 100
    return folder


def look(
    clang: str,
    seeds: Path,
    build: Path,
    seconds: int,
    *flags: str,
    tier: recipe.Tier = recipe.PLAIN,
) -> None:
    """Fuzz, and fail with the crash file's path if anything is reported."""
    program = harness.build(clang, build, flags=flags, tier=tier)
    kept = Path(tempfile.mkdtemp(prefix="synapse-fuzz-"))
    found = harness.run(program, seeds, kept, seconds)
    print(found.counts)
    if found.code or found.crash:
        shutil.copy(program, kept)
        pytest.fail(f"{kept / 'fuzz'} {found.crash}\n{found.log}")
    shutil.rmtree(kept)
    assert found.counts["executions"] >= LEAST_PER_SECOND * seconds
    assert found.counts["accepted"] >= LEAST_ACCEPTED * found.counts["executions"]
    assert found.counts["calls"] >= found.counts["accepted"]


def test_no_program_makes_the_runtime_misbehave(clang, seeds, tmp_path):
    look(clang, seeds, tmp_path / "build", SECONDS)


def test_nor_where_pointers_have_32_bits(clang, seeds, tmp_path):
    if not harness.links(clang, tmp_path, harness.THIRTY_TWO_BITS):
        pytest.skip("no 32-bit libraries (Debian: g++-multilib): 32 bits were not fuzzed")
    look(clang, seeds, tmp_path / "build", max(1, SECONDS // 2), *harness.THIRTY_TWO_BITS)


@pytest.mark.parametrize("name", harness.TIERS)
def test_nor_on_the_kernels_for_vectors(clang, seeds, tmp_path, name):
    tier = next(t for t in recipe.TIERS["x86_64"] if t.name == name)
    if host_target() != "x86_64-linux-gnu.2.17" or tier.feature & ~features():
        pytest.skip(f"this processor cannot run {name}: its kernels were not fuzzed")
    look(clang, seeds, tmp_path / "build", SECONDS, *harness.TIERS[name], tier=tier)


def test_seeds_are_accepted(clang, seeds, tmp_path):
    program = harness.build(clang, tmp_path / "build")
    found = harness.run(program, seeds, tmp_path, 0, "-runs=0")
    assert found.code == 0, found.log
    assert found.counts["executions"] - found.counts["accepted"] <= 1  # libFuzzer's empty input


@pytest.mark.parametrize("fault", PLANTED, ids=("arena", "segment", "ids kept", "id", "rows"))
def test_planted_fault_is_found(clang, seeds, tmp_path, fault):
    file, sound, faulty = fault
    runtime = tmp_path / "runtime"
    shutil.copytree(harness.RUNTIME, runtime)
    source = (runtime / file).read_text()
    assert source.count(sound) == 1
    (runtime / file).write_text(source.replace(sound, faulty))
    program = harness.build(clang, tmp_path / "build", runtime)
    found = harness.run(program, seeds, tmp_path, PLANTED_SECONDS)
    assert found.code != 0
    said = ("AddressSanitizer", "runtime error", "deadly signal")
    assert any(words in found.log for words in said)
