"""Fuzzing the GGUF loader: whatever the bytes, it opens or refuses; nothing else.

SYNAPSE_FUZZ_SECONDS (60) is divided among the tests; the seeds are fixed, so that a longer run
repeats a shorter one and goes on.
"""

from __future__ import annotations

import os
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from synapse_core.errors import FileError, SynapseError
from synapse_core.families import choose_family, model_config
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host
from synapse_core.testing.gguf_bytes import (
    KINDS,
    Q8_0,
    GgufBytes,
    TensorBytes,
    array,
    number,
    text_value,
    texts,
)

SECONDS = float(os.environ.get("SYNAPSE_FUZZ_SECONDS", "60"))
SHARE = SECONDS / 4
# What one file may take: the machine may be busy, so only CPU counts.
MOST_CPU_S = 1.0
WORDS = (0, 1, 2, 7, 8, 9, 31, 33, 255, 256, 65535, 1 << 31, (1 << 31) - 1, (1 << 32) - 1)
LONG_WORDS = (*WORDS, 1 << 32, 1 << 61, 1 << 62, (1 << 62) + 1, 1 << 63, (1 << 64) - 1)


def model() -> GgufBytes:
    """Return a small model that a family would take: every key a llama needs, true tensors."""
    whole = {"block_count": 1, "context_length": 16, "embedding_length": 8}
    whole |= {"feed_forward_length": 12, "attention.head_count": 2, "attention.head_count_kv": 1}
    file = GgufBytes(keys=[("general.architecture", text_value("llama"))])
    file.keys += [(f"llama.{name}", number("u32", value)) for name, value in whole.items()]
    file.keys.append(("llama.attention.layer_norm_rms_epsilon", number("f32", 1e-5)))
    file.keys.append(("tokenizer.ggml.tokens", texts([f"t{n}" for n in range(8)])))
    file.keys.append(("tokenizer.ggml.scores", array("f32", bytes(32), 8)))
    file.keys.append(("tokenizer.ggml.add_bos_token", number("bool", True)))
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (8, 8), "output_norm": (8,)}
    shapes |= {"blk.0.attn_norm": (8,), "blk.0.ffn_norm": (8,), "rope_freqs": (2,)}
    shapes |= {"blk.0.attn_q": (8, 8), "blk.0.attn_k": (4, 8), "blk.0.attn_v": (4, 8)}
    shapes |= {"blk.0.attn_output": (8, 8), "blk.0.ffn_gate": (12, 8)}
    shapes |= {"blk.0.ffn_up": (12, 8), "blk.0.ffn_down": (8, 12)}
    file.tensors = [
        TensorBytes.of(f"{name}.weight", np.ones(shape, np.float32))
        for name, shape in shapes.items()
    ]
    return file


def flipped(rng: random.Random) -> bytes:
    """Change, insert, remove or repeat some bytes of the header."""
    content = bytearray(model().encode())
    end = len(model().header())
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(end)
        match rng.randrange(5):
            case 0:
                content[at] ^= 1 << rng.randrange(8)
            case 1:
                content[at] = rng.choice((0, 1, 127, 128, 255))
            case 2:
                content[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 3:
                del content[at : at + rng.randrange(1, 40)]
            case _:
                content[at:at] = content[at : at + rng.randrange(1, 200)]
    return bytes(content)


def overwritten(rng: random.Random) -> bytes:
    """Write an interesting number over a word of the header, aligned or not; maybe cut the file."""
    content = bytearray(model().encode())
    end = len(model().header())
    for _ in range(rng.choice((1, 1, 2, 3))):
        if rng.random() < 0.5:
            word = struct.pack("<I", rng.choice(WORDS))
        else:
            word = struct.pack("<Q", rng.choice(LONG_WORDS))
        at = rng.randrange(end - len(word))
        content[at : at + len(word)] = word
    return bytes(content[: rng.randrange(len(content))] if rng.random() < 0.1 else content)


def restructured(rng: random.Random) -> bytes:
    """Lie in one or more fields of a file that is well formed elsewhere."""
    file = model()
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice((_lie_of_file, _lie_of_key, _lie_of_tensor))(rng, file)
    return file.encode()


def _lie_of_file(rng: random.Random, file: GgufBytes) -> None:
    match rng.randrange(5):
        case 0:
            file.version = rng.choice((0, 1, 2, 4, 3 << 24))
        case 1:
            file.tensor_count = rng.choice(LONG_WORDS)
        case 2:
            file.key_count = rng.choice(LONG_WORDS)
        case 3:
            value = rng.choice(WORDS)
            file.set(general__alignment=number(rng.choice(("u32", "u64", "f32")), value))
        case _:
            value = rng.choice(WORDS)
            file.set(split__count=number("u32", value), split__no=number("u32", value % 3))


def _lie_of_key(rng: random.Random, file: GgufBytes) -> None:
    at = rng.randrange(len(file.keys))
    name = file.keys[at][0]
    match rng.randrange(6):
        case 0:
            file.keys.append(file.keys[at])
        case 1:
            del file.keys[at]
        case 2:
            kind = rng.choice(
                [k for k, (_, letter) in KINDS.items() if letter in "BHIQ" and letter]
            )
            bits = 8 * struct.calcsize("<" + KINDS[kind][1])
            file.keys[at] = (name, number(kind, rng.choice(LONG_WORDS) % (1 << bits)))
        case 3:
            value = rng.choice((0.0, -1.0, float("nan"), float("inf"), 1e300, -0.5))
            file.keys[at] = (name, number("f64", value))
        case 4:
            file.keys[at] = (name, text_value(rng.randbytes(6), rng.choice((None, *LONG_WORDS))))
        case _:
            count = rng.choice((0, 1, 3, *LONG_WORDS))
            file.keys[at] = (name, array(rng.randrange(14), rng.randbytes(24), count))


def _lie_of_tensor(rng: random.Random, file: GgufBytes) -> None:
    if not file.tensors:
        return
    tensor = rng.choice(file.tensors)
    match rng.randrange(8):
        case 0:
            tensor.axes = tuple(rng.choice(LONG_WORDS) for _ in range(rng.randrange(6)))
        case 1:
            tensor.axis_count = rng.choice(WORDS)
        case 2:
            tensor.type = rng.choice((*range(50), *WORDS))
        case 3:
            tensor.offset = rng.choice((*LONG_WORDS, 32, 64, 96))
        case 4:
            tensor.name = rng.choice(file.tensors).name
        case 5:
            tensor.name_length = rng.choice(LONG_WORDS)
        case 6:
            file.tensors.remove(tensor)
        case _:
            file.tensors.append(TensorBytes("x.weight", (32, 2), Q8_0, rng.randbytes(68)))


def noise(rng: random.Random) -> bytes:
    """Return a true header's start and then anything."""
    head = GgufBytes(key_count=rng.randrange(4), tensor_count=rng.randrange(4)).encode()
    return head + rng.randbytes(rng.randrange(200))


def read_all(path: Path) -> None:
    """Open a file as a model is opened: all metadata, every tensor's bytes, the family's config."""
    checkpoint = GGUF.open(path)
    assert dict(checkpoint.metadata.items()).keys() == checkpoint.metadata.keys()
    for tensor in checkpoint.tensors.values():
        assert tensor.raw().size == tensor.data.size
    family = choose_family(checkpoint, default_host())
    model_config(family, checkpoint)


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "mutate", [flipped, overwritten, restructured, noise], ids=lambda f: f.__name__
)
def test_any_bytes_open_or_are_refused(
    tmp_path: Path, mutate: Callable[[random.Random], bytes]
) -> None:
    path = tmp_path / "m-00001-of-00002.gguf"
    end = time.monotonic() + SHARE
    seed = refused = opened = 0
    lines: set[int] = set()
    while time.monotonic() < end or seed < 50:
        path.write_bytes(mutate(random.Random(seed)))
        start = time.process_time()
        try:
            read_all(path)
            opened += 1
        except SynapseError as error:
            refused += 1
            lines.add(str(error).count("\n"))
        except BaseException as error:
            pytest.fail(f"{mutate.__name__}({seed}): {type(error).__name__}: {error}")
        assert time.process_time() - start < MOST_CPU_S, seed
        seed += 1
    print(f"{mutate.__name__}: {seed} files, {opened} opened, {refused} refused")
    assert lines == {0}


def test_the_file_that_is_mutated_is_a_good_model(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(model().encode())
    read_all(tmp_path / "m.gguf")


@pytest.mark.parametrize("mutate", [flipped, overwritten, restructured], ids=lambda f: f.__name__)
def test_mutations_reach_behind_the_header(
    tmp_path: Path, mutate: Callable[[random.Random], bytes]
) -> None:
    outcomes = set()
    for seed in range(150):
        (tmp_path / "m.gguf").write_bytes(mutate(random.Random(seed)))
        try:
            read_all(tmp_path / "m.gguf")
            outcomes.add("opened")
        except FileError as error:
            outcomes.add(str(error.field).split(" ")[0].split(":")[0])
        except SynapseError as error:
            outcomes.add(type(error).__name__)
    assert {"opened", "key", "tensor"} <= outcomes
