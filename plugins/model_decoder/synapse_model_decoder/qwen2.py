"""Qwen2 and Qwen2.5: LLaMA's skeleton with biases on q, k and v.

Paper: Yang et al. 2024, arXiv 2407.10671; Qwen2.5: arXiv 2412.15115.
Reference: `Qwen2ForCausalLM` of transformers, models/qwen2/modeling_qwen2.py.
"""

from __future__ import annotations

from functools import partial

from synapse_core.families import Claim, Family, Fields, ModelConfig
from synapse_model_decoder import gguf
from synapse_model_decoder.hf import (
    attention,
    attention_options,
    plain_layer,
    read_ffn,
    read_model,
    read_norm,
    read_sizes,
    read_windows_from,
)
from synapse_model_decoder.hf_rope import RopeReader
from synapse_model_decoder.llama import IGNORES
from synapse_model_decoder.llama import WEIGHTS as LLAMA
from synapse_model_decoder.to_gguf import plain_form


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_sizes(read)
    norm = read_norm(read)
    rope = RopeReader(head_dim=sizes.head_dim, context=sizes.context).read(read)
    # No key says so: every Qwen2 has these three and no others.
    options = attention_options(sizes, rope, biases="qkv")
    ffn = read_ffn(read, sizes.hidden)
    windows = read_windows_from(read, sizes.layers)
    layers = [plain_layer(norm, attention(options, window), ffn) for window in windows]
    return read_model(read, "qwen2", sizes, layers=layers, norm=norm, rope=rope)


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file; llama.cpp's converter writes none for windows.

    Raises: FileError naming the key or the tensor.
    """
    return gguf.read_config(read, "qwen2", style="half")


FAMILY = Family(
    name="qwen2",
    claims=(Claim(hf="Qwen2ForCausalLM"), Claim(gguf="qwen2")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": LLAMA, "gguf": gguf.WEIGHTS},
    fused={"gguf": gguf.FUSED},
    ignores=IGNORES,
    to_gguf=partial(plain_form, arch="qwen2"),
    refuses={
        "Qwen2MoeForCausalLM": "a mixture of experts",
        "qwen2moe": "a mixture of experts",
    },
)
