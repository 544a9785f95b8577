"""Fuzzing a model's folder: whatever its files say, it builds or is refused; nothing else.

Config, index, safetensors header, tokenizer and its settings are changed in structure (a value, a
key, an element) and in bytes. SYNAPSE_FUZZ_SECONDS (60) is divided among the files; the seeds are
fixed, so that a longer run repeats a shorter one and goes on.
"""

from __future__ import annotations

import copy
import json
import os
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from synapse_core.api import build
from synapse_core.errors import SynapseError
from synapse_core.generate import ChatTemplate, load_tokenizer, settings_of
from synapse_core.plugins import default_host

SECONDS = float(os.environ.get("SYNAPSE_FUZZ_SECONDS", "60"))
# What one folder may take: the machine may be busy, so only CPU counts.
MOST_CPU_S = 1.0
CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 8,
    "intermediate_size": 12,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 16,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "vocab_size": 270,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": [1],
    "rope_theta": 1e4,
    "rope_scaling": {"rope_type": "linear", "factor": 2.0},
}
SHAPES = {
    "model.embed_tokens": (270, 8),
    "model.norm": (8,),
    "model.layers.0.input_layernorm": (8,),
    "model.layers.0.post_attention_layernorm": (8,),
    "model.layers.0.self_attn.q_proj": (8, 8),
    "model.layers.0.self_attn.k_proj": (4, 8),
    "model.layers.0.self_attn.v_proj": (4, 8),
    "model.layers.0.self_attn.o_proj": (8, 8),
    "model.layers.0.mlp.gate_proj": (12, 8),
    "model.layers.0.mlp.up_proj": (12, 8),
    "model.layers.0.mlp.down_proj": (8, 12),
}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 1 << 20, 1 << 31, 1 << 63, 10**30, 0.0, -0.5, 1e-5, 1e300),
    *("", "x", "../x", "/etc/passwd", "\x00", "a" * 10_000, [], {}, [None], {"": None}, [[[]]]),
)
TEXTS = (b"", b"{", b"[]", b"null", b"\xff\xfe{}", b"{}{}", b'{"a":1,"a":2}', b"NaN", b"[" * 5000)
FILES = ("config.json", INDEX, "tokenizer.json", "tokenizer_config.json", "generation_config.json")


def written(folder: Path) -> Path:
    """Write a small sound model: two shards, a byte-level tokenizer, a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    folder.mkdir()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: n for n, token in enumerate(["<s>", "</s>", *alphabet, "he", "ll"])}
    engine = Tokenizer(models.BPE(vocabulary, [("h", "e"), ("l", "l")]))
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    engine.add_special_tokens(["<s>", "</s>"])
    engine.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}
    settings["chat_template"] = "{% for m in messages %}{{ m.content }}{% endfor %}"
    tensors = {f"{name}.weight": np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    weight_map = {name: SHARDS[n % 2] for n, name in enumerate(tensors)}
    for shard in SHARDS:
        part = {name: tensors[name] for name, place in weight_map.items() if place == shard}
        save_file(part, folder / shard, metadata={"format": "pt"})
    sampling = {"do_sample": True, "temperature": 0.7, "top_k": 5, "eos_token_id": [1]}
    contents = (CONFIG, {"metadata": {}, "weight_map": weight_map}, settings, sampling)
    names = ("config.json", INDEX, "tokenizer_config.json", "generation_config.json")
    for name, content in zip(names, contents, strict=True):
        (folder / name).write_text(json.dumps(content))
    return folder


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything in a JSON value."""
    found: list[tuple[Any, Any]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in list(items):
        found.append((value, key))
        if isinstance(inner, dict | list):
            found += places(inner)
    return found


def changed_json(rng: random.Random, content: bytes) -> bytes:
    """Change one to three values, keys or elements."""
    value = copy.deepcopy(json.loads(content))
    for _ in range(rng.choice((1, 1, 2, 3))):
        found = places(value)
        if not found:
            break
        container, key = rng.choice(found)
        match rng.randrange(4):
            case 0:
                del container[key]
            case 1 if isinstance(container, dict):
                container[rng.choice(("x", "", "type", "\x00", str(key) * 2))] = container[key]
            case 1:
                container.insert(0, copy.deepcopy(container[key]))
            case 2:
                other, place = rng.choice(found)
                container[key] = copy.deepcopy(other[place]) if place in _keys(other) else None
            case _:
                container[key] = copy.deepcopy(rng.choice(VALUES))
    return json.dumps(value).encode()


def _keys(container: Any) -> Any:
    return container if isinstance(container, dict) else range(len(container))


def changed_bytes(rng: random.Random, content: bytes, end: int) -> bytes:
    """Change, insert, remove or repeat some of the first bytes, or cut the file."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(min(end, len(changed)) or 1)
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                changed[at:at] = rng.randbytes(rng.randrange(1, 9))
            case 2:
                del changed[at : at + rng.randrange(1, 40)]
            case 3:
                changed[at:at] = changed[at : at + rng.randrange(1, 200)]
            case _:
                changed = changed[: rng.randrange(len(changed) + 1)]
    return bytes(changed)


def use(folder: Path) -> bool:
    """Build the model and read all that goes along; whether it was taken."""
    try:
        built = build(folder, default_host(), context=16)
        load_tokenizer(built.assets, str(folder)).encode("hello", special=True)
        settings_of(built.assets, str(folder))
        ChatTemplate.of(built.assets, str(folder))
    except SynapseError as error:
        refusal = error
    else:
        return True
    assert refusal.exit_code in (2, 3, 4), refusal
    assert "\n" not in str(refusal)
    return False


def test_the_sound_folder_is_taken(tmp_path: Path) -> None:
    assert use(written(tmp_path / "m"))


@pytest.mark.fuzz
@pytest.mark.parametrize("name", [*FILES, SHARDS[0]])
def test_a_changed_file_is_read_or_refused_and_nothing_else(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / "m")
    sound = (folder / name).read_bytes()
    header = 8 + int.from_bytes(sound[:8], "little") if name == SHARDS[0] else len(sound)
    rng = random.Random(name)
    end, taken, refused = time.monotonic() + SECONDS / (len(FILES) + 1), 0, 0
    while time.monotonic() < end:
        if name != SHARDS[0] and rng.random() < 0.7:
            content = changed_json(rng, sound)
        elif name != SHARDS[0] and rng.random() < 0.05:
            content = rng.choice(TEXTS)
        else:
            content = changed_bytes(rng, sound, header)
        (folder / name).write_bytes(content)
        began = time.process_time()
        found = use(folder)  # pytest keeps the folder of a test that fails
        assert time.process_time() - began <= MOST_CPU_S, content[:200]
        taken, refused = taken + found, refused + (not found)
    print(json.dumps({"file": name, "taken": taken, "refused": refused}))
    assert refused > 20
    (folder / name).write_bytes(sound)
    assert use(folder)
