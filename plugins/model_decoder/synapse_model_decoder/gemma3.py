"""Gemma 3, its text models: Gemma 2 with qk-norm for the soft caps, and two ropes.

Five layers with a window and a short rope stand before each one without, whose rope is long.

Paper: Gemma Team 2025, arXiv 2503.19786.
Reference: `Gemma3ForCausalLM` of transformers, models/gemma3/modeling_gemma3.py.

In GGUF the models of text and images have their text part in a file of this kind.
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
from synapse_model_decoder import gguf
from synapse_model_decoder.gemma import (
    embedding_scale,
    gemma_ffn,
    read_gemma_ffn,
    read_gemma_norm,
    read_gemma_sizes,
)
from synapse_model_decoder.gemma2 import (
    GGUF_WEIGHTS,
    HEAD_CAP,
    gguf_scale,
    read_cap,
    scaled_attention,
)
from synapse_model_decoder.gemma2 import WEIGHTS as GEMMA2
from synapse_model_decoder.gguf_rope import BASE, read_rope
from synapse_model_decoder.hf import (
    attention,
    attention_options,
    plain_layer,
    read_layer_windows,
    read_model,
)
from synapse_model_decoder.hf_rope import FULL, SLIDING, RopeReader
from synapse_model_decoder.llama import HEAD_NORMS, IGNORES
from synapse_model_decoder.to_gguf_gemma import gemma3_form

PATTERN = 6
SLIDING_THETA, FULL_THETA = 1e4, 1e6
# In GGUF only the 27B has so many layers; it scales q by its width per head, not by the head's.
LAYERS_OF_27B = 62


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
        head_softcap=read_cap(read, HEAD_CAP) if read.has(HEAD_CAP) else 0.0,
    )


def from_gguf(read: Fields) -> ModelConfig:
    """Read the keys of a GGUF file; its scaling is that of the full layers alone.

    Raises: FileError naming the key or the tensor.
    """
    sizes = gguf.read_sizes(read, "gemma3", own=(gguf.WINDOW, HEAD_CAP))
    norm = gguf.read_norm(read, "gemma3")
    ropes = {
        FULL: read_rope(read, "gemma3", sizes.head_dim),
        SLIDING: read_rope(
            read, "gemma3", sizes.head_dim, scaling={}, base=f"{BASE}_swa", theta=SLIDING_THETA
        ),
    }
    more = {"scale": gguf_scale(sizes, LAYERS_OF_27B), "qk_norm": gguf.head_norm(norm, sizes)}
    biases = gguf.read_biases(read)
    options = {
        kind: {**attention_options(sizes, rope, biases), **more} for kind, rope in ropes.items()
    }
    window = gguf.read_window(read, "gemma3", default=0)
    windows = gguf.layer_windows(read, "gemma3", sizes.layers, window, period=PATTERN)
    mixers = [attention(options[SLIDING if window else FULL], window) for window in windows]
    cap = f"gemma3.{HEAD_CAP}"
    return gguf.read_model(
        read,
        "gemma3",
        sizes,
        layers=[plain_layer(norm, mixer, gemma_ffn(sizes), norm) for mixer in mixers],
        norm=norm,
        rope=ropes[FULL],
        embedding_scale=embedding_scale(sizes),
        head_softcap=read_cap(read, cap) if read.has(cap) else 0.0,
    )


FAMILY = Family(
    name="gemma3",
    claims=(Claim(hf="Gemma3ForCausalLM"), Claim(gguf="gemma3")),
    config={"hf": from_hf, "gguf": from_gguf},
    weights={"hf": {**GEMMA2, **HEAD_NORMS}, "gguf": GGUF_WEIGHTS},
    fused={"gguf": gguf.FUSED},
    ignores=IGNORES,
    to_gguf=gemma3_form,
    refuses={"Gemma3ForConditionalGeneration": "a model of text and images"},
)
