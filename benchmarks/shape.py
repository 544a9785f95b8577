"""A GGUF file of Qwen3-0.6B's shape with random weights, and its quantised forms.

Speed does not depend on the numbers, so that nothing must be downloaded. llama.cpp's own quantiser
makes the formats that the package gguf does not write, so that both engines read one file. The same
shape as a Hugging Face folder, f32 and bf16, is what PyTorch reads.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
from pathlib import Path

import gguf
import numpy as np

LAYERS, WIDTH, HEADS, KV_HEADS, HEAD_DIM, FFN, VOCABULARY = 28, 1024, 16, 8, 128, 3072, 151936
# Multiply-adds of a token in the layers' matrices.
LAYER_MACS = LAYERS * (
    2 * WIDTH * HEADS * HEAD_DIM + 2 * WIDTH * KV_HEADS * HEAD_DIM + 3 * WIDTH * FFN
)
# By llama.cpp's numbers of file types.
FILE_TYPES = {"q4_0": 2, "q4_k_m": 15, "bf16": 32}
WRITTEN = {
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
    "f16": (gguf.LlamaFileType.MOSTLY_F16, gguf.GGMLQuantizationType.F16),
}
FORMATS = ("q4_0", "q8_0", "q4_k_m", "bf16", "f16")
# The engine that reads folders, and what it reads where Synapse reads a format.
PEER = "torch"
PEERS = {"f32": ("f32",), "bf16": ("bf16",), "q8_0": ("bf16", "f32")}


def make(folder: Path, format: str) -> Path:
    """Return the file of a format, made once."""
    path = folder / f"qwen3-0.6b-shape-{format}.gguf"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    if format in WRITTEN:
        _write(part, *WRITTEN[format])
    else:
        quantise(make(folder, "f16"), part, FILE_TYPES[format])
    os.replace(part, path)
    return path


def make_folder(folder: Path, format: str) -> Path:
    """Return the Hugging Face folder of a format, "f32" or "bf16", made once."""
    import torch
    from safetensors.torch import save_file

    path = folder / f"qwen3-0.6b-shape-{format}"
    if path.exists():
        return path
    part = path.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    torch.manual_seed(0)
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[format]
    tensors = {"model.norm.weight": torch.ones(WIDTH, dtype=dtype)}

    def matrix(name: str, rows: int, cols: int) -> None:
        tensors[f"model.{name}.weight"] = (torch.randn(rows, cols) * 0.02).to(dtype)

    matrix("embed_tokens", VOCABULARY, WIDTH)
    for n in range(LAYERS):
        block = f"layers.{n}."
        for name, count in (
            ("input_layernorm", WIDTH),
            ("post_attention_layernorm", WIDTH),
            ("self_attn.q_norm", HEAD_DIM),
            ("self_attn.k_norm", HEAD_DIM),
        ):
            tensors[f"model.{block}{name}.weight"] = torch.ones(count, dtype=dtype)
        matrix(block + "self_attn.q_proj", HEADS * HEAD_DIM, WIDTH)
        matrix(block + "self_attn.k_proj", KV_HEADS * HEAD_DIM, WIDTH)
        matrix(block + "self_attn.v_proj", KV_HEADS * HEAD_DIM, WIDTH)
        matrix(block + "self_attn.o_proj", WIDTH, HEADS * HEAD_DIM)
        matrix(block + "mlp.gate_proj", FFN, WIDTH)
        matrix(block + "mlp.up_proj", FFN, WIDTH)
        matrix(block + "mlp.down_proj", WIDTH, FFN)
    save_file(tensors, part / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": FFN,
        "max_position_embeddings": 40960,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1e6,
        "tie_word_embeddings": True,
        "torch_dtype": {"f32": "float32", "bf16": "bfloat16"}[format],
        "vocab_size": VOCABULARY,
    }
    (part / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    os.replace(part, path)
    return path


def _write(path: Path, file_type: gguf.LlamaFileType, kind: gguf.GGMLQuantizationType) -> None:
    rng = np.random.default_rng(0)
    w = gguf.GGUFWriter(str(path), "qwen3")
    w.add_block_count(LAYERS)
    w.add_context_length(40960)
    w.add_embedding_length(WIDTH)
    w.add_feed_forward_length(FFN)
    w.add_head_count(HEADS)
    w.add_head_count_kv(KV_HEADS)
    w.add_key_length(HEAD_DIM)
    w.add_value_length(HEAD_DIM)
    w.add_rope_freq_base(1e6)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_file_type(file_type)
    w.add_vocab_size(VOCABULARY)
    w.add_tokenizer_model("none")

    def matrix(name: str, rows: int, cols: int) -> None:
        numbers = rng.standard_normal((rows, cols), dtype=np.float32) * np.float32(0.02)
        w.add_tensor(name, gguf.quantize(numbers, kind), raw_dtype=kind)

    def ones(name: str, count: int) -> None:
        w.add_tensor(name, np.ones(count, dtype=np.float32))

    matrix("token_embd.weight", VOCABULARY, WIDTH)
    ones("output_norm.weight", WIDTH)
    for n in range(LAYERS):
        block = f"blk.{n}."
        ones(block + "attn_norm.weight", WIDTH)
        ones(block + "ffn_norm.weight", WIDTH)
        ones(block + "attn_q_norm.weight", HEAD_DIM)
        ones(block + "attn_k_norm.weight", HEAD_DIM)
        matrix(block + "attn_q.weight", HEADS * HEAD_DIM, WIDTH)
        matrix(block + "attn_k.weight", KV_HEADS * HEAD_DIM, WIDTH)
        matrix(block + "attn_v.weight", KV_HEADS * HEAD_DIM, WIDTH)
        matrix(block + "attn_output.weight", WIDTH, HEADS * HEAD_DIM)
        matrix(block + "ffn_gate.weight", FFN, WIDTH)
        matrix(block + "ffn_up.weight", FFN, WIDTH)
        matrix(block + "ffn_down.weight", WIDTH, FFN)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def quantise(source: Path, to: Path, file_type: int) -> None:
    """Write a file anew by llama.cpp's quantiser, `file_type` being its number for it."""
    import llama_cpp

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype = file_type
    code = llama_cpp.llama_model_quantize(
        str(source).encode(), str(to).encode(), ctypes.byref(settings)
    )
    if code:
        raise SystemExit(f"llama.cpp's quantiser: code {code} for {to.name}")
