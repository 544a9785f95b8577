"""What would not fit memory is refused before a matrix is re-encoded."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from synapse_core.api import build, load, requantize, room
from synapse_core.cli import frame
from synapse_core.errors import Unavailable
from synapse_core.passes import formats as assigning
from synapse_core.plugins import default_host
from tests.strange_formats import Bytes, Split
from tests.things import With

WIDTH, VOCABULARY = 256, 32
BLOCK_BYTES = 84
SHAPES = {
    "token_embd": VOCABULARY,
    **{f"blk.0.{name}": WIDTH for name in ("attn_q", "attn_k", "attn_v", "attn_output")},
    **{f"blk.0.{name}": WIDTH for name in ("ffn_gate", "ffn_up", "ffn_down")},
}
# 7 matrices of 256 × 256 and the table; in i8g16 32 columns take 48 bytes, in q8_0 34.
BLOCKS = (7 * WIDTH + VOCABULARY) * WIDTH // 32
# They are held twice.
AS_I8G16, AS_Q8_0, AS_F32 = (2 * size * BLOCKS for size in (48, 34, 4 * 32))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaMA of one layer, its matrices in q2_k."""
    path = tmp_path_factory.mktemp("room") / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(WIDTH)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_array("tokenizer.ggml.tokens", [f"t{n}" for n in range(VOCABULARY)])
    rng = np.random.default_rng(3)
    for name, rows in SHAPES.items():
        blocks = rng.integers(0, 256, (rows, BLOCK_BYTES), dtype=np.uint8)
        blocks[:, 80:] = np.full(2, 2**-6, np.float16).view(np.uint8)
        writer.add_tensor(f"{name}.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q2_K)
    for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_what_fits_to_the_byte_is_loaded(small: Path) -> None:
    with load(small, backend="numpy", memory_bytes=AS_I8G16) as model:
        assert np.isfinite(model.logits([1, 2, 3])).all()
        assert {choice.given for choice in model.built.choices} == {"i8g16"}


@pytest.mark.parametrize(
    ("format", "least", "words"),
    [
        (None, AS_I8G16, r"held in i8g16 \(q2_k cannot be run as stored\) take 2 × 684\.0 kB"),
        ("q8_0", AS_Q8_0, r"held in q8_0 take 2 × 484\.5 kB"),
        ("f32", AS_F32, r"held in f32 take 2 × 1824\.0 kB"),
    ],
)
def test_a_byte_too_many_is_refused_before_anything_is_re_encoded(
    small: Path, monkeypatch: pytest.MonkeyPatch, format: str | None, least: int, words: str
) -> None:
    build(small, default_host(), format=format, memory_bytes=least)

    def never(*_: object) -> None:
        raise AssertionError("re-encoded")

    for name in ("reencode", "carry"):
        monkeypatch.setattr(assigning, name, never)
    with pytest.raises(Unavailable, match=rf"m\.gguf: its matrices {words} of memory, ") as caught:
        build(small, default_host(), format=format, memory_bytes=least - 1)
    assert "`synapse quantize` writes" in str(caught.value)


def test_what_lies_in_a_mapped_file_takes_no_memory_of_ours(shared_data: Path) -> None:
    stories = shared_data / "stories260K" / "hf"
    build(stories, default_host(), memory_bytes=0)
    build(stories, default_host(), format="f32", memory_bytes=0)
    with pytest.raises(Unavailable, match="held in f16, q8_0 take"):
        build(stories, default_host(), format="q8_0", memory_bytes=1000)


@pytest.mark.parametrize(
    ("format", "least", "held"), [(Split(), AS_I8G16, "i8g16"), (Bytes(), AS_F32, "f32")]
)
def test_a_plugin_s_format_is_counted_as_what_carries_it(
    small: Path, tmp_path: Path, format: Bytes, least: int, held: str
) -> None:
    plugged = With({("quant_format", "bytes"): format})
    requantize(small, tmp_path / "m", plugged, format="bytes")
    for source, asked in ((small, "bytes"), (tmp_path / "m", None)):
        build(source, plugged, format=asked, memory_bytes=least)
        with pytest.raises(Unavailable, match=f"its matrices held in {held}"):
            build(source, plugged, format=asked, memory_bytes=least - 1)


def test_the_machine_s_own_limit_holds_on_the_command_line(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    building = sys.modules["synapse_core.api.build"]
    monkeypatch.setattr(building, "available_bytes", lambda: 300 << 10)
    assert frame.run(["logits", str(small), "--tokens", "1,2", "--backend", "numpy"]) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "take 2 × 684.0 kB of memory, 300.0 kB are available" in err


def test_available_is_what_the_tightest_limit_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "CGROUPS", ((str(tmp_path), "most", "used", "file"),))
    free = room.available_bytes()
    assert free is not None
    assert free > 64 << 20
    (tmp_path / "most").write_text("max\n")
    (tmp_path / "used").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\nfile 200\n")
    assert room.available_bytes() is not None
    (tmp_path / "most").write_text("1000\n")
    assert room.available_bytes() == 1000 - (700 - 200)
    (tmp_path / "most").write_text("100\n")
    assert room.available_bytes() == 0


def test_sizes_are_in_a_unit_that_shows_them() -> None:
    sizes = [room._size(count) for count in (0, 10239, 10 << 10, 10 << 20, 3 << 30, 1 << 40)]
    assert sizes == ["0 bytes", "10239 bytes", "10.0 kB", "10.0 MB", "3072.0 MB", "1024.0 GB"]
    assert all(re.fullmatch(r"[0-9.]+ \w+", size) for size in sizes)
