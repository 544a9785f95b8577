"""A GGUF file of Mamba-130M's shape with random weights, and its quantised forms; see `shape`."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import numpy as np
from shape import FILE_TYPES, WRITTEN, quantise

LAYERS, WIDTH, INNER, STATES, RANK, TAPS, VOCABULARY = 24, 768, 1536, 16, 48, 4, 50280
# Multiply-adds of a token in the layers' matrices.
LAYER_MACS = LAYERS * INNER * (3 * WIDTH + 2 * RANK + 2 * STATES)
FORMATS = ("q4_0", "q8_0", "f16")
PEER = "torch"
PEERS = {"f32": ("f32",)}


def make(folder: Path, format: str) -> Path:
    """Return the file of a format, made once."""
    path = folder / f"mamba-130m-shape-{format}.gguf"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    if format in ("q4_0", "q8_0"):
        # By the quantiser, which leaves filters and the matrix of the time step as they are.
        file_type = {**FILE_TYPES, "q8_0": int(WRITTEN["q8_0"][0])}[format]
        quantise(make(folder, "f16"), part, file_type)
    else:
        _write(part, *WRITTEN[format])
    os.replace(part, path)
    return path


def make_folder(folder: Path, format: str) -> Path:
    """Return the Hugging Face folder of a format, "f32", made once."""
    import torch
    from transformers import MambaConfig, MambaForCausalLM

    path = folder / f"mamba-130m-shape-{format}"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    torch.manual_seed(0)
    config = MambaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        intermediate_size=INNER,
        state_size=STATES,
        time_step_rank=RANK,
        conv_kernel=TAPS,
    )
    MambaForCausalLM(config).save_pretrained(part)
    os.replace(part, path)
    return path


def _write(path: Path, file_type: gguf.LlamaFileType, kind: gguf.GGMLQuantizationType) -> None:
    rng = np.random.default_rng(0)
    w = gguf.GGUFWriter(str(path), "mamba")
    w.add_context_length(1 << 20)
    w.add_embedding_length(WIDTH)
    w.add_feed_forward_length(0)
    w.add_head_count(0)
    w.add_block_count(LAYERS)
    w.add_ssm_conv_kernel(TAPS)
    w.add_ssm_inner_size(INNER)
    w.add_ssm_state_size(STATES)
    w.add_ssm_time_step_rank(RANK)
    w.add_ssm_dt_b_c_rms(False)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_file_type(file_type)
    w.add_vocab_size(VOCABULARY)
    w.add_tokenizer_model("none")

    def matrix(name: str, rows: int, cols: int, size: float = 0.02) -> None:
        numbers = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(size)
        w.add_tensor(name, gguf.quantize(numbers, kind), raw_dtype=kind)

    def vector(name: str, values: np.ndarray) -> None:
        w.add_tensor(name, values.astype(np.float32))

    matrix("token_embd.weight", VOCABULARY, WIDTH)
    vector("output_norm.weight", np.ones(WIDTH))
    # As a Mamba begins: rates -1 to -N, steps of 0.001 to 0.1 spread by their logarithm.
    rates = np.repeat(-np.arange(1.0, STATES + 1)[None], INNER, axis=0)
    steps = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), (LAYERS, INNER)))
    for n in range(LAYERS):
        block = f"blk.{n}."
        vector(block + "attn_norm.weight", np.ones(WIDTH))
        matrix(block + "ssm_in.weight", 2 * INNER, WIDTH)
        vector(block + "ssm_conv1d.weight", rng.uniform(-0.5, 0.5, (INNER, TAPS)))
        vector(block + "ssm_conv1d.bias", np.zeros(INNER))
        matrix(block + "ssm_x.weight", RANK + 2 * STATES, INNER)
        matrix(block + "ssm_dt.weight", INNER, RANK)
        vector(block + "ssm_dt.bias", np.log(np.expm1(steps[n])))
        vector(block + "ssm_a", rates)
        vector(block + "ssm_d", np.ones(INNER))
        matrix(block + "ssm_out.weight", WIDTH, INNER)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
