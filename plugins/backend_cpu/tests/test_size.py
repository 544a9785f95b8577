"""Budgets of the firmware: what the runtime takes of flash and stack on rv32, compiled with -Os."""

from __future__ import annotations

from pathlib import Path

import pytest
from synapse_backend_cpu.native import recipe

from synapse_core.testing.backend_kit import CORPUS, TOYS

from .machines.rv32 import FLAGS
from .machines.tools import demand, no_module

CORE_BYTES = 8 * 1024
ALL_BYTES = 40 * 1024
STACK_BYTES = 8 * 1024
# Sections that go to flash; nothing of the sources may be dropped by the linker.
LINK = ("-nostdlib", "-static", "-Wl,--no-gc-sections", "-Wl,-e,syn_open")
NO_UNWINDING = ("-fno-unwind-tables", "-fno-asynchronous-unwind-tables")
BARE = Path(__file__).with_name("machines") / "bare.c"
pytestmark = pytest.mark.portable


def flash_bytes(sources: list[Path], to: Path) -> int:
    """Link C files; return the bytes of code, constants and initial data."""
    demand(no_module("ziglang", "elftools"))
    from elftools.elf.constants import SH_FLAGS
    from elftools.elf.elffile import ELFFile

    options = (*recipe.FLAGS, "-ffreestanding", *FLAGS, *NO_UNWINDING, *LINK)
    with recipe.build([BARE, *sources], options, to).open("rb") as file:
        loaded = [
            section
            for section in ELFFile(file).iter_sections()
            if section["sh_flags"] & SH_FLAGS.SHF_ALLOC and section["sh_type"] != "SHT_NOBITS"
        ]
        sizes = {section.name: int(section["sh_size"]) for section in loaded}
    print(f"{to.name}: {sum(sizes.values())} bytes, {sizes}")
    return sum(sizes.values())


def test_core_fits_its_budget(tmp_path):
    core = [source for source in recipe.runtime_sources() if source.parent == recipe.RUNTIME]
    assert 4096 < flash_bytes(core, tmp_path / "core") <= CORE_BYTES


def test_core_and_all_kernels_fit_their_budget(tmp_path):
    assert 16384 < flash_bytes(recipe.runtime_sources(), tmp_path / "all") <= ALL_BYTES


def test_stack_stays_below_its_budget(machine_of):
    backend = machine_of("rv32")
    deepest = 0
    choosing = (case for case in CORPUS if case.name.startswith("sample["))
    for case in (*TOYS, *choosing):
        session = backend.open(case.executable())
        for call in case.calls:
            session.run(call.function, call.inputs, call.rows)
        deepest = max(deepest, session.machine.stack_bytes)
        session.close()
    print(f"stack: {deepest} bytes")
    assert 1024 < deepest <= STACK_BYTES
