"""How a rope is scaled, in GGUF's keys.

Source: `TextModel.set_gguf_parameters` of llama.cpp's conversion/base.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from synapse_core.components import SCALINGS, RopeBasis
from synapse_core.errors import Unavailable
from synapse_model_decoder.gguf_rope import (
    FACTOR,
    MAGNITUDE,
    TRAINED_LENGTH,
    TYPE,
    YARN_MAGNITUDE,
    YARN_TURNS,
    yarn_magnitude,
)
from synapse_model_decoder.hf_rope import TRAINED


def scaling_keys(arch: str, scaling: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a scaling, none for none.

    Raises: Unavailable for one that they have no words for.
    """
    type = scaling.get("type", "default")
    if type == "default":
        return {}
    if type not in ("linear", "yarn") or not scaling.get("truncate", True):
        raise refuse_scaling(arch, scaling)
    keys: dict[str, Any] = {TYPE: type, FACTOR: float(scaling["factor"])}
    if type == "yarn":
        keys |= _yarn_keys(scaling)
    return {f"{arch}.{name}": value for name, value in keys.items()}


def _yarn_keys(scaling: Mapping[str, Any]) -> dict[str, Any]:
    keys: dict[str, Any] = {TRAINED_LENGTH: scaling[TRAINED]}
    for turns in YARN_TURNS:
        if turns in scaling:
            keys[f"rope.scaling.yarn_{turns}"] = float(scaling[turns])
    own = yarn_magnitude(scaling["factor"])
    magnitude = SCALINGS["yarn"].rule(RopeBasis(10000.0, 2), scaling)[1]
    if magnitude != own:
        # The one is what the converter writes, the other what llama.cpp reads.
        keys[YARN_MAGNITUDE], keys[MAGNITUDE] = magnitude, magnitude / own
    return keys


def check_whole(arch: str, rope: Mapping[str, Any]) -> None:
    """Check that all columns of a head turn.

    Raises: Unavailable.
    """
    turned = rope.get("rotary_dim", rope["head_dim"])
    if turned != rope["head_dim"]:
        raise Unavailable(
            f"GGUF files of {arch!r} have no keys for a rope that turns {turned} of a head's"
            f" {rope['head_dim']} columns"
        )


def refuse_scaling(arch: str, scaling: Mapping[str, Any]) -> Unavailable:
    """Return the error of a scaling without keys."""
    exactly = "" if scaling.get("truncate", True) else ", its range not truncated"
    return Unavailable(
        f"GGUF files of {arch!r} have no keys for a rope scaled by {scaling['type']!r}{exactly}"
    )
