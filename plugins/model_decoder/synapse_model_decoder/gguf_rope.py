"""Rotary positions as a GGUF file says them, the same for every decoder family.

Source: github.com/ggml-org/llama.cpp, `load_hparams` in src/llama-model.cpp; the factor of yarn on
cos and sin: the constructor of `llama_context`.
"""

from __future__ import annotations

import math
from typing import Any

from synapse_core.components import SCALINGS
from synapse_core.families import MOST_CONTEXT, ComponentConfig, Fields
from synapse_model_decoder.hf_rope import LEAST_FACTOR, MOST_FACTOR, MOST_THETA

ROPE_FACTORS = "rope_freqs.weight"
SHORT, LONG = "rope_factors_short.weight", "rope_factors_long.weight"
BASE = "rope.freq_base"
TYPE, FACTOR = "rope.scaling.type", "rope.scaling.factor"
TRAINED_LENGTH = "rope.scaling.original_context_length"
# A factor on what the scaling itself has on cos and sin; of yarn the whole of it, by its own name.
MAGNITUDE, YARN_MAGNITUDE = "rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"
YARN_MIX = "rope.scaling.yarn_ext_factor"
YARN_TURNS = ("beta_fast", "beta_slow")
DEFAULT_THETA = 10000.0


def read_rope(
    read: Fields,
    arch: str,
    head_dim: int,
    *,
    style: str = "half",
    scaling: dict[str, Any] | None = None,
    base: str = BASE,
    theta: float = DEFAULT_THETA,
) -> ComponentConfig:
    """Read the rotary positions; `style` is the architecture's own.

    `scaling` stands for the file's where the family has read it itself. `base` is the key of the
    frequencies' base, `theta` that of a file without it.

    Raises: FileError naming the key, or the tensor of factors.
    """
    turned = read_turned(read, arch, head_dim)
    theta = read.number(f"{arch}.{base}", least=1, most=MOST_THETA, default=theta)
    options: dict[str, Any] = {
        "head_dim": head_dim,
        "theta": theta,
        "style": style,
        "scaling": _read_scaling(read, arch) if scaling is None else scaling,
    }
    if options["scaling"].get("type") == "yarn" and theta == 1:
        raise read.error(f"{arch}.{base}", "found 1; yarn takes more")
    if turned != head_dim:
        options["rotary_dim"] = turned
    if read.has_tensor(ROPE_FACTORS):
        options["factors"] = read_factors(read, ROPE_FACTORS, turned // 2)
    return ComponentConfig("position", "rope", options)


def read_turned(read: Fields, arch: str, head_dim: int) -> int:
    """Read how many columns of each head turn.

    Raises: FileError naming the key.
    """
    key = f"{arch}.rope.dimension_count"
    turned: int = read.whole(key, least=2, most=head_dim, default=head_dim)
    if turned % 2:
        raise read.error(key, f"found {turned}; rope turns pairs, so it must be even")
    return turned


def read_factors(read: Fields, tensor: str, pairs: int) -> list[float]:
    """Read a tensor of divisors, one for each pair of columns that turns.

    Raises: FileError naming the tensor.
    """
    return list(read.tensor_numbers(tensor, pairs, least=LEAST_FACTOR, most=MOST_FACTOR))


def _read_scaling(read: Fields, arch: str) -> dict[str, Any]:
    older = f"{arch}.rope.scale_linear"
    factor = f"{arch}.{FACTOR}"
    if read.has(older) and not read.has(factor):
        factor = older
    # A factor without a type is linear: files of 2023 have one alone.
    otherwise = "linear" if read.has(factor) else "none"
    type = read.choice(f"{arch}.{TYPE}", ("none", "linear", "yarn"), otherwise)
    if type == "none":
        return {}
    value = read.number(factor, least=LEAST_FACTOR, most=MOST_FACTOR)
    if type == "yarn":
        return _read_yarn(read, arch, value)
    return {"type": "linear", "factor": value} if value != 1.0 else {}


def _read_yarn(read: Fields, arch: str, factor: float) -> dict[str, Any]:
    """Return yarn's parameters.

    llama.cpp does not look at the keys named yarn for these architectures; they are the numbers of
    the config.json that the file was made of, and hold here.
    """
    read.number(f"{arch}.{YARN_MIX}", least=1, most=1, default=1.0)
    context = read.whole(f"{arch}.context_length", most=MOST_CONTEXT)
    trained = read.whole(f"{arch}.{TRAINED_LENGTH}", most=MOST_CONTEXT, default=context)
    values: dict[str, Any] = {
        "type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": trained,
    }
    for turns in YARN_TURNS:
        key = f"{arch}.rope.scaling.yarn_{turns}"
        if read.has(key):
            values[turns] = read.number(key, least=LEAST_FACTOR, most=MOST_FACTOR)
    usual = SCALINGS["yarn"].optional
    fast, slow = (values.get(turns, usual[turns]) for turns in YARN_TURNS)
    if fast < slow:
        key = f"{arch}.rope.scaling.yarn_{YARN_TURNS[1]}"
        raise read.error(key, f"found {slow:g}, expected at most the {fast:g} of beta_fast")
    key, times = f"{arch}.{YARN_MAGNITUDE}", f"{arch}.{MAGNITUDE}"
    if read.has(key):
        values["attention_factor"] = read.number(key, least=LEAST_FACTOR, most=MOST_FACTOR)
    elif read.has(times):
        found = read.number(times, least=LEAST_FACTOR, most=MOST_FACTOR)
        values["attention_factor"] = found * yarn_magnitude(factor)
    return values


def yarn_magnitude(factor: float) -> float:
    """Return yarn's own factor on cos and sin.

    Source: Peng et al. 2023, eq. 22.
    """
    return 0.1 * math.log(factor) + 1 if factor > 1 else 1.0
