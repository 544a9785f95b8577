"""Decoder families as GGUF: the keys that `gguf.read_config` reads.

Source: as `gguf`; the reordering of q and k is `permute` of llama.cpp's convert_hf_to_gguf.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from synapse_core.components import SCALINGS, RopeBasis
from synapse_core.errors import Unavailable
from synapse_core.families import GgufForm, ModelConfig
from synapse_model_decoder.gguf import ROPE_FACTORS


def form_of(config: ModelConfig, *, reorders: bool) -> GgufForm:
    """Return the form of a model; `reorders` says that its architecture turns neighbours.

    Whether the keys say all of the config is for the caller to find out, by reading them back.

    Raises: Unavailable for a rope that the keys have no words for.
    """
    arch = config.family
    first, second = (sublayer.mixer.options for sublayer in config.layers[0].sublayers)
    rope = first["position"].options
    head_dim = first["head_dim"]
    keys: dict[str, Any] = {
        f"{arch}.context_length": config.context,
        f"{arch}.embedding_length": config.width,
        f"{arch}.block_count": len(config.layers),
        f"{arch}.feed_forward_length": second["hidden"],
        f"{arch}.vocab_size": config.vocabulary,
        f"{arch}.attention.head_count": first["heads"],
        f"{arch}.attention.head_count_kv": first["kv_heads"],
        f"{arch}.attention.key_length": head_dim,
        f"{arch}.attention.value_length": head_dim,
        f"{arch}.attention.layer_norm_rms_epsilon": float(config.norm.options["eps"]),
        f"{arch}.rope.dimension_count": head_dim,
        f"{arch}.rope.freq_base": float(rope["theta"]),
    }
    scaling = rope.get("scaling", {})
    vectors: dict[str, np.ndarray] = {}
    kind = scaling.get("type", "default")
    if rope.get("rotary_dim", head_dim) != head_dim or kind not in ("default", "linear", "llama3"):
        raise Unavailable(f"GGUF files of {arch!r} have no keys for a rope scaled by {kind!r}")
    if kind == "linear":
        keys[f"{arch}.rope.scaling.type"] = "linear"
        keys[f"{arch}.rope.scaling.factor"] = float(scaling["factor"])
    elif kind == "llama3":
        basis = RopeBasis(float(rope["theta"]), head_dim)
        scaled, _ = SCALINGS[kind].rule(basis, scaling)
        vectors[ROPE_FACTORS] = basis.inv_freq() / scaled
    turned: dict[str, int] = {}
    if reorders:
        turned = {".attention.q": first["heads"], ".attention.k": first["kv_heads"]}
    return GgufForm(arch=arch, keys=keys, vectors=vectors, turned=turned)
