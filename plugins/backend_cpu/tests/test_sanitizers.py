"""The runtime, its kernels and its threads under sanitizers and under valgrind."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from synapse_backend_cpu.native import recipe
from synapse_backend_cpu.native.library import features
from synapse_backend_cpu.native.recipe import host_target

from . import fuzz_harness as fuzz
from . import sweep_harness as harness

# A file, what is sound in it and what is not, the sanitizer and what it must say.
PLANTED = {
    "overrun": (
        "runtime/call.c",
        "if (bytes > most) most = bytes;",
        "if (bytes > most) most = bytes / 2;",
        "memory",
        "AddressSanitizer",
    ),
    "loop": (
        "runtime/loops/rollout.c",
        "loop->series + (slot * total + end) * cols",
        "loop->series + (slot * total + end + 1) * cols",
        "memory",
        "AddressSanitizer",
    ),
    "race": ("host/pool.c", "+ 1 == size)", "+ 2 >= size)", "threads", "data race"),
}

pytestmark = pytest.mark.fuzz


def missing(reason: str) -> None:
    """Fail where CI is true, which installs every tool; skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def clang(tmp_path_factory) -> str:
    found = fuzz.compiler()
    if found is None or not fuzz.links(found, tmp_path_factory.mktemp("links"), ()):
        missing("no clang with sanitizers (Debian: clang-14): threads and memory were not checked")
    return str(found)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    assert fuzz.write_seeds(folder) > 100
    return folder


def tier_of(name: str) -> recipe.Tier:
    tier = next(t for t in recipe.TIERS["x86_64"] if t.name == name)
    if host_target() != "x86_64-linux-gnu.2.17" or tier.feature & ~features():
        pytest.skip(f"this processor cannot run {name}: its kernels were not checked")
    return tier


@pytest.mark.parametrize("sanitizer", harness.SANITIZERS)
@pytest.mark.parametrize("name", harness.TIERS)
def test_any_threads_give_the_same_bits_and_no_report(clang, seeds, tmp_path, name, sanitizer):
    program = harness.build(clang, tmp_path / "sweep", tier_of(name), harness.SANITIZERS[sanitizer])
    done = harness.run(program, seeds)
    assert done.returncode == 0, done.stderr[-6000:]
    assert not done.stderr
    opened, _, inputs, *_ = done.stdout.split()
    assert (opened, int(inputs)) == (inputs, len(list(seeds.iterdir())))


def test_valgrind_has_nothing_to_say_of_the_plain_table(clang, seeds, tmp_path):
    if shutil.which("valgrind") is None:
        missing("no valgrind (Debian: valgrind): memory was not checked by it")
    program = harness.build(clang, tmp_path / "sweep", recipe.PLAIN, ())
    done = harness.run(program, seeds, *harness.VALGRIND)
    assert done.returncode == 0, done.stderr[-6000:]
    assert not done.stderr


def faulty(tmp_path: Path, file: str, sound: str, fault: str) -> Path:
    """Return a copy of the plugin's C with a fault in it."""
    plugin = tmp_path / "plugin"
    for folder in (fuzz.FUZZ, fuzz.RUNTIME, fuzz.HOST):
        shutil.copytree(folder, plugin / folder.relative_to(fuzz.PLUGIN))
    path = plugin / "synapse_backend_cpu" / file
    source = path.read_text()
    assert source.count(sound) == 1
    path.write_text(source.replace(sound, fault))
    return plugin


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_is_reported(clang, seeds, tmp_path, name):
    file, sound, fault, sanitizer, said = PLANTED[name]
    plugin = faulty(tmp_path, file, sound, fault)
    flags = harness.SANITIZERS[sanitizer]
    program = harness.build(clang, tmp_path / "sweep", recipe.PLAIN, flags, plugin)
    done = harness.run(program, seeds)
    assert done.returncode != 0
    assert said in done.stderr


@pytest.mark.parametrize(
    ("file", "sound", "fault", "said"),
    [
        ("host/pool.c", "    free(pool->thread);\n", "", "definitely lost"),
        (
            "runtime/call.c",
            "if (bytes > most) most = bytes;",
            "if (bytes > most) most = bytes / 2;",
            "Invalid write",
        ),
    ],
    ids=["leak", "overrun"],
)
def test_planted_fault_is_reported_by_valgrind(clang, seeds, tmp_path, file, sound, fault, said):
    if shutil.which("valgrind") is None:
        missing("no valgrind (Debian: valgrind): its reports were not checked")
    plugin = faulty(tmp_path, file, sound, fault)
    program = harness.build(clang, tmp_path / "sweep", recipe.PLAIN, (), plugin)
    done = harness.run(program, seeds, *harness.VALGRIND)
    assert done.returncode != 0
    assert said in done.stderr


def test_other_bits_on_other_threads_are_found(clang, seeds, tmp_path):
    plugin = faulty(
        tmp_path,
        "runtime/syn_kernel.h",
        "*hi = *lo + each + (t < rest);",
        "*hi = *lo + each + (t < rest) - (t == 2 && each);",
    )
    program = harness.build(clang, tmp_path / "sweep", recipe.PLAIN, (), plugin)
    done = harness.run(program, seeds)
    assert done.returncode == 1
    assert "other bits" in done.stderr
