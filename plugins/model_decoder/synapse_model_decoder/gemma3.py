"""Gemma 3, its text models: Gemma 2 with qk-norm for the soft caps, and two ropes.

Five layers with a window and a short rope stand before each one without, whose rope is long.

Paper: Gemma Team 2025, arXiv 2503.19786.
Reference: `Gemma3ForCausalLM` of transformers, models/gemma3/modeling_gemma3.py.
"""

from __future__ import annotations

import attrs

from synapse_core.families import (
    MOST_CONTEXT,
    MOST_LAYERS,
    Claim,
    Family,
    Fields,
    ModelConfig,
)
from synapse_model_decoder.gemma import (
    embedding_scale,
    read_gemma_ffn,
    read_gemma_norm,
    read_gemma_sizes,
)
from synapse_model_decoder.gemma2 import WEIGHTS as GEMMA2
from synapse_model_decoder.gemma2 import read_cap, scaled_attention
from synapse_model_decoder.hf import attention, plain_layer, read_layer_windows, read_model
from synapse_model_decoder.hf_rope import FULL, SLIDING, RopeReader
from synapse_model_decoder.llama import HEAD_NORMS, IGNORES

CAP = "final_logit_softcapping"
PATTERN = 6
SLIDING_THETA, FULL_THETA = 1e4, 1e6


def from_hf(read: Fields) -> ModelConfig:
    """Read a config.json.

    Raises: FileError naming the key.
    """
    sizes = read_gemma_sizes(read)
    if read.has("attn_logit_softcapping"):
        raise read.error("attn_logit_softcapping", "Gemma 3 has none; expected null")
    norm = read_gemma_norm(read)
    ffn = read_gemma_ffn(read, sizes)
    reader = RopeReader(head_dim=sizes.head_dim, context=sizes.context)
    ropes = reader.read_kinds(read, sliding=SLIDING_THETA, full=FULL_THETA)
    head_norm = attrs.evolve(norm, options={**norm.options, "width": sizes.head_dim})
    options = {
        kind: {**scaled_attention(read, sizes, rope), "qk_norm": head_norm}
        for kind, rope in ropes.items()
    }
    pattern = read.whole("sliding_window_pattern", most=MOST_LAYERS, default=PATTERN)
    window = read.whole("sliding_window", most=MOST_CONTEXT)
    windows = read_layer_windows(read, sizes.layers, window, lambda layer: (layer + 1) % pattern)
    mixers = [attention(options[SLIDING if window else FULL], window) for window in windows]
    return read_model(
        read,
        "gemma3",
        sizes,
        layers=[plain_layer(norm, mixer, ffn, norm) for mixer in mixers],
        norm=norm,
        rope=ropes[FULL],
        tied=True,
        embedding_scale=embedding_scale(sizes),
        head_softcap=read_cap(read, CAP) if read.has(CAP) else 0.0,
    )


FAMILY = Family(
    name="gemma3",
    claims=(Claim(hf="Gemma3ForCausalLM"),),
    config={"hf": from_hf},
    weights={"hf": {**GEMMA2, **HEAD_NORMS}},
    ignores=IGNORES,
    refuses={"Gemma3ForConditionalGeneration": "a model of text and images"},
)
