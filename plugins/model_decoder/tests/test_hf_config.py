"""Reading config.json: real ones, both spellings, and lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synapse_model_decoder import llama, qwen3

from synapse_core.errors import FileError
from synapse_core.families import Family, Fields, ModelConfig, build_graph
from synapse_core.plugins import default_host

BASE: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "max_position_embeddings": 128,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "vocab_size": 100,
    "bos_token_id": 1,
    "eos_token_id": [2, 3],
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}


def read(family: Family, **changes: Any) -> ModelConfig:
    """Read the base config with some keys changed."""
    return family.config["hf"](Fields("config.json", {**BASE, **changes}))


def rope_of(config: ModelConfig) -> dict[str, Any]:
    """Return the first layer's rope options."""
    options: dict[str, Any] = config.layers[0].sublayers[0].mixer.options["position"].options
    return options


def test_a_real_qwen3_config_gives_its_sizes(shared_data: Path) -> None:
    found = json.loads((shared_data / "configs" / "Qwen3-0.6B.json").read_text())
    config = qwen3.FAMILY.config["hf"](Fields("Qwen3-0.6B.json", found))
    assert (config.width, config.vocabulary, config.context) == (1024, 151936, 40960)
    assert (len(config.layers), config.tied) == (28, True)
    assert (config.bos, config.eos) == ((151643,), (151645,))
    graph = build_graph(qwen3.FAMILY, config, default_host())
    numbers = {weight.name: weight.rows * weight.cols for weight in graph.weights.values()}
    del numbers["rope.inv_freq"]
    # The published count of parameters (0.6B), the tied head counted once.
    assert sum(numbers.values()) == 596_049_920


def test_a_real_llama_config_gives_its_sizes_and_scaling(shared_data: Path) -> None:
    found = json.loads((shared_data / "configs" / "Llama-3.2-1B.json").read_text())
    config = llama.FAMILY.config["hf"](Fields("Llama-3.2-1B.json", found))
    assert rope_of(config)["scaling"]["type"] == "llama3"
    assert rope_of(config)["theta"] == 500000.0
    graph = build_graph(llama.FAMILY, config, default_host())
    numbers = {weight.name: weight.rows * weight.cols for weight in graph.weights.values()}
    del numbers["rope.inv_freq"]
    # As published in the model card: 1.23B.
    assert sum(numbers.values()) == 1_235_814_400


@pytest.mark.parametrize("family", [llama.FAMILY, qwen3.FAMILY], ids=lambda family: family.name)
def test_a_config_survives_json(family: Family) -> None:
    config = read(family, rope_theta=500.0, rope_scaling=LLAMA3)
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    "scaling", [{"rope_type": "default"}, {"type": "linear", "factor": 2}, LLAMA3]
)
def test_both_spellings_give_the_same_model(scaling: dict[str, Any]) -> None:
    old = read(llama.FAMILY, rope_theta=5e5, rope_scaling=scaling)
    new = read(llama.FAMILY, rope_parameters={**scaling, "rope_theta": 5e5})
    assert old == new


def test_the_stories_model_reads_the_same_in_both_spellings(shared_data: Path) -> None:
    folder = shared_data / "stories260K" / "hf"
    old, new = (
        llama.from_hf(Fields(name, json.loads((folder / name).read_text())))
        for name in ("config.legacy.json", "config.json")
    )
    assert old == new


def test_what_old_files_leave_out_has_the_meaning_it_had() -> None:
    absent = {"num_key_value_heads": None, "head_dim": None}
    options = read(llama.FAMILY, **absent).layers[0].sublayers[0].mixer.options
    assert (options["kv_heads"], options["head_dim"], options["biases"]) == (8, 8, "")
    assert rope_of(read(llama.FAMILY))["theta"] == 10000.0
    assert not read(llama.FAMILY).tied


def test_layers_with_a_window_are_sliding() -> None:
    given = {"use_sliding_window": True, "sliding_window": 12, "max_window_layers": 1}
    layers = read(qwen3.FAMILY, **given).layers
    names = [layer.sublayers[0].mixer.name for layer in layers]
    assert names == ["gqa", "sliding_window", "sliding_window"]
    types = ["sliding_attention", "full_attention", "sliding_attention"]
    layers = read(qwen3.FAMILY, **given, layer_types=types).layers
    names = [layer.sublayers[0].mixer.name for layer in layers]
    assert names == ["sliding_window", "gqa", "sliding_window"]
    layers = read(qwen3.FAMILY, sliding_window=12, max_window_layers=1).layers
    assert {layer.sublayers[0].mixer.name for layer in layers} == {"gqa"}


LIES: list[tuple[str, Any]] = [
    *(("num_hidden_layers", value) for value in (10**9, 0, -1, "1", 1.5, True, None, [], 10**5000)),
    *(("num_attention_heads", value) for value in (0, -8, "8", 10**9)),
    *(("num_key_value_heads", value) for value in (8000, 3, 0, "4", True)),
    *(("hidden_size", value) for value in (2**40, 0, -64, 64.0, None)),
    *(("intermediate_size", value) for value in (2**40, 0, None)),
    *(("vocab_size", value) for value in (-4, 10**12, 0)),
    *(("rms_norm_eps", value) for value in (None, "1e-5", -1e-5, True, float("nan"), 2)),
    *(("max_position_embeddings", value) for value in (10**12, 0, None)),
    *(("eos_token_id", value) for value in ("2", 100, -1, [2, "3"], [2, 100], True, 2.0)),
    *(("bos_token_id", value) for value in ("1", 100)),
    *(("head_dim", value) for value in (0, 7, -2, 2**40, "8", False)),
    *(("hidden_act", value) for value in ("mish", None, 3, ["silu"])),
    *(("tie_word_embeddings", value) for value in ("true", 1, None)),
    *(("attention_bias", value) for value in ("false", 0, None)),
    *(("rope_theta", value) for value in (0, -1, "10000", float("inf"), 10**400)),
    ("rope_scaling", 3),
    ("rope_scaling", {"type": "elastic"}),
    ("rope_scaling", {"type": "linear"}),
    ("rope_scaling", {"type": "linear", "factor": 0}),
    ("rope_scaling", {"type": "linear", "factor": "2"}),
    ("rope_scaling", {"type": "linear", "factor": 2, "attention_factor": 1}),
    ("rope_scaling", {**LLAMA3, "factor": None}),
    ("rope_scaling", {**LLAMA3, "low_freq_factor": 4.0}),
    ("rope_parameters", {"full_attention": {"rope_type": "default"}}),
    ("rope_parameters", []),
    ("quantization_config", {"bits": 99}),
]


@pytest.mark.parametrize("family", [llama.FAMILY, qwen3.FAMILY], ids=lambda family: family.name)
@pytest.mark.parametrize("lie", LIES, ids=lambda lie: f"{lie[0]}={type(lie[1]).__name__!s}")
def test_a_lie_is_refused_and_its_key_named(family: Family, lie: tuple[str, Any]) -> None:
    key, value = lie
    with pytest.raises(FileError) as caught:
        read(family, **{key: value})
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(f"config.json: {key}")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("key", ["hidden_size", "rms_norm_eps", "vocab_size", "hidden_act"])
def test_a_size_that_the_file_does_not_say_is_not_assumed(key: str) -> None:
    values = {name: value for name, value in BASE.items() if name != key}
    with pytest.raises(FileError, match=f"{key}: is missing"):
        llama.from_hf(Fields("config.json", values))


@pytest.mark.parametrize(
    "types", ["full_attention", ["full_attention"], ["full_attention"] * 2 + ["other"], [1, 2, 3]]
)
def test_layer_types_must_name_every_layer(types: Any) -> None:
    with pytest.raises(FileError, match="layer_types: must name"):
        read(qwen3.FAMILY, layer_types=types)


def test_sliding_layers_without_a_window_are_refused() -> None:
    with pytest.raises(FileError, match="layer_types: names sliding_attention"):
        read(qwen3.FAMILY, layer_types=["sliding_attention"] * 3)


def test_two_thetas_that_differ_are_refused() -> None:
    with pytest.raises(FileError, match=r"rope_parameters\.rope_theta"):
        read(llama.FAMILY, rope_theta=1e4, rope_parameters={"rope_theta": 5e5})


def test_heads_that_kv_heads_do_not_divide_are_refused() -> None:
    with pytest.raises(
        FileError, match="num_key_value_heads: found 4, expected a divisor of the 5"
    ):
        read(llama.FAMILY, num_attention_heads=5)
