"""Pages of mapped files are given back, and of nothing else."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path

import attrs
import numpy as np
import pytest
from synapse_backend_cpu import packing
from synapse_backend_cpu.backend import CpuBackend
from synapse_backend_cpu.mapped import MappedFiles

from synapse_core.program import Program, open_program, write_program
from synapse_core.testing import causal_decoder

PAGES = 64
EMPTY = np.zeros(0, dtype=np.uint8)

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/smaps")


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "weights"
    path.write_bytes(bytes(n % 251 for n in range(PAGES * mmap.PAGESIZE)))
    return path


def address(array: np.ndarray) -> int:
    return array.ctypes.data


def resident_pages(path: Path) -> int:
    """How many pages of a mapped file this process holds."""
    lines = Path("/proc/self/smaps").read_text().splitlines()
    at = next(n for n, line in enumerate(lines) if line.endswith(str(path)))
    rss = next(line for line in lines[at:] if line.startswith("Rss:"))
    return int(rss.split()[1]) * 1024 // mmap.PAGESIZE


@linux
def test_whole_pages_inside_go_and_read_the_same_again(file):
    data = np.memmap(file, dtype=np.uint8, mode="r")
    before = data.tobytes()
    assert resident_pages(file) == PAGES
    files = MappedFiles.of(Program(EMPTY, (EMPTY, data[8:]), {}))
    begin = address(data)
    files.give_back(begin + 1, begin + 10 * mmap.PAGESIZE + 1)
    assert resident_pages(file) == PAGES - 9
    files.give_back(begin, begin + data.size)
    assert resident_pages(file) == 0
    assert data.tobytes() == before


def test_memory_without_a_file_is_none(file):
    own = np.arange(4 * mmap.PAGESIZE, dtype=np.uint8)
    private = np.memmap(file, dtype=np.uint8, mode="c")
    private[:] = 7
    files = MappedFiles.of(Program(own, (private,), {}))
    assert files == MappedFiles(())
    mapped = np.memmap(file, dtype=np.uint8, mode="r")
    files = MappedFiles.of(Program(own, (private, mapped), {}))
    for array in (own, private):
        before = array.tobytes()
        files.give_back(address(array), address(array) + array.size)
        assert array.tobytes() == before


@pytest.mark.parametrize("layout", packing.LAYOUTS)
def test_program_from_a_file_gives_the_bits_of_one_in_memory(monkeypatch, tmp_path, layout):
    monkeypatch.setenv(packing.CHOSEN, layout)
    case = causal_decoder("q8_0", "f16")
    executable = case.executable()
    write_program(executable.program, tmp_path / "case.syn")
    opened = attrs.evolve(executable, program=open_program(tmp_path / "case.syn"))
    results = []
    for each in (executable, opened):
        session = CpuBackend().open(each, threads=2)
        results.append([session.run(c.function, c.inputs, c.rows) for c in case.calls])
        session.close()
    for one, other in zip(*results, strict=True):
        for name, array in one.items():
            np.testing.assert_array_equal(array.view(np.uint32), other[name].view(np.uint32))
