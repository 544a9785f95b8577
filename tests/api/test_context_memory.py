"""Keys and values of a full context take what `estimate` states, to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from synapse_core.api import load
from synapse_core.api.memory import estimate

from .test_needle import KV_TYPES, WIDTH, asked, probe

# Bytes of a key or value of 64 numbers; q8_0 has two blocks of 34.
HEAD_BYTES = {"f32": 4 * WIDTH, "f16": 2 * WIDTH, "bf16": 2 * WIDTH, "q8_0": 68}


@pytest.mark.parametrize("kv", KV_TYPES)
@pytest.mark.parametrize("positions", [4096, 1000])
def test_pages_of_a_full_context_take_what_is_stated(
    tmp_path: Path, kv: str, positions: int
) -> None:
    pytest.importorskip("synapse_backend_cpu")
    folder = probe(tmp_path / "m")
    with load(folder, backend="cpu", kv=kv, context=positions, rows=100, threads=1) as model:
        model.decoder.prefill(asked(positions, 5, 0))
        stated = estimate(model.program).kv
        assert sum(pool.size for pool in model.session.pools) == stated
    assert stated == -(-positions // 64) * 64 * 2 * HEAD_BYTES[kv]


@pytest.mark.parametrize("pages", [5, 1000])
def test_a_limit_of_pages_bounds_the_memory(tmp_path: Path, pages: int) -> None:
    pytest.importorskip("synapse_backend_cpu")
    folder = probe(tmp_path / "m")
    options = {"backend": "cpu", "context": 200, "slots": 3, "rows": 100, "threads": 1}
    with load(folder, **options, pages=pages) as model:
        model.decoder.prefill(asked(200, 5, 0))
        (counts,) = model.session.page_counts()
        assert (counts.limit, counts.used) == (min(pages, 3 * 4), 4)
        stated = estimate(model.program, pages=pages)
        assert (stated.kv_page, stated.kv) == (counts.page_bytes, counts.limit * counts.page_bytes)
        pools = sum(pool.size for pool in model.session.pools)
        assert counts.used * counts.page_bytes <= pools <= stated.kv
