"""Qwen3: LLaMA's skeleton with a norm on each head's q and k, and windows in some layers.

Paper: Yang et al. 2025, arXiv 2505.09388.
Reference: `Qwen3ForCausalLM` of transformers, models/qwen3/modeling_qwen3.py.
"""

from __future__ import annotations

from functools import partial

from synapse_core.families import Claim, ComponentConfig, Family, Fields, ModelConfig
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
from synapse_model_decoder.llama import HEAD_NORMS, IGNORES
from synapse_model_decoder.llama import WEIGHTS as LLAMA
from synapse_model_decoder.shipped import default_model_path
from synapse_model_decoder.to_gguf import plain_form


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_sizes(read, head_dim=128)
    norm = read_norm(read)
    rope = RopeReader(head_dim=sizes.head_dim, context=sizes.context).read(read)
    biases = "qkvo" if read.flag("attention_bias", False) else ""
    head_norm = ComponentConfig("norm", "rmsnorm", {**norm.options, "width": sizes.head_dim})
    options = {**attention_options(sizes, rope, biases), "qk_norm": head_norm}
    ffn = read_ffn(read, sizes.hidden)
    windows = read_windows_from(read, sizes.layers)
    layers = [plain_layer(norm, attention(options, window), ffn) for window in windows]
    return read_model(read, "qwen3", sizes, layers=layers, norm=norm, rope=rope)


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file; q and k keep their rows there, unlike LLaMA's.

    Raises: FileError naming the key or the tensor.
    """
    return gguf.read_config(read, "qwen3", style="half", qk_norm=True)


WEIGHTS = {**LLAMA, **HEAD_NORMS}
FAMILY = Family(
    name="qwen3",
    claims=(Claim(hf="Qwen3ForCausalLM"), Claim(gguf="qwen3")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": WEIGHTS, "gguf": gguf.WEIGHTS},
    fused={"gguf": gguf.FUSED},
    ignores=IGNORES,
    to_gguf=partial(plain_form, arch="qwen3"),
    refuses={
        "Qwen3MoeForCausalLM": "a mixture of experts",
        "qwen3moe": "a mixture of experts",
    },
    default_checkpoint=default_model_path,
    default_rank=1,
)
