"""A Phi-3 checkpoint on disk, opened as a user opens it: its code, its fused matrices, its rope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from synapse_core.api import build
from synapse_core.backends import Executable
from synapse_core.errors import UsageError
from synapse_core.plugins import default_host
from synapse_core.program import Limits
from synapse_core.testing.case import rows

WIDTH, HIDDEN, HEADS, HEAD_DIM, VOCABULARY = 24, 20, 3, 8, 31
CONFIG = {
    "architectures": ["Phi3ForCausalLM"],
    "auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"},
    "hidden_size": WIDTH,
    "intermediate_size": HIDDEN,
    "num_hidden_layers": 2,
    "num_attention_heads": HEADS,
    "num_key_value_heads": 1,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": 128,
    "original_max_position_embeddings": 32,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "rope_scaling": {
        "type": "su",
        "short_factor": [1.0, 1.1, 1.2, 1.3],
        "long_factor": [2.0, 3.0, 4.0, 5.0],
    },
}


@pytest.fixture
def phi3(tmp_path: Path) -> Path:
    """A checkpoint of two layers in f16."""
    rng = np.random.default_rng(5)
    tensors = {
        "model.embed_tokens.weight": (VOCABULARY, WIDTH),
        "model.norm.weight": (WIDTH,),
        "lm_head.weight": (VOCABULARY, WIDTH),
    }
    for layer in ("model.layers.0.", "model.layers.1."):
        tensors |= {
            layer + "input_layernorm.weight": (WIDTH,),
            layer + "post_attention_layernorm.weight": (WIDTH,),
            layer + "self_attn.qkv_proj.weight": ((HEADS + 2) * HEAD_DIM, WIDTH),
            layer + "self_attn.o_proj.weight": (WIDTH, HEADS * HEAD_DIM),
            layer + "mlp.gate_up_proj.weight": (2 * HIDDEN, WIDTH),
            layer + "mlp.down_proj.weight": (WIDTH, HIDDEN),
        }
    numbers = {k: (rng.standard_normal(v) * 0.3).astype(np.float16) for k, v in tensors.items()}
    save_file(numbers, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def frequencies(folder: Path, **options: Any) -> np.ndarray:
    """Return the rope's frequencies of a model built with these options."""
    graph = build(folder, default_host(), **options).graph
    assert graph is not None
    source = graph.weights["rope.inv_freq"].source
    assert source is not None
    return source.raw().view(np.float32)[0]


def test_frequencies_are_those_of_the_context_that_is_given_at_load(phi3: Path) -> None:
    plain = 10000.0 ** (-np.arange(4) / 4)
    short, long = plain / [1.0, 1.1, 1.2, 1.3], plain / [2.0, 3.0, 4.0, 5.0]
    for context, expected in ((1, short), (32, short), (33, long), (128, long)):
        np.testing.assert_allclose(frequencies(phi3, context=context), expected, rtol=1e-6)
        limits = Limits(positions=context)
        np.testing.assert_allclose(frequencies(phi3, limits=limits), expected, rtol=1e-6)
    # Without a word the context is the model's own, 128.
    np.testing.assert_allclose(frequencies(phi3), long, rtol=1e-6)
    with pytest.raises(UsageError, match="context 129: this model was made for at most 128"):
        frequencies(phi3, context=129)


def test_fused_matrices_stay_in_the_mapped_file(phi3: Path) -> None:
    built = build(phi3, default_host(), context=32)
    assert built.graph is not None
    file = str(phi3 / "model.safetensors")
    for weight in built.graph.weights.values():
        assert weight.source is not None
        if weight.rows > 1:
            assert weight.source.place is not None
            assert weight.source.place[0] == file
    size = Path(file).stat().st_size
    # What is in memory are norms and frequencies: five norms of f16, rewritten to f32.
    assert len(built.program.external[0]) == size
    assert len(built.program.external[1]) < 1024


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_split_matrices_give_the_same_bits_as_fused_ones(phi3: Path, backend: str) -> None:
    """The same numbers as a LLaMA with q, k, v, gate and up apart give the same logits."""
    host = default_host()
    if backend not in host.names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")
    logits = []
    split = _split(phi3)
    for folder in (phi3, split):
        built = build(folder, host, context=16, kv="f32")
        made = host.get("backend", backend)
        made = made() if isinstance(made, type) else made
        session = made.open(Executable(built.program, built.find_op, built.graph))
        ids = np.arange(12, dtype=np.int32) * 2
        table = {"tokens": rows((0, 0, len(ids)))}
        inputs = {"ids": ids, "select": np.arange(len(ids), dtype=np.int32)}
        logits.append(session.run("forward", inputs, table)["logits"].copy())
        session.close()
    np.testing.assert_array_equal(logits[0], logits[1])
    assert logits[0].std() > 0.1


def _split(folder: Path) -> Path:
    """Write the checkpoint again as a LLaMA; the rope of both is plain from then on."""
    plain = {**CONFIG, "rope_scaling": None, "architectures": ["LlamaForCausalLM"]}
    del plain["auto_map"]
    fused = {**CONFIG, "rope_scaling": None}
    (folder / "config.json").write_text(json.dumps(fused))
    other = folder / "split"
    other.mkdir()
    tensors = {}
    for name, numbers in load_file(folder / "model.safetensors").items():
        stem = name.rpartition(".")[0].rpartition(".")[0]
        if "qkv_proj" in name:
            ends = [HEADS * HEAD_DIM, (HEADS + 1) * HEAD_DIM]
            for letter, part in zip("qkv", np.split(numbers, ends), strict=True):
                tensors[f"{stem}.{letter}_proj.weight"] = part.copy()
        elif "gate_up_proj" in name:
            for part_name, part in zip(("gate", "up"), np.split(numbers, 2), strict=True):
                tensors[f"{stem}.{part_name}_proj.weight"] = part.copy()
        else:
            tensors[name] = numbers
    save_file(tensors, other / "model.safetensors")
    (other / "config.json").write_text(json.dumps(plain))
    return other
