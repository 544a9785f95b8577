"""Mistral: LLaMA's skeleton, every layer looking back over a window of positions.

Paper: Jiang et al. 2023, arXiv 2310.06825.
Reference: `MistralForCausalLM` of transformers, models/mistral/modeling_mistral.py.

In GGUF it is a `llama`, which that family reads and which this one is written as; the file says
nothing of the window.
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
    read_layer_windows,
    read_model,
    read_norm,
    read_sizes,
    read_window,
    refuse_biases,
)
from synapse_model_decoder.hf_rope import RopeReader
from synapse_model_decoder.llama import IGNORES, from_gguf
from synapse_model_decoder.llama import WEIGHTS as LLAMA
from synapse_model_decoder.to_gguf import plain_form


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_sizes(read)
    refuse_biases(read, "attention_bias", "mlp_bias")
    norm = read_norm(read)
    rope = RopeReader(head_dim=sizes.head_dim, context=sizes.context).read(read)
    window = read_window(read)
    # The class looks at no layer_types: a file that mixes them means another one.
    if set(read_layer_windows(read, sizes.layers, window, lambda _: True)) != {window}:
        raise read.error("layer_types", "differ from layer to layer; Mistral's are all alike")
    mixer = attention(attention_options(sizes, rope), window)
    layers = [plain_layer(norm, mixer, read_ffn(read, sizes.hidden))] * sizes.layers
    return read_model(read, "mistral", sizes, layers=layers, norm=norm, rope=rope)


FAMILY = Family(
    name="mistral",
    claims=(Claim(hf="MistralForCausalLM"),),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": LLAMA, "gguf": gguf.WEIGHTS},
    ignores=IGNORES,
    to_gguf=partial(plain_form, arch="llama", reorders=True),
    refuses={
        "MixtralForCausalLM": "a mixture of experts",
        "Mistral3ForConditionalGeneration": "a model of text and images",
    },
)
