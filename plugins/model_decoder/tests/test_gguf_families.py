"""Qwen2, Mistral, Phi-3 and Gemma from GGUF: twins of safetensors checkpoints, and faults."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_decoder import gemma, gemma2, gemma3, llama, phi3, qwen2

from synapse_core.api import load, requantize
from synapse_core.errors import FileError, Unavailable, WeightError
from synapse_core.families import Family, ModelConfig, model_config
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host

from .gguf_twins import Numbers, Twins

# Of the standard deviation of the logits (DESIGN.md, "Agreement between places").
TOLERANCE = 2e-4
IDS = [1, 9, 3, 7, 7, 2, 15, 0, 4, 11, 6, 5, 30, 21, 8, 17, 16, 29, 12, 3]
LONG = 20
FAMILIES = {
    found.name: found
    for found in (
        llama.FAMILY,
        qwen2.FAMILY,
        phi3.FAMILY,
        gemma.FAMILY,
        gemma2.FAMILY,
        gemma3.FAMILY,
    )
}
LINEAR = {"rope_type": "linear", "factor": 4.0}
# Of the four pairs of 8 columns, base 500, the usual turns mix the third, these none.
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024}
OWN_YARN = {"beta_fast": 6.0, "beta_slow": 3.0, "attention_factor": 1.2}
LONGROPE = {
    "rope_scaling": {
        "type": "longrope",
        "short_factor": [1.05, 1.2, 1.5, 2.0],
        "long_factor": [1.4, 2.5, 5.0, 7.0],
    }
}
CASES: dict[str, Twins] = {
    "mistral": Twins(family="mistral"),
    "mistral linear": Twins(family="mistral", config={"rope_scaling": LINEAR}),
    "qwen2": Twins(family="qwen2"),
    "qwen2 tied": Twins(family="qwen2", config={"tie_word_embeddings": True}),
    "phi3": Twins(family="phi3"),
    "phi3 without a window": Twins(family="phi3", config={"sliding_window": None}),
    "phi3 tied": Twins(family="phi3", config={"tie_word_embeddings": True}),
    "phi3 partial rotary": Twins(family="phi3", config={"partial_rotary_factor": 0.5}),
    "phi3 longrope": Twins(family="phi3", config=LONGROPE),
    "gemma": Twins(family="gemma"),
    "gemma one kv head": Twins(family="gemma", config={"num_key_value_heads": 1, "head_dim": 12}),
    "gemma2": Twins(family="gemma2"),
    "gemma2 linear": Twins(family="gemma2", config={"rope_scaling": LINEAR}),
    "gemma3": Twins(family="gemma3"),
    "gemma3 linear": Twins(family="gemma3", config={"rope_scaling": LINEAR}),
    "mistral yarn": Twins(family="mistral", config={"rope_scaling": YARN}),
    "qwen2 yarn": Twins(family="qwen2", config={"rope_scaling": {**YARN, **OWN_YARN}}),
    "gemma3 yarn": Twins(family="gemma3", config={"rope_scaling": {**YARN, **OWN_YARN}}),
    "gemma3 cap": Twins(family="gemma3", config={"final_logit_softcapping": 4.0}),
}
FUSED: dict[str, Twins] = {
    f"{name} fused": Twins(family=name, fuses_qkv=True)
    for name in ("mistral", "qwen2", "gemma", "gemma2", "gemma3")
}


def logits(path: Path, backend: str = "numpy", context: int = LONG) -> np.ndarray:
    """Run the text, its first `context` tokens; skip where the backend is not installed."""
    if backend not in default_host().names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")
    with load(path, backend=backend, kv="f32", arith="f32", context=context) as model:
        return model.logits(IDS[:context])


# 16 positions are within longrope's trained length, 20 are past it.
@pytest.mark.parametrize("context", [16, LONG])
@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("name", [*CASES, *FUSED])
def test_a_gguf_file_and_its_safetensors_twin_have_the_same_logits(
    tmp_path: Path, name: str, backend: str, context: int
) -> None:
    twins = (CASES | FUSED)[name]
    expected = logits(twins.hf(tmp_path / "m"), "numpy", context)
    assert 0.3 < expected.std() < 20
    error = np.abs(logits(twins.gguf(tmp_path / "m.gguf"), backend, context) - expected).max()
    assert error <= TOLERANCE * expected.std()


def swapped(numbers: Numbers) -> Numbers:
    """Put up before gate."""
    return {
        name: np.concatenate(np.split(values, 2)[::-1]) if "gate_up" in name else values
        for name, values in numbers.items()
    }


def key(name: str, *entry: Any) -> dict[str, Any]:
    """Return a change of one key; without an entry it is dropped."""
    return {"keys": {name: entry or None}}


WIDER, NARROWER = (key("attention.sliding_window", "uint32", window) for window in (6, 4))
NO_WINDOW = key("attention.sliding_window", "uint32", 0)
UNSCALED = key("rope.scaling.type", "string", "none")
EPSILON = key("attention.layer_norm_rms_epsilon", "float32", 1e-4)
FILE_FAULTS: dict[str, tuple[str, dict[str, Any]]] = {
    "one is missing from the norms, gemma": ("gemma", {"bakes_one": False}),
    "one is missing from the norms, gemma2": ("gemma2", {"bakes_one": False}),
    "one is missing from the norms, gemma3": ("gemma3", {"bakes_one": False}),
    "gate and up swapped": ("phi3", {"change": swapped}),
    "window + 1, phi3": ("phi3", WIDER),
    "window - 1, phi3": ("phi3", NARROWER),
    "no window, phi3": ("phi3", NO_WINDOW),
    "window + 1, gemma2": ("gemma2", WIDER),
    "window - 1, gemma2": ("gemma2", NARROWER),
    "window + 1, gemma3": ("gemma3", WIDER),
    "no window, gemma3": ("gemma3", NO_WINDOW),
    "another period, gemma2": ("gemma2", key("attention.sliding_window_pattern", "uint32", 3)),
    "another period, gemma3": ("gemma3", key("attention.sliding_window_pattern", "uint32", 3)),
    "the default base in sliding layers": ("gemma3", key("rope.freq_base_swa")),
    "the default base in full layers": ("gemma3", key("rope.freq_base")),
    "no scaling, mistral": ("mistral linear", UNSCALED),
    "no scaling, gemma2": ("gemma2 linear", UNSCALED),
    "no scaling, gemma3": ("gemma3 linear", UNSCALED),
    "no scaling, yarn": ("mistral yarn", UNSCALED),
    "linear for yarn": ("mistral yarn", key("rope.scaling.type", "string", "linear")),
    "another trained length": (
        "mistral yarn",
        key("rope.scaling.original_context_length", "uint32", 64),
    ),
    "the usual fast turns": ("qwen2 yarn", key("rope.scaling.yarn_beta_fast")),
    "the usual slow turns": ("qwen2 yarn", key("rope.scaling.yarn_beta_slow")),
    "the usual magnitude": ("qwen2 yarn", key("rope.scaling.yarn_attn_factor")),
    "no magnitude": ("phi3 longrope", key("rope.scaling.attn_factor", "float32", 1.0)),
    "short factors beyond the boundary": (
        "phi3 longrope",
        key("rope.scaling.original_context_length", "uint32", LONG),
    ),
    "all columns turn": ("phi3 partial rotary", key("rope.dimension_count", "uint32", 8)),
    "another cap on attention": ("gemma2", key("attn_logit_softcapping", "float32", 50.0)),
    "another cap on the logits": ("gemma2", key("final_logit_softcapping", "float32", 30.0)),
    "no cap on the logits, gemma3": ("gemma3 cap", key("final_logit_softcapping")),
    "epsilon, qwen2": ("qwen2", EPSILON),
    "epsilon, phi3": ("phi3", EPSILON),
    "epsilon, gemma": ("gemma", EPSILON),
    "epsilon, gemma2": ("gemma2", EPSILON),
    "epsilon, gemma3": ("gemma3", EPSILON),
}


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_a_fault_in_the_file_shows_in_the_logits(tmp_path: Path, fault: str) -> None:
    name, change = FILE_FAULTS[fault]
    twins = CASES[name]
    expected = logits(twins.gguf(tmp_path / "m.gguf"))
    found = logits(attrs.evolve(twins, **change).gguf(tmp_path / "faulty.gguf"))
    assert np.abs(found - expected).max() > 2 * TOLERANCE * expected.std()


Fault = Callable[[ModelConfig], ModelConfig]


def in_attention(option: str, value: Any) -> Fault:
    """Return a fault in an option of every attention."""

    def plant(config: ModelConfig) -> ModelConfig:
        for layer in config.layers:
            layer.sublayers[0].mixer.options[option] = value
        return config

    return plant


def interleaved(config: ModelConfig) -> ModelConfig:
    """Turn neighbours instead of halves, or the other way round."""
    for layer in config.layers:
        options = layer.sublayers[0].mixer.options["position"].options
        options["style"] = "interleaved"
    return config


def halves(config: ModelConfig) -> ModelConfig:
    """Turn halves, as in safetensors."""
    for layer in config.layers:
        layer.sublayers[0].mixer.options["position"].options["style"] = "half"
    return config


def exact_gelu(config: ModelConfig) -> ModelConfig:
    """Take the exact GELU."""
    for layer in config.layers:
        layer.sublayers[1].mixer.options["activation"] = "gelu"
    return config


def one_plus(config: ModelConfig) -> ModelConfig:
    """Add the one again."""
    config.norm.options["one_plus"] = True
    return config


def scaled_embedding(scale: float, config: ModelConfig) -> ModelConfig:
    """Scale the embedding by something else."""
    return attrs.evolve(config, embedding_scale=scale)


READER_FAULTS: dict[str, tuple[str, Fault]] = {
    "rope style, mistral": ("mistral", halves),
    **{f"rope style, {name}": (name, interleaved) for name in FAMILIES if name != "llama"},
    **{f"exact gelu, {name}": (name, exact_gelu) for name in ("gemma", "gemma2", "gemma3")},
    **{f"one is added twice, {name}": (name, one_plus) for name in ("gemma", "gemma2", "gemma3")},
    **{
        f"unscaled embedding, {name}": (name, partial(scaled_embedding, 1.0))
        for name in ("gemma", "gemma2", "gemma3")
    },
    "a scale by the width, gemma2": ("gemma2", in_attention("scale", 6**-0.5)),
    "a scale by the width, gemma3": ("gemma3", in_attention("scale", 6**-0.5)),
    "no cap on attention": ("gemma2", in_attention("softcap", 0.0)),
}


@pytest.mark.parametrize("fault", READER_FAULTS)
def test_a_fault_in_a_reader_shows_in_the_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    name, plant = READER_FAULTS[fault]
    path = CASES[name].gguf(tmp_path / "m.gguf")
    expected = logits(path)
    family = FAMILIES[CASES[name].arch]
    read = family.config["gguf"]
    monkeypatch.setitem(family.config, "gguf", lambda fields: plant(read(fields)))
    assert np.abs(logits(path) - expected).max() > 2 * TOLERANCE * expected.std()


def config_of(path: Path, family: Family) -> ModelConfig:
    return model_config(family, GGUF.open(path))


def windows_of(config: ModelConfig) -> list[int]:
    """Return each layer's window, 0 for none."""
    return [layer.sublayers[0].mixer.options.get("window", 0) for layer in config.layers]


PATTERNS: dict[str, tuple[str, tuple[str, Any] | None, list[int]]] = {
    "gemma2's own": ("gemma2", None, [5, 0, 5]),
    "gemma3's own": ("gemma3", None, [5, 5, 5, 5, 5, 0, 5]),
    "a period": ("gemma2", ("uint32", 3), [5, 5, 0]),
    "a period of one": ("gemma2", ("uint32", 1), [0, 0, 0]),
    "no period": ("gemma2", ("uint32", 0), [5, 5, 5]),
    "layer by layer": ("gemma2", ("array", [False, True, True]), [0, 5, 5]),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_windows_stand_where_llama_cpp_puts_them(tmp_path: Path, name: str) -> None:
    family, entry, expected = PATTERNS[name]
    keys = {"attention.sliding_window_pattern": entry} if entry else {}
    path = Twins(family=family, keys=keys).gguf(tmp_path / "m.gguf")
    assert windows_of(config_of(path, FAMILIES[family])) == expected


# Gemma 2 27B and Gemma 3 27B, and their neighbours: 46 / 4 is 11 in llama.cpp's whole numbers.
SCALES = [("gemma2", 45, 8), ("gemma2", 46, 11), ("gemma3", 46, 8), ("gemma3", 62, 11)]


@pytest.mark.parametrize(("family", "layers", "scalar"), SCALES)
def test_q_is_scaled_by_the_width_per_head_in_27b_alone(
    tmp_path: Path, family: str, layers: int, scalar: int
) -> None:
    config = {"num_hidden_layers": layers, "hidden_size": 46, "intermediate_size": 8}
    path = Twins(family=family, config=config).gguf(tmp_path / "m.gguf")
    found = config_of(path, FAMILIES[family])
    scales = {layer.sublayers[0].mixer.options["scale"] for layer in found.layers}
    assert scales == {scalar**-0.5}


def test_a_27b_and_its_safetensors_twin_have_the_same_logits(tmp_path: Path) -> None:
    config = {"num_hidden_layers": 46, "hidden_size": 48, "query_pre_attn_scalar": 12}
    twins = Twins(family="gemma2", config=config)
    expected = logits(twins.hf(tmp_path / "m"))
    path = twins.gguf(tmp_path / "m.gguf")
    assert np.abs(logits(path) - expected).max() <= TOLERANCE * expected.std()
    other = Twins(family="gemma2", config={**config, "query_pre_attn_scalar": 8})
    assert np.abs(logits(other.hf(tmp_path / "o")) - expected).max() > 0.01 * expected.std()


def test_only_full_layers_of_gemma3_are_stretched(tmp_path: Path) -> None:
    path = CASES["gemma3 linear"].gguf(tmp_path / "m.gguf")
    config = config_of(path, gemma3.FAMILY)
    ropes = [layer.sublayers[0].mixer.options["position"].options for layer in config.layers]
    assert [rope["scaling"] for rope in ropes[4:]] == [{}, {"type": "linear", "factor": 4.0}, {}]
    assert [rope["theta"] for rope in ropes[4:]] == [100.0, 50000.0, 100.0]


FLOAT, WHOLE = "float32", "uint32"
REFUSED: dict[str, tuple[str, str, tuple[str, Any] | None]] = {
    "no window, phi3": ("phi3", "attention.sliding_window", None),
    "no window, gemma2": ("gemma2", "attention.sliding_window", None),
    "no cap, gemma2": ("gemma2", "attn_logit_softcapping", None),
    "no cap of the logits, gemma2": ("gemma2", "final_logit_softcapping", None),
    "zero cap": ("gemma2", "attn_logit_softcapping", (FLOAT, 0.0)),
    "nan cap": ("gemma2", "final_logit_softcapping", (FLOAT, float("nan"))),
    "a cap on attention, gemma3": ("gemma3", "attn_logit_softcapping", (FLOAT, 50.0)),
    "a cap on attention, gemma": ("gemma", "attn_logit_softcapping", (FLOAT, 50.0)),
    "a cap on the logits, qwen2": ("qwen2", "final_logit_softcapping", (FLOAT, 30.0)),
    "a window, qwen2": ("qwen2", "attention.sliding_window", (WHOLE, 8)),
    "a window, gemma": ("gemma", "attention.sliding_window", (WHOLE, 8)),
    "a scale, gemma2": ("gemma2", "attention.scale", (FLOAT, 0.5)),
    "other heads in sliding layers": ("gemma3", "attention.key_length_swa", (WHOLE, 4)),
    "other values in sliding layers": ("gemma3", "attention.value_length_swa", (WHOLE, 4)),
    "fewer columns in sliding layers": ("gemma3", "rope.dimension_count_swa", (WHOLE, 4)),
    "zero base": ("gemma3", "rope.freq_base_swa", (FLOAT, 0.0)),
    "a long pattern": (
        "gemma2",
        "attention.sliding_window_pattern",
        ("array", [True, True, False, True]),
    ),
    "numbers for a pattern": ("gemma2", "attention.sliding_window_pattern", ("array", [1, 0, 1])),
    "a text for a pattern": ("gemma2", "attention.sliding_window_pattern", ("string", "2")),
    "a magnitude, qwen2": ("qwen2", "rope.scaling.attn_factor", (FLOAT, 1.2)),
    "linear phi3": ("phi3", "rope.scaling.type", ("string", "linear")),
    "a factor, phi3": ("phi3", "rope.scaling.factor", (FLOAT, 4.0)),
    "an older factor, phi3": ("phi3", "rope.scale_linear", (FLOAT, 4.0)),
    "a factor beside longrope": ("phi3 longrope", "rope.scaling.factor", (FLOAT, 4.0)),
    "a magnitude alone": ("phi3", "rope.scaling.attn_factor", (FLOAT, 1.2)),
    "no magnitude": ("phi3 longrope", "rope.scaling.attn_factor", None),
    "zero magnitude": ("phi3 longrope", "rope.scaling.attn_factor", (FLOAT, 0.0)),
    "no trained length": ("phi3 longrope", "rope.scaling.original_context_length", None),
    "yarn without a factor": ("qwen2 yarn", "rope.scaling.factor", None),
    "half of yarn": ("qwen2 yarn", "rope.scaling.yarn_ext_factor", (FLOAT, 0.5)),
    "slow turns above fast ones": ("qwen2 yarn", "rope.scaling.yarn_beta_slow", (FLOAT, 7.0)),
    "no turns": ("qwen2 yarn", "rope.scaling.yarn_beta_fast", (FLOAT, 0.0)),
    "no trained length, yarn": (
        "qwen2 yarn",
        "rope.scaling.original_context_length",
        (WHOLE, 0),
    ),
    "a base of one, yarn": ("qwen2 yarn", "rope.freq_base", (FLOAT, 1.0)),
    "yarn, phi3": ("phi3", "rope.scaling.type", ("string", "yarn")),
    "experts, phi3": ("phi3", "expert_count", (WHOLE, 8)),
    "another layer that predicts": ("qwen2", "nextn_predict_layers", (WHOLE, 1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_change_the_model_is_refused_by_the_keys_name(tmp_path: Path, name: str) -> None:
    case, field, entry = REFUSED[name]
    twins = attrs.evolve(CASES[case], keys={field: entry})
    path = twins.gguf(tmp_path / "m.gguf")
    with pytest.raises(FileError, match=rf"m\.gguf: {twins.arch}\.{field}: "):
        config_of(path, FAMILIES[twins.arch])


def test_a_factor_without_a_type_is_linear_and_none_scales_nothing(tmp_path: Path) -> None:
    linear = CASES["mistral linear"]
    ropes = []
    for number, change in enumerate((key("rope.scaling.type"), UNSCALED)):
        path = attrs.evolve(linear, **change).gguf(tmp_path / f"{number}.gguf")
        config = config_of(path, llama.FAMILY)
        ropes.append(config.layers[0].sublayers[0].mixer.options["position"].options["scaling"])
    assert ropes == [{"type": "linear", "factor": 4.0}, {}]


@pytest.mark.parametrize("kind", ["long", "short"])
def test_a_missing_list_of_divisors_is_named(tmp_path: Path, kind: str) -> None:
    tensor = f"rope_factors_{kind}.weight"
    twins = attrs.evolve(CASES["phi3 longrope"], tensors={tensor: None})
    with pytest.raises(FileError, match=rf"tensor 'rope_factors_{kind}\.weight': is missing"):
        config_of(twins.gguf(tmp_path / "m.gguf"), phi3.FAMILY)


def test_a_list_of_divisors_of_another_length_is_refused(tmp_path: Path) -> None:
    tensors = {"rope_factors_long.weight": np.ones(3, np.float32)}
    twins = attrs.evolve(CASES["phi3 longrope"], tensors=tensors)
    with pytest.raises(FileError, match=r"'rope_factors_long\.weight' at byte \d+: is \(3,\)"):
        config_of(twins.gguf(tmp_path / "m.gguf"), phi3.FAMILY)


@pytest.mark.parametrize("name", FUSED)
def test_a_file_with_a_fused_matrix_is_requantised(tmp_path: Path, name: str) -> None:
    path, other = FUSED[name].gguf(tmp_path / "m.gguf"), tmp_path / "other.gguf"
    requantize(path, other, default_host(), format="bf16")
    assert GGUF.open(other).tensors["blk.0.attn_qkv.weight"].format == "bf16"
    with load(path, backend="numpy", kv="f32", arith="f32", context=LONG, format="bf16") as model:
        np.testing.assert_array_equal(logits(other), model.logits(IDS))


@pytest.mark.parametrize("family", ["mistral", "qwen2", "gemma3"])
def test_q_k_and_v_both_fused_and_alone_is_refused(tmp_path: Path, family: str) -> None:
    alone = np.ones((32, 24), np.float32)
    twins = Twins(family=family, fuses_qkv=True, tensors={"blk.1.attn_q.weight": alone})
    with pytest.raises(WeightError, match=r"blk\.1\.attn_q\.weight'.*blk\.1\.attn_qkv"):
        load(twins.gguf(tmp_path / "m.gguf"), backend="numpy")


@pytest.mark.parametrize(("said", "context"), [(1024, 4096), (2048, 2048), (64, 64)])
def test_a_context_before_stretching_reaches_as_far_as_yarn_stretches(
    tmp_path: Path, said: int, context: int
) -> None:
    twins = attrs.evolve(CASES["mistral yarn"], **key("context_length", "uint32", said))
    assert config_of(twins.gguf(tmp_path / "m.gguf"), llama.FAMILY).context == context


def test_a_fused_matrix_of_other_rows_is_refused(tmp_path: Path) -> None:
    tensors = {"blk.1.attn_qkv.weight": np.ones((60, 32), np.float32)}
    path = attrs.evolve(CASES["phi3"], tensors=tensors).gguf(tmp_path / "m.gguf")
    with pytest.raises(WeightError, match=r"blk\.1\.attn_qkv\.weight"):
        load(path, backend="numpy")


def test_a_gemma_with_a_head_of_its_own_uses_it(tmp_path: Path) -> None:
    head = np.random.default_rng(1).standard_normal((32, 24)).astype(np.float32)
    own = attrs.evolve(CASES["gemma3"], tensors={"output.weight": head})
    path = own.gguf(tmp_path / "m.gguf")
    assert config_of(path, gemma3.FAMILY).tied is False
    assert np.abs(logits(path) - logits(CASES["gemma3"].gguf(tmp_path / "t.gguf"))).max() > 0.1


@pytest.mark.parametrize("arch", ["qwen2moe", "qwen3moe", "phimoe"])
def test_a_mixture_of_experts_is_refused_by_name(tmp_path: Path, arch: str) -> None:
    import gguf as package

    writer = package.GGUFWriter(tmp_path / "x.gguf", arch)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(Unavailable, match=f"'{arch}' is a mixture of experts"):
        load(tmp_path / "x.gguf", backend="numpy")
