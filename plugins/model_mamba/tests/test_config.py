"""Configs from outside: what is read, and what is refused by key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from synapse_model_mamba import mamba, mamba2, original
from synapse_model_mamba.samples import MAMBA, MAMBA2, ORIGINAL, ORIGINAL2

from synapse_core.errors import FileError, Unavailable
from synapse_core.families import Fields, ModelConfig, choose_family
from synapse_core.loaders import Checkpoint
from synapse_core.plugins import default_host

FAMILIES = {"mamba": (mamba.FAMILY, MAMBA), "mamba2": (mamba2.FAMILY, MAMBA2)}


def read(name: str, changes: Mapping[str, Any]) -> ModelConfig:
    family, sample = FAMILIES[name]
    return family.config["hf"](Fields("config.json", {**sample["hf"], **changes}))


def read_gguf(name: str, changes: Mapping[str, Any]) -> ModelConfig:
    family, sample = FAMILIES[name]
    found = sample["gguf"]
    keys = {**found.metadata, **changes}
    return family.config["gguf"](Fields("x.gguf", keys, tensors=found.opened()))


def mixer(config: ModelConfig) -> dict[str, Any]:
    return config.layers[0].sublayers[0].mixer.options


def test_an_automatic_rank_is_a_sixteenth_rounded_up() -> None:
    assert mixer(read("mamba", {"time_step_rank": "auto", "hidden_size": 20}))["rank"] == 2


def test_a_published_config_is_read() -> None:
    config = read(
        "mamba",
        {
            "hidden_size": 768,
            "intermediate_size": 1536,
            "num_hidden_layers": 24,
            "state_size": 16,
            "time_step_rank": 48,
            "vocab_size": 50280,
            "residual_in_fp32": True,
            "rescale_prenorm_residual": False,
            "use_mambapy": False,
            "conv_kernel": 4,
            "use_bias": False,
        },
    )
    assert (config.width, config.vocabulary, len(config.layers)) == (768, 50280, 24)
    assert config.tied
    wanted = {"inner": 1536, "state": 16, "rank": 48, "taps": 4, "bias": False, "conv_bias": True}
    assert mixer(config) == wanted


@pytest.mark.parametrize("limit", [[0.0, float("inf")], [0.0, {"__float__": "Infinity"}]])
def test_a_step_without_a_limit_is_read_in_both_spellings(limit: list[Any]) -> None:
    found = mixer(read("mamba2", {"time_step_limit": limit}))
    assert (found["dt_least"], found["dt_most"]) == (0.0, pytest.approx(3.4e38, rel=1e-2))


REFUSED = (
    ("mamba", {"hidden_size": 0}, "hidden_size"),
    ("mamba", {"state_size": 1025}, "state_size"),
    ("mamba", {"conv_kernel": 1}, "conv_kernel"),
    ("mamba", {"conv_kernel": 17}, "conv_kernel"),
    ("mamba", {"time_step_rank": "half"}, "time_step_rank"),
    ("mamba", {"time_step_rank": 0}, "time_step_rank"),
    ("mamba", {"intermediate_size": 41}, "intermediate_size"),
    ("mamba", {"expand": 1e-3}, "expand"),
    ("mamba", {"expand": 1e300}, "expand"),
    ("mamba", {"hidden_act": "gelu"}, "hidden_act"),
    ("mamba", {"layer_norm_epsilon": -1.0}, "layer_norm_epsilon"),
    ("mamba", {"use_bias": 1}, "use_bias"),
    ("mamba", {"eos_token_id": 32}, "eos_token_id"),
    ("mamba", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
    ("mamba2", {"head_dim": 7}, "head_dim"),
    ("mamba2", {"num_heads": 10**9}, "num_heads"),
    ("mamba2", {"n_groups": 2}, "n_groups"),
    ("mamba2", {"n_groups": 6}, "n_groups"),
    ("mamba2", {"time_step_limit": [1.0, 0.5]}, "time_step_limit"),
    ("mamba2", {"time_step_limit": [-1.0, 0.5]}, "time_step_limit"),
    ("mamba2", {"time_step_limit": [0.0, float("nan")]}, "time_step_limit"),
    ("mamba2", {"time_step_limit": 3}, "time_step_limit"),
    ("mamba2", {"time_step_limit": [True, 3]}, "time_step_limit"),
)


@pytest.mark.parametrize(("name", "changes", "key"), REFUSED)
def test_a_bad_config_is_refused_by_key(name: str, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(FileError, match=rf"config\.json: {key}"):
        read(name, changes)


def read_original(name: str, changes: Mapping[str, Any], **layer: Any) -> ModelConfig:
    family, sample = {
        "mamba": (original.MAMBA, ORIGINAL),
        "mamba2": (original.MAMBA2, ORIGINAL2),
    }[name]
    values = {**sample["hf"], **changes}
    values["ssm_cfg"] = {**values["ssm_cfg"], **layer}
    return family.config["hf"](Fields("config.json", values))


def test_state_spaces_own_config_is_read_with_what_it_leaves_out() -> None:
    config = read_original("mamba", {"d_model": 768, "n_layer": 24, "vocab_size": 50277})
    assert (config.width, config.vocabulary, len(config.layers)) == (768, 50280, 24)
    assert config.tied
    wanted = {"inner": 1536, "state": 6, "rank": 48, "taps": 4, "bias": False, "conv_bias": True}
    assert mixer(config) == wanted


REFUSED_ORIGINAL = (
    ("mamba", {"rms_norm": False}, {}, "rms_norm"),
    ("mamba", {"attn_layer_idx": [3]}, {}, "attn_layer_idx"),
    ("mamba", {"d_intermediate": 64}, {}, "d_intermediate"),
    ("mamba", {"d_model": 1 << 21}, {}, "d_model"),
    ("mamba", {}, {"expand": 1 << 20}, "ssm_cfg.expand"),
    ("mamba", {}, {"dt_rank": "half"}, "ssm_cfg.dt_rank"),
    ("mamba2", {}, {"headdim": 7}, "ssm_cfg.headdim"),
    ("mamba2", {}, {"ngroups": 2}, "ssm_cfg.ngroups"),
)


@pytest.mark.parametrize(("name", "changes", "layer", "key"), REFUSED_ORIGINAL)
def test_a_bad_config_of_state_spaces_is_refused_by_key(
    name: str, changes: dict[str, Any], layer: dict[str, Any], key: str
) -> None:
    with pytest.raises(FileError, match=rf"config\.json: {key}"):
        read_original(name, changes, **layer)


REFUSED_GGUF = (
    ("mamba", {"mamba.ssm.dt_b_c_rms": True}, "mamba.ssm.dt_b_c_rms"),
    ("mamba", {"mamba.ssm.inner_size": 0}, "mamba.ssm.inner_size"),
    ("mamba", {"mamba.ssm.conv_kernel": 99}, "mamba.ssm.conv_kernel"),
    ("mamba", {"mamba.vocab_size": 31}, "mamba.vocab_size"),
    ("mamba", {"tokenizer.ggml.tokens": ["x"] * 33}, "tokenizer.ggml.tokens"),
    ("mamba2", {"mamba2.ssm.time_step_rank": 3}, "mamba2.ssm.time_step_rank"),
    ("mamba2", {"mamba2.ssm.group_count": 2}, "mamba2.ssm.group_count"),
)


@pytest.mark.parametrize(("name", "changes", "key"), REFUSED_GGUF)
def test_a_bad_key_of_a_gguf_file_is_refused(name: str, changes: dict[str, Any], key: str) -> None:
    with pytest.raises(FileError, match=rf"x\.gguf: {key}"):
        read_gguf(name, changes)


@pytest.mark.parametrize("architecture", [*mamba.FAMILY.refuses, *mamba2.FAMILY.refuses])
def test_what_only_looks_like_a_mamba_is_refused_as_what_it_is(
    architecture: str, tmp_path: Any
) -> None:
    gguf = architecture == "jamba"
    named = {"general.architecture": architecture, "architectures": [architecture]}
    checkpoint = Checkpoint(tmp_path, "gguf" if gguf else "hf", named, {}, tmp_path)
    with pytest.raises(Unavailable, match=r"architecture '.*' is a .*Mamba"):
        choose_family(checkpoint, default_host())


@pytest.mark.parametrize(("name", "width", "layers"), [("130m", 768, 24), ("370m", 1024, 48)])
def test_a_config_as_it_was_published_is_read(
    shared_data: Path, name: str, width: int, layers: int
) -> None:
    values = json.loads((shared_data / "configs" / f"mamba-{name}-hf.json").read_text())
    config = mamba.FAMILY.config["hf"](Fields("config.json", values))
    assert (config.width, len(config.layers), config.vocabulary) == (width, layers, 50280)
    sizes = {"inner": 2 * width, "state": 16, "rank": width // 16, "taps": 4}
    assert mixer(config) == {**sizes, "bias": False, "conv_bias": True}
