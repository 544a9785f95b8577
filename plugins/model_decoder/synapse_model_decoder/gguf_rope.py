"""Rotary positions as a GGUF file says them, the same for every decoder family.

Source: github.com/ggml-org/llama.cpp, `load_hparams` in src/llama-model.cpp.
"""

from __future__ import annotations

from typing import Any

from synapse_core.families import ComponentConfig, Fields
from synapse_model_decoder.hf_rope import LEAST_FACTOR, MOST_FACTOR, MOST_THETA

ROPE_FACTORS = "rope_freqs.weight"
BASE = "rope.freq_base"
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
    options: dict[str, Any] = {
        "head_dim": head_dim,
        "theta": read.number(f"{arch}.{base}", least=1, most=MOST_THETA, default=theta),
        "style": style,
        "scaling": _read_scaling(read, arch) if scaling is None else scaling,
    }
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
    named, older = f"{arch}.rope.scaling.type", f"{arch}.rope.scale_linear"
    factor = f"{arch}.rope.scaling.factor"
    if read.has(older) and not read.has(factor):
        factor = older
    # A factor without a type is linear: files of 2023 have one alone.
    type = read.choice(named, ("none", "linear"), "linear" if read.has(factor) else "none")
    if type == "none":
        return {}
    value = read.number(factor, least=LEAST_FACTOR, most=MOST_FACTOR)
    return {"type": "linear", "factor": value} if value != 1.0 else {}
