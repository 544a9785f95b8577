"""What JSON may take is judged before it is parsed: true of what Python takes, quick, and mild."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc
from pathlib import Path

import pytest

from synapse_core.errors import FileError
from synapse_core.loaders.json_bounds import (
    PLAIN,
    TOKENIZER,
    TOKENIZER_VALUES,
    check_bounds,
    check_values,
    estimate_bytes,
    longest_text,
)
from synapse_core.loaders.json_file import parse_object, read_json

SHAPES = {
    "lists": b'{"a":[' + b"[]," * 200_000 + b"0]}",
    "full lists": b'{"a":[' + b"[1000]," * 200_000 + b"0]}",
    "objects": b'{"a":[' + b"{}," * 200_000 + b"0]}",
    "full objects": b'{"a":[' + b'{"b":1000},' * 100_000 + b"0]}",
    "keys": b"{" + b",".join(b'"%07d":1000' % n for n in range(200_000)) + b"}",
    "texts": b'{"a":[' + b",".join(b'"%03d"' % (n % 1000) for n in range(300_000)) + b"]}",
    "numbers": b'{"a":[' + b"1000," * 300_000 + b"0]}",
    "fractions": b'{"a":[' + b"1.5," * 300_000 + b"0]}",
    "narrow": b'{"a":["' + b'abcdefghijklmnopqrst","' * 60_000 + b'"]}',
    "wide": b'{"a":["' + 'abcdefghijklmnopqrst🚀","'.encode() * 60_000 + b'"]}',
    "middling": b'{"a":["' + 'abcdefghijklmnopqrst你","'.encode() * 60_000 + b'"]}',
    "escaped": b'{"a":["' + b'abcdefghijklmnopqrst\\ud83d\\ude80","' * 60_000 + b'"]}',
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_is_no_less_than_what_parsing_takes(shape: str) -> None:
    data = SHAPES[shape]
    tracemalloc.start()
    try:
        parse_object(Path("x.json"), data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The text itself is decoded once; where it is all ASCII but for escapes, to a byte for each.
    text = sys.getsizeof(data.decode())
    assert peak <= estimate_bytes(data) + text + (1 << 20)
    assert peak >= estimate_bytes(data) / 6, "so mild an estimate would refuse real files"


@pytest.mark.parametrize("part", [b"[", b"[],", b"{},", b'"":0,', b'"a",', b"1,", b"x", b"\xf0"])
def test_the_largest_file_of_anything_is_refused_unparsed(part: bytes) -> None:
    data = b'{"a":"' + part * (PLAIN.file // len(part) - 9)
    began = time.process_time()
    with pytest.raises(FileError, match=r"x\.json: (its values would take|holds a text of)"):
        check_bounds("x.json", data)
    assert time.process_time() - began < 0.5


def test_files_as_large_as_the_largest_real_ones_pass() -> None:
    layer = "model.layers.{}.mlp.experts.{}.gate_proj.weight_scale_inv"
    names = {layer.format(n // 2000, n): "model-00001-of-00163.safetensors" for n in range(140_000)}
    check_bounds("index", json.dumps({"weight_map": names}, indent=2).encode())
    labels = {str(n): "black-footed ferret, ferret, Mustela nigripes" for n in range(21_843)}
    config = {"id2label": labels, "label2id": {v: k for k, v in labels.items()}}
    check_bounds("config", json.dumps(config).encode())
    vocab = {f"▁token{n}🚀": n for n in range(262_144)}
    merges = [[f"▁to{n}", f"ken{n}"] for n in range(514_906)]
    added = [{"id": n, "content": f"<unused{n}>", "special": True} for n in range(6500)]
    spec = {"added_tokens": added, "model": {"vocab": vocab, "merges": merges}}
    data = json.dumps(spec, ensure_ascii=False, indent=2).encode()
    check_bounds("tokenizer", data, TOKENIZER)
    check_values("tokenizer", [data[: data.index(b'"merges"')]], TOKENIZER_VALUES)


def test_the_longest_text_is_found_wherever_it_lies() -> None:
    assert longest_text(b"") == 0
    for before in (0, 1, (1 << 20) - 2, 1 << 20, 3 << 20):
        data = b" " * before + b'"' + b"x" * (5 << 20) + b'"' + b"y" * 99
        assert (5 << 20) <= longest_text(data) <= (5 << 20) + 1


def test_a_file_beyond_all_size_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(1 << 34)
    with pytest.raises(FileError, match=f"has {1 << 34} bytes; at most"):
        read_json(tmp_path / "config.json")
