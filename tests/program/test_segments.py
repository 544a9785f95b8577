"""Weights in more files than a program has segments."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest

from synapse_core.errors import GraphError
from synapse_core.formats import format_named
from synapse_core.graph import Encoded, Weight
from synapse_core.loaders import FileTensor
from synapse_core.program import segments
from synapse_core.program.records import MAX_SEGMENTS


def table_of(folder: Path, files: int) -> tuple[segments.SegmentTable, dict[str, bytes]]:
    """One weight a file, the n-th of n + 1 rows."""
    table, contents = segments.SegmentTable(), {}
    for number in range(files):
        path = folder / f"{number}.bin"
        content = np.random.default_rng(number).bytes(16 * (number + 1))
        path.write_bytes(b"head" + content)
        data = np.memmap(path, np.uint8, mode="r")[4:]
        source = FileTensor(f"w{number}", (number + 1, 4), "f32", path, 4, data)
        table.add(Weight(f"w{number}", number + 1, 4, source=source))
        contents[f"w{number}"] = content
    return table, contents


@pytest.mark.parametrize("files", [1, MAX_SEGMENTS - 1, MAX_SEGMENTS, 3 * MAX_SEGMENTS])
def test_every_weight_is_found_however_many_files_there_are(tmp_path: Path, files: int) -> None:
    table, contents = table_of(tmp_path, files)
    buffers = table.buffers()
    mapped = min(files, MAX_SEGMENTS - 1)
    assert len(buffers) == mapped + 1 == len(table.segment_names())
    for name, content in contents.items():
        offset, segment, _, _, rows, _, row_bytes = table.records[table.index(name)]
        assert buffers[segment][offset : offset + rows * row_bytes].tobytes() == content
    # The largest stay where they are.
    assert table.segment_names() == [*(f"{n}.bin" for n in range(files)[-mapped:]), "constants"]


def test_what_was_re_encoded_is_held_once() -> None:
    numbers = np.random.default_rng(1).standard_normal((3, 64), dtype=np.float32)
    source = Encoded.encode(numbers, format_named("q8_0"))
    before = source.raw().copy()
    table = segments.SegmentTable()
    table.add(Weight("w", 3, 64, source=source))
    (block,) = table.buffers()
    assert np.shares_memory(source.raw(), block)
    np.testing.assert_array_equal(source.raw(), before)
    with pytest.raises(attrs.exceptions.FrozenAttributeError):
        source.rows = 4


def test_what_is_too_large_to_copy_is_refused_with_the_figures(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(segments, "MOST_COPIED_BYTES", 47)
    table, _ = table_of(tmp_path, MAX_SEGMENTS + 1)
    with pytest.raises(GraphError, match=r"has 33 files; 31 can be mapped, and the others have 48"):
        table.buffers()
