"""Decoder families as GGUF: the keys that `gguf` and the families read, as llama.cpp writes them.

Source: as `gguf`; `set_gguf_parameters` and `modify_tensors` of the classes in llama.cpp's
conversion/llama.py, qwen.py and phi.py.
"""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from synapse_core.components import SCALINGS, RopeBasis
from synapse_core.families import ComponentConfig, GgufForm, LayerConfig, ModelConfig
from synapse_model_decoder.gguf import WINDOW
from synapse_model_decoder.gguf_rope import (
    BASE,
    DEFAULT_THETA,
    LONG,
    MAGNITUDE,
    ROPE_FACTORS,
    SHORT,
    TRAINED_LENGTH,
)
from synapse_model_decoder.hf_rope import TRAINED
from synapse_model_decoder.to_gguf_rope import check_whole, refuse_scaling, scaling_keys

DIMENSIONS = "rope.dimension_count"


def plain_form(config: ModelConfig, *, arch: str, reorders: bool = False) -> GgufForm:
    """Return the form of LLaMA and its like; `reorders`: the architecture turns neighbours.

    There is no key for a window. The context is cut to the shortest, so that none is ever felt.

    Raises: Unavailable for a rope that the keys have no words for.
    """
    said, notes = without_windows(attrs.evolve(config, family=arch))
    options = mixers(config)[0].options
    rope = options["position"].options
    keys = size_keys(said)
    if arch == "llama":
        keys["llama.vocab_size"] = config.vocabulary
        keys[f"llama.{DIMENSIONS}"] = options["head_dim"]
    keys[f"{arch}.{BASE}"] = float(rope["theta"])
    check_whole(arch, rope)
    vectors: dict[str, np.ndarray] = {}
    scaling = rope.get("scaling", {})
    if scaling.get("type") == "llama3":
        basis = RopeBasis(float(rope["theta"]), options["head_dim"])
        scaled, _ = SCALINGS["llama3"].rule(basis, scaling)
        vectors[ROPE_FACTORS] = basis.inv_freq() / scaled
    else:
        keys |= scaling_keys(arch, scaling)
    turned: dict[str, int] = {}
    if reorders:
        turned = {".attention.q": options["heads"], ".attention.k": options["kv_heads"]}
    return GgufForm(arch=arch, keys=keys, vectors=vectors, turned=turned, said=said, notes=notes)


def phi3_form(config: ModelConfig) -> GgufForm:
    """Return the form of Phi-3: its window is a key, 0 for none, longrope's divisors are tensors.

    Raises: Unavailable for another scaling than longrope.
    """
    mixer = mixers(config)[0]
    rope = mixer.options["position"].options
    keys = size_keys(config, head_dim=False)
    keys[f"phi3.{WINDOW}"] = mixer.options.get("window", 0)
    keys[f"phi3.{DIMENSIONS}"] = rope.get("rotary_dim", rope["head_dim"])
    keys[f"phi3.{BASE}"] = float(rope["theta"])
    keys[f"phi3.{TRAINED_LENGTH}"] = config.context
    scaling = rope.get("scaling", {})
    vectors: dict[str, np.ndarray] = {}
    if scaling.get("type", "default") not in ("default", "longrope"):
        raise refuse_scaling("phi3", scaling)
    if scaling:
        keys[f"phi3.{TRAINED_LENGTH}"] = scaling[TRAINED]
        basis = RopeBasis(float(rope["theta"]), keys[f"phi3.{DIMENSIONS}"], config.context)
        keys[f"phi3.{MAGNITUDE}"] = SCALINGS["longrope"].rule(basis, scaling)[1]
        for name, kind in ((SHORT, "short_factor"), (LONG, "long_factor")):
            vectors[name] = np.array(scaling[kind], np.float32)
    # By it readers know that its tokenizer drops blanks behind special tokens.
    return GgufForm(arch="phi3", keys=keys, vectors=vectors, named="Phi-3")


def mixers(config: ModelConfig) -> list[ComponentConfig]:
    """Return the attention of every layer."""
    return [layer.sublayers[0].mixer for layer in config.layers]


def size_keys(config: ModelConfig, *, head_dim: bool = True) -> dict[str, Any]:
    """Return the keys that every architecture has.

    Without `head_dim` the width of a head is said only where it is not width / heads.
    """
    first, second = (sublayer.mixer.options for sublayer in config.layers[0].sublayers)
    keys: dict[str, Any] = {
        "context_length": config.context,
        "embedding_length": config.width,
        "block_count": len(config.layers),
        "feed_forward_length": second["hidden"],
        "attention.head_count": first["heads"],
        "attention.head_count_kv": first["kv_heads"],
        "attention.layer_norm_rms_epsilon": float(config.norm.options["eps"]),
    }
    if head_dim or first["head_dim"] * first["heads"] != config.width:
        keys["attention.key_length"] = keys["attention.value_length"] = first["head_dim"]
    return {f"{config.family}.{name}": value for name, value in keys.items()}


def base_keys(arch: str, rope: ComponentConfig) -> dict[str, Any]:
    """Return the base of the frequencies, where it is another than a silent file has."""
    theta = float(rope.options["theta"])
    return {} if theta == DEFAULT_THETA else {f"{arch}.{BASE}": theta}


def without_windows(config: ModelConfig) -> tuple[ModelConfig, tuple[str, ...]]:
    """Return the model with a context in which its windows are not felt, without them; and why."""
    windows = [mixer.options.get("window", 0) for mixer in mixers(config)]
    if not any(windows):
        return config, ()
    shortest = min(window for window in windows if window)
    layers = tuple(_without_window(layer) for layer in config.layers)
    said = attrs.evolve(config, layers=layers, context=min(config.context, shortest))
    if said.context == config.context:
        return said, ()
    note = (
        f"GGUF's {config.family!r} has no key for windows, here of {shortest} positions:"
        f" context_length is {said.context}, not {config.context}, so that none is felt"
    )
    return said, (note,)


def _without_window(layer: LayerConfig) -> LayerConfig:
    first, *others = layer.sublayers
    options = {name: value for name, value in first.mixer.options.items() if name != "window"}
    mixer = ComponentConfig("attention", "gqa", options)
    return LayerConfig((attrs.evolve(first, mixer=mixer), *others))
