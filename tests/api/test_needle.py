"""A needle in a long context is found wherever it lies, with every type of keys and values.

The model is made by hand: one layer whose query looks for tokens that hold a value, and whose
output is that value. A pair of columns that rope next to never turns carries the match; the other
columns carry noise, and a value is a code of sixteen numbers, so that rounding keys and values is
seen in the logits. Numpy is the reference, which keeps keys and values in float32 in any case.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from synapse_core.api import load
from synapse_core.generate import Decoder

# Tokens: the question, a needle for each value, an answer for each value, and filler.
WIDTH, VALUES, FILLER = 64, 16, 200
QUESTION, NEEDLE, ANSWER, FIRST = 0, 1, 1 + VALUES, 1 + 2 * VALUES
VOCABULARY = FIRST + FILLER
# Columns of the residual stream: is question, is needle, value, answer, noise.
HELD, SAID, NOISE = 2, 2 + VALUES, 2 + 2 * VALUES
STILL = WIDTH // 2 - 1  # the pair of the lowest frequency, 1e12 ** (-62 / 64) a position
KV_TYPES = ("f32", "f16", "bf16", "q8_0")
# Largest difference of a logit from f32's, of logits up to 8.
ERRORS = {"f32": 0.0, "f16": 0.002, "bf16": 0.02, "q8_0": 0.05}


def probe(folder: Path, window: int | None = None) -> Path:
    """Write the model; with a window as Mistral, whose layers have one."""
    rng = np.random.default_rng(8)
    embedding = np.zeros((VOCABULARY, WIDTH), np.float32)
    embedding[QUESTION, 0] = 1
    embedding[NEEDLE:ANSWER, 1] = 1
    embedding[NEEDLE:ANSWER, HELD:SAID] = np.eye(VALUES)
    embedding[FIRST:, NOISE:] = rng.standard_normal((FILLER, WIDTH - NOISE)) / 5
    q, k, v, o = (np.zeros((WIDTH, WIDTH), np.float32) for _ in range(4))
    q[:STILL, 0] = rng.standard_normal(STILL) / 20
    k[:STILL, NOISE:] = rng.standard_normal((STILL, WIDTH - NOISE)) / 20
    q[STILL, 0], k[STILL, 1] = 3, 1
    codes, _ = np.linalg.qr(rng.standard_normal((VALUES, VALUES)))
    v[:VALUES, HELD:SAID] = codes
    v[:, NOISE:] = rng.standard_normal((WIDTH, WIDTH - NOISE)) / 20
    o[SAID:NOISE, :VALUES] = np.eye(VALUES)
    head = np.zeros((VOCABULARY, WIDTH), np.float32)
    head[ANSWER:FIRST, SAID:NOISE] = codes.T
    layer, one = "model.layers.0.", np.ones(WIDTH, np.float32)
    tensors = {
        "model.embed_tokens.weight": embedding,
        "model.norm.weight": one,
        "lm_head.weight": head,
        f"{layer}input_layernorm.weight": one.copy(),
        f"{layer}post_attention_layernorm.weight": one.copy(),
        **{
            f"{layer}self_attn.{n}_proj.weight": w
            for n, w in zip("qkvo", (q, k, v, o), strict=True)
        },
        f"{layer}mlp.gate_proj.weight": np.zeros((32, WIDTH), np.float32),
        f"{layer}mlp.up_proj.weight": np.zeros((32, WIDTH), np.float32),
        f"{layer}mlp.down_proj.weight": np.zeros((WIDTH, 32), np.float32),
    }
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config: dict[str, Any] = {
        "architectures": ["MistralForCausalLM" if window else "LlamaForCausalLM"],
        "model_type": "mistral" if window else "llama",
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
        "max_position_embeddings": 16384,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
        "rope_theta": 1e12,
    }
    if window:
        config["sliding_window"] = window
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def asked(length: int, depth: int, value: int) -> list[int]:
    """Return filler with a needle in it and the question at the end."""
    ids = (FIRST + np.random.default_rng(depth).integers(0, FILLER, length)).tolist()
    ids[depth], ids[-1] = NEEDLE + value, QUESTION
    return [int(id) for id in ids]


def answers(
    folder: Path, backend: str, kv: str, length: int, depths: list[int], *, rows: int = 512
) -> np.ndarray:
    """Return the logits behind the question, one row for each depth."""
    found = []
    with load(
        folder, backend=backend, kv=kv, context=length, slots=2, rows=rows, threads=1
    ) as model:
        other = Decoder.open(model.session, model.program, 1)
        mine = Decoder.open(model.session, model.program, 0)
        for number, depth in enumerate(depths):
            other.prefill(asked(200 + number, 100, (number + 5) % VALUES))
            found.append(mine.prefill(asked(length, depth, number % VALUES)))
    return np.stack(found)


def right(logits: np.ndarray) -> list[bool]:
    """Say of each row whether it names what its needle holds."""
    return [int(np.argmax(row)) == ANSWER + n % VALUES for n, row in enumerate(logits)]


@pytest.fixture(params=[("cpu", 8192), ("numpy", 700)], ids=["cpu", "numpy"])
def place(request: pytest.FixtureRequest) -> tuple[str, int]:
    pytest.importorskip("synapse_model_decoder")
    if request.param[0] == "cpu":
        pytest.importorskip("synapse_backend_cpu")
    return request.param


def test_the_needle_is_found_at_every_depth_with_every_kv_type(
    tmp_path: Path, place: tuple[str, int]
) -> None:
    backend, length = place
    depths = [0, 1, 63, 64, length // 2, length - 65, length - 2]
    folder = probe(tmp_path / "m")
    exact = answers(folder, backend, "f32", length, depths)
    for kv in KV_TYPES:
        logits = answers(folder, backend, kv, length, depths)
        error = float(np.abs(logits - exact).max())
        print(f"{backend}, {length} positions, {kv}: largest error of a logit {error:.2g}")
        assert right(logits) == [True] * len(depths), kv
        assert error <= ERRORS[kv], kv


def test_chunks_that_cross_pages_change_no_bit(tmp_path: Path) -> None:
    pytest.importorskip("synapse_backend_cpu")
    folder, depths = probe(tmp_path / "m"), [0, 64, 130, 1000]
    found = [
        answers(folder, "cpu", "q8_0", 1500, depths, rows=rows).tobytes() for rows in (512, 100, 37)
    ]
    assert found[0] == found[1] == found[2]


def test_without_a_needle_no_value_is_named(tmp_path: Path) -> None:
    folder = probe(tmp_path / "m")
    with load(folder, backend="numpy", context=400) as model:
        logits = model.decoder.prefill([*asked(399, 0, 0)[1:], QUESTION])
    assert logits is not None
    assert float(np.abs(logits).max()) < 2


@pytest.mark.parametrize("kv", KV_TYPES)
def test_behind_the_window_the_needle_is_not_found_and_within_it_is(
    tmp_path: Path, place: tuple[str, int], kv: str
) -> None:
    backend, length = place
    window = 150
    last = length - 1
    within = [last - 1, last - 64, last - window + 1]
    behind = [last - window, last - 300, 0]
    folder = probe(tmp_path / "m", window)
    assert right(answers(folder, backend, kv, length, within)) == [True] * 3
    lost = answers(folder, backend, kv, length, behind)
    assert float(np.abs(lost).max()) < 2
