"""Gemma 1, 2 and 3 as GGUF: the norms' one is added in the file, the windows are keys.

Source: `GemmaModel`, `Gemma2Model` and `Gemma3Model` of llama.cpp's conversion/gemma.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from synapse_core.errors import Unavailable
from synapse_core.families import ComponentConfig, GgufForm, LayerConfig, ModelConfig
from synapse_model_decoder.gguf import PATTERN, WINDOW
from synapse_model_decoder.gguf_rope import BASE
from synapse_model_decoder.to_gguf import base_keys, mixers, size_keys
from synapse_model_decoder.to_gguf_rope import check_whole, scaling_keys

ADDED = {"norm.weight": 1.0}
CAPS = ("attn_logit_softcapping", "final_logit_softcapping")


def gemma_form(config: ModelConfig) -> GgufForm:
    """Return the form of Gemma; its base is a key where it is not the usual one.

    Raises: Unavailable for a rope that the keys have no words for.
    """
    rope = mixers(config)[0].options["position"]
    keys = size_keys(config) | base_keys("gemma", rope) | _scaling(config, rope)
    return _form(config, keys)


def gemma2_form(config: ModelConfig) -> GgufForm:
    """Return the form of Gemma 2.

    Raises: Unavailable for a rope that the keys have no words for, and a model without soft caps.
    """
    options = mixers(config)[0].options
    rope = options["position"]
    keys = size_keys(config) | base_keys("gemma2", rope) | _scaling(config, rope)
    for name, cap in zip(CAPS, (options["softcap"], config.head_softcap), strict=True):
        if not cap:
            raise Unavailable(f"GGUF files of 'gemma2' have no word for no {name}")
        keys[f"gemma2.{name}"] = float(cap)
    return _form(config, keys | _window_keys(config, period=2))


def gemma3_form(config: ModelConfig) -> GgufForm:
    """Return the form of Gemma 3: two bases, and a scaling that is the full layers' alone.

    Raises: Unavailable for ropes that the keys have no words for.
    """
    found = {bool(m.options.get("window")): m.options["position"] for m in mixers(config)}
    full, sliding = found.get(False, found.get(True)), found.get(True, found.get(False))
    assert full is not None
    assert sliding is not None
    if True in found and sliding.options.get("scaling"):
        type = sliding.options["scaling"]["type"]
        problem = f"a rope of the layers with a window that is scaled by {type!r}"
        raise Unavailable(f"GGUF files of 'gemma3' have no keys for {problem}")
    keys = size_keys(config) | _scaling(config, full)
    keys[f"gemma3.{BASE}"] = float(full.options["theta"])
    keys[f"gemma3.{BASE}_swa"] = float(sliding.options["theta"])
    if config.head_softcap:
        keys[f"gemma3.{CAPS[1]}"] = float(config.head_softcap)
    return _form(config, keys | _window_keys(config, period=6))


def _form(config: ModelConfig, keys: dict[str, Any]) -> GgufForm:
    return GgufForm(arch=config.family, keys=keys, added=ADDED, said=_plain_norms(config))


def _scaling(config: ModelConfig, rope: ComponentConfig) -> dict[str, Any]:
    check_whole(config.family, rope.options)
    return scaling_keys(config.family, rope.options.get("scaling", {}))


def _window_keys(config: ModelConfig, *, period: int) -> dict[str, Any]:
    """Return the window, and which layers have it where not all but the last of `period` do."""
    windows = [mixer.options.get("window", 0) for mixer in mixers(config)]
    # Where no layer has one, the key must be there all the same, and be no 0.
    keys: dict[str, Any] = {WINDOW: max(windows) or config.context}
    if not _has_period(windows, period):
        keys[PATTERN] = [window > 0 for window in windows]
    return {f"{config.family}.{name}": value for name, value in keys.items()}


def _has_period(windows: Sequence[int], period: int) -> bool:
    return all((n % period != period - 1) == (window > 0) for n, window in enumerate(windows))


def _plain_norms(config: ModelConfig) -> ModelConfig:
    """Return the model with norms that hold their weight itself, as they are in the file."""
    layers = tuple(
        LayerConfig(tuple(_plain_sublayer(sublayer) for sublayer in layer.sublayers))
        for layer in config.layers
    )
    return attrs.evolve(config, layers=layers, norm=_plain(config.norm))


def _plain_sublayer(sublayer: Any) -> Any:
    mixer = sublayer.mixer
    if "qk_norm" in mixer.options:
        options = {**mixer.options, "qk_norm": _plain(mixer.options["qk_norm"])}
        mixer = attrs.evolve(mixer, options=options)
    norm, post = _plain(sublayer.norm), sublayer.post_norm
    after = None if post is None else _plain(post)
    return attrs.evolve(sublayer, norm=norm, mixer=mixer, post_norm=after)


def _plain(norm: ComponentConfig) -> ComponentConfig:
    options = {name: value for name, value in norm.options.items() if name != "one_plus"}
    return attrs.evolve(norm, options=options)
