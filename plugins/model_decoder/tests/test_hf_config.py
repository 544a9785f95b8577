"""Reading config.json: real ones, both spellings, and lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from synapse_model_decoder import gemma, gemma2, gemma3, llama, mistral, phi3, qwen2, qwen3

from synapse_core.errors import FileError, Unavailable
from synapse_core.families import Family, Fields, ModelConfig, build_graph, choose_family
from synapse_core.loaders import Checkpoint
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


FAMILIES = [module.FAMILY for module in (llama, mistral, qwen2, qwen3, phi3, gemma, gemma2, gemma3)]
GEMMA = {"hidden_act": "gelu_pytorch_tanh", "head_dim": 8}
GEMMA3 = {**GEMMA, "query_pre_attn_scalar": 16, "sliding_window": 12}
OF_FAMILY: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 12},
    "gemma": GEMMA,
    "gemma2": {**GEMMA3, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0},
    "gemma3": GEMMA3,
}
LONGROPE = {"type": "longrope", "short_factor": [1.0, 1.5, 2.0], "long_factor": [2, 3, 4]}
PARTIAL = {"partial_rotary_factor": 0.75, "original_max_position_embeddings": 32}
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def read(family: Family, **changes: Any) -> ModelConfig:
    """Read the family's base config with some keys changed."""
    values = {**BASE, **OF_FAMILY.get(family.name, {}), **changes}
    return family.config["hf"](Fields("config.json", values))


def rope_of(config: ModelConfig, layer: int = 0) -> dict[str, Any]:
    """Return a layer's rope options."""
    options: dict[str, Any] = config.layers[layer].sublayers[0].mixer.options["position"].options
    return options


def parameters_of(family: Family, config: ModelConfig) -> int:
    """Return how many numbers a model of this config has; a tied head counts once."""
    weights = build_graph(family, config, default_host()).weights.values()
    return sum(weight.rows * weight.cols for weight in weights if weight.source is None)


@pytest.mark.parametrize(
    ("family", "name", "sizes", "parameters"),
    [
        (llama, "Llama-3.2-1B", (2048, 128256, 131072, 16, True), 1_235_814_400),
        (mistral, "Mistral-7B-v0.1", (4096, 32000, 32768, 32, False), 7_241_732_096),
        (phi3, "Phi-3-mini-4k-instruct", (3072, 32064, 4096, 32, False), 3_821_079_552),
        (qwen3, "Qwen3-0.6B", (1024, 151936, 40960, 28, True), 596_049_920),
        (gemma, "gemma-2b", (2048, 256000, 8192, 18, True), 2_506_172_416),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_real_config_gives_its_sizes_and_the_published_count_of_parameters(
    shared_data: Path, family: Any, name: str, sizes: tuple[Any, ...], parameters: int
) -> None:
    found = json.loads((shared_data / "configs" / f"{name}.json").read_text())
    config = family.FAMILY.config["hf"](Fields(f"{name}.json", found))
    read_sizes = (config.width, config.vocabulary, config.context, len(config.layers), config.tied)
    assert read_sizes == sizes
    assert parameters_of(family.FAMILY, config) == parameters


# As the model cards and the tensors of the published files say.
PUBLISHED: dict[str, tuple[Family, dict[str, Any], int]] = {
    "Qwen2.5-0.5B": (
        qwen2.FAMILY,
        {
            "hidden_size": 896,
            "intermediate_size": 4864,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "num_key_value_heads": 2,
            "vocab_size": 151936,
            "tie_word_embeddings": True,
            "sliding_window": 32768,
            "use_sliding_window": False,
        },
        494_032_768,
    ),
    "Phi-4-mini": (
        phi3.FAMILY,
        {
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 32,
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "vocab_size": 200064,
            "tie_word_embeddings": True,
            "sliding_window": 262144,
            "partial_rotary_factor": 0.75,
            "max_position_embeddings": 131072,
            "original_max_position_embeddings": 4096,
            "rope_scaling": {
                "type": "longrope",
                "short_factor": [1.0] * 48,
                "long_factor": [2.0] * 48,
            },
        },
        3_836_021_760,
    ),
    "gemma-2-2b": (
        gemma2.FAMILY,
        {
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "vocab_size": 256000,
        },
        2_614_341_888,
    ),
    "gemma-3-1b": (
        gemma3.FAMILY,
        {
            "hidden_size": 1152,
            "intermediate_size": 6912,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
            "vocab_size": 262144,
        },
        999_885_952,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_give_the_published_count_of_parameters(name: str) -> None:
    family, values, parameters = PUBLISHED[name]
    config = read(family, **{"head_dim": None, **values})
    assert parameters_of(family, config) == parameters


def test_a_real_llama_config_is_stretched(shared_data: Path) -> None:
    found = json.loads((shared_data / "configs" / "Llama-3.2-1B.json").read_text())
    config = llama.FAMILY.config["hf"](Fields("Llama-3.2-1B.json", found))
    assert rope_of(config)["scaling"]["type"] == "llama3"
    assert rope_of(config)["theta"] == 500000.0


def test_a_real_gemma_config_means_the_tanh_gelu_though_it_says_gelu(shared_data: Path) -> None:
    found = json.loads((shared_data / "configs" / "gemma-2b.json").read_text())
    config = gemma.FAMILY.config["hf"](Fields("gemma-2b.json", found))
    assert found["hidden_act"] == "gelu"
    assert config.layers[0].sublayers[1].mixer.options["activation"] == "gelu_tanh"
    assert config.embedding_scale == 2048**0.5


@every_family
def test_a_config_survives_json(family: Family) -> None:
    scaling: dict[str, Any] = {"rope_scaling": LLAMA3}
    if family is phi3.FAMILY:
        scaling = {"rope_scaling": LONGROPE, **PARTIAL}
    config = read(family, rope_theta=500.0, **scaling)
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    "scaling",
    [
        {"rope_type": "default"},
        {"type": "linear", "factor": 2},
        {"rope_type": "dynamic", "factor": 2.0},
        {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "mscale": None},
        LLAMA3,
    ],
)
def test_both_spellings_give_the_same_model(scaling: dict[str, Any]) -> None:
    old = read(llama.FAMILY, rope_theta=5e5, rope_scaling=scaling)
    new = read(llama.FAMILY, rope_parameters={**scaling, "rope_theta": 5e5})
    assert old == new


def test_both_spellings_of_longrope_give_the_same_model() -> None:
    inside = {**LONGROPE, **PARTIAL, "rope_theta": 5e5}
    old = read(phi3.FAMILY, rope_theta=5e5, rope_scaling=LONGROPE, **PARTIAL)
    assert old == read(phi3.FAMILY, rope_parameters=inside)
    assert old == read(
        phi3.FAMILY, rope_theta=5e5, rope_scaling={**LONGROPE, "type": "su"}, **PARTIAL
    )
    assert rope_of(old)["rotary_dim"] == 6
    # The factor on cos and sin comes from how far the context was stretched: 128 / 32.
    assert rope_of(old)["scaling"]["factor"] == 4.0


def test_both_spellings_of_two_ropes_give_the_same_model() -> None:
    scaling = {"rope_type": "linear", "factor": 8.0}
    full, sliding = {**scaling, "rope_theta": 2e6}, {"rope_type": "default", "rope_theta": 2e4}
    kinds = {"full_attention": full, "sliding_attention": sliding}
    old = read(
        gemma3.FAMILY,
        rope_theta=2e6,
        rope_local_base_freq=2e4,
        rope_scaling=scaling,
        num_hidden_layers=6,
    )
    assert old == read(gemma3.FAMILY, rope_parameters=kinds, num_hidden_layers=6)
    assert rope_of(old, 0) == {"head_dim": 8, "theta": 2e4, "scaling": {}}
    assert rope_of(old, 5)["theta"] == 2e6
    assert rope_of(old, 5)["scaling"] == {"type": "linear", "factor": 8.0}


def test_dynamic_and_yarn_stretch_the_context_and_others_keep_the_files() -> None:
    for type, context in (("dynamic", 512), ("linear", 128)):
        scaling = {"type": type, "factor": 4}
        assert read(llama.FAMILY, rope_scaling=scaling).context == context
    yarn = {"type": "yarn", "factor": 4, "original_max_position_embeddings": 64}
    assert read(llama.FAMILY, rope_scaling=yarn).context == 256
    assert read(llama.FAMILY, rope_scaling={"type": "yarn", "factor": 4}).context == 512


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


def test_mistral_has_its_window_in_every_layer_or_in_none() -> None:
    names = {layer.sublayers[0].mixer.name for layer in read(mistral.FAMILY).layers}
    assert names == {"sliding_window"}
    layers = read(mistral.FAMILY, sliding_window=None).layers
    assert {layer.sublayers[0].mixer.name for layer in layers} == {"gqa"}


@pytest.mark.parametrize(
    ("family", "changes", "full"),
    [
        (gemma2.FAMILY, {}, [1, 3, 5]),
        (gemma3.FAMILY, {}, [5]),
        (gemma3.FAMILY, {"sliding_window_pattern": 3}, [2, 5]),
        (
            gemma3.FAMILY,
            {"layer_types": ["full_attention"] + ["sliding_attention"] * 6},
            [0],
        ),
    ],
)
def test_full_layers_stand_where_the_family_has_them(
    family: Family, changes: dict[str, Any], full: list[int]
) -> None:
    layers = read(family, num_hidden_layers=7, **changes).layers
    names = [layer.sublayers[0].mixer.name for layer in layers]
    assert [number for number, name in enumerate(names) if name == "gqa"] == full


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
    ("rope_parameters", {"full_attention": {"rope_type": "default"}, "other": {}}),
    ("rope_parameters", []),
    ("quantization_config", {"bits": 99}),
]


# A key that a family does not look at cannot lie.
UNREAD = {("qwen2", "attention_bias")}
YARN = {"type": "yarn", "factor": 4.0}
LIES_OF_FAMILY: dict[str, list[tuple[str, Any]]] = {
    "llama": [
        ("rope_scaling", {**YARN, "beta_slow": 40}),
        ("rope_scaling", {**YARN, "attention_factor": "1"}),
        ("rope_scaling", {**YARN, "truncate": 1}),
        ("rope_scaling", {**YARN, "original_max_position_embeddings": 0}),
        ("rope_scaling", {**YARN, "rope_type": "linear"}),
        ("rope_scaling", {"type": "dynamic", "factor": 2, "alpha": 3}),
        ("rope_scaling", {"type": "dynamic", "factor": None}),
        ("rope_scaling", LONGROPE),
        ("rope_scaling", {"type": "yarn", "factor": 2, "partial_rotary_factor": 0.5}),
        ("partial_rotary_factor", 0.5),
        ("num_local_experts", 8),
        ("num_experts", 60),
    ],
    "mistral": [
        *(("sliding_window", value) for value in (0, -1, "4096", True, 10**12)),
        ("layer_types", ["sliding_attention", "full_attention", "sliding_attention"]),
        ("attention_bias", True),
        ("num_local_experts", 8),
    ],
    "phi3": [
        *(("partial_rotary_factor", value) for value in (2, 0, -1, "0.5", 0.2, 0.4)),
        *(("sliding_window", value) for value in (0, "2047")),
        *(
            ("rope_scaling", {**LONGROPE, "original_max_position_embeddings": 32, name: value})
            for name in ("short_factor", "long_factor")
            for value in (None, 3, [1.0] * 3, [1.0] * 5, [1.0, 1.0, 1.0, "2"], [1, 1, 1, 0])
        ),
        ("attention_bias", True),
    ],
    "gemma": [
        ("hidden_act", "silu"),
        *(("hidden_activation", value) for value in ("gelu", "silu", 3)),
        *(("use_bidirectional_attention", value) for value in (True, "all")),
    ],
    "gemma2": [
        *(("attn_logit_softcapping", value) for value in (0, -50, "50", float("inf"), True)),
        *(("final_logit_softcapping", value) for value in (0, -30, "30", float("nan"))),
        *(("query_pre_attn_scalar", value) for value in (0, None, "256", -1)),
        *(("sliding_window", value) for value in (None, 0, "4096")),
        ("hidden_activation", "gelu"),
    ],
    "gemma3": [
        ("attn_logit_softcapping", 50.0),
        *(("final_logit_softcapping", value) for value in (0, "30")),
        *(("query_pre_attn_scalar", value) for value in (0, None, "256")),
        *(("rope_local_base_freq", value) for value in (0, "10000")),
        *(("sliding_window_pattern", value) for value in (0, -1, "6", None)),
        *(("sliding_window", value) for value in (None, 0)),
        ("rope_parameters", {"rope_type": "default", "rope_theta": 1e4}),
        ("rope_parameters", {"full_attention": {"rope_type": "elastic"}}),
        ("rope_parameters", {"sliding_attention": {"rope_theta": 0}}),
        ("rope_parameters", {"sliding_attention": 3}),
    ],
}


def lies() -> list[Any]:
    """Return (family, key, value) of every lie about every family."""
    return [
        pytest.param(family, key, value, id=f"{family.name} {key}={type(value).__name__}")
        for family in FAMILIES
        for key, value in (*LIES, *LIES_OF_FAMILY.get(family.name, ()))
        if (family.name, key) not in UNREAD
    ]


@pytest.mark.parametrize(("family", "key", "value"), lies())
def test_a_lie_is_refused_and_its_key_named(family: Family, key: str, value: Any) -> None:
    with pytest.raises(FileError) as caught:
        read(family, **{key: value})
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(f"config.json: {key}")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("family", "key"),
    [
        (mistral.FAMILY, "sliding_window"),
        (gemma2.FAMILY, "sliding_window"),
        (gemma2.FAMILY, "attn_logit_softcapping"),
        (gemma2.FAMILY, "final_logit_softcapping"),
        (gemma2.FAMILY, "query_pre_attn_scalar"),
        (gemma3.FAMILY, "query_pre_attn_scalar"),
    ],
)
def test_what_a_family_always_says_is_not_assumed(family: Family, key: str) -> None:
    values = {**BASE, **OF_FAMILY[family.name]}
    del values[key]
    with pytest.raises(FileError, match=f"{key}: is missing"):
        family.config["hf"](Fields("config.json", values))


@pytest.mark.parametrize(
    ("packing", "said"),
    [
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "gptq, 4 bits"),
        ({"quant_method": "awq", "bits": 4, "version": "gemm"}, "awq, 4 bits"),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8"),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ],
)
@every_family
def test_packed_weights_are_refused_in_a_line_that_names_the_method(
    family: Family, packing: dict[str, Any], said: str
) -> None:
    with pytest.raises(FileError) as caught:
        read(family, quantization_config=packing)
    expected = f"config.json: quantization_config: the weights are packed by {said}, which is not"
    assert str(caught.value).startswith(expected)
    assert "\n" not in str(caught.value)


def test_two_trained_lengths_that_differ_are_refused() -> None:
    scaling = {**LONGROPE, "original_max_position_embeddings": 64}
    with pytest.raises(
        FileError, match=r"rope_scaling\.original_max_position_embeddings: found 64"
    ):
        read(phi3.FAMILY, rope_scaling=scaling, **PARTIAL)


def test_a_stretched_rope_without_its_trained_length_is_refused() -> None:
    scaling = {**LONGROPE, "short_factor": [1.0] * 4, "long_factor": [1.0] * 4}
    with pytest.raises(
        FileError, match=r"rope_scaling\.original_max_position_embeddings: is missing"
    ):
        read(phi3.FAMILY, rope_scaling=scaling)


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


class Decoders:
    """A registry of this plugin's families alone, whatever else is installed."""

    def names(self, kind: str) -> tuple[str, ...]:
        return tuple(family.name for family in FAMILIES)

    def get(self, kind: str, name: str) -> Family:
        return next(family for family in FAMILIES if family.name == name)

    def advice(self, kind: str, name: str) -> str:
        return ""


def choose(values: dict[str, Any]) -> Family:
    """Choose this plugin's family for a config."""
    return choose_family(Checkpoint(Path("m"), "hf", values, {}, Path("m")), Decoders())


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Llama-3.2-1B", "llama"),
        ("Mistral-7B-v0.1", "mistral"),
        ("Phi-3-mini-4k-instruct", "phi3"),
        ("Qwen3-0.6B", "qwen3"),
        ("gemma-2b", "gemma"),
    ],
)
def test_a_real_config_is_claimed_by_one_family(shared_data: Path, name: str, family: str) -> None:
    values = json.loads((shared_data / "configs" / f"{name}.json").read_text())
    assert choose(values).name == family


@pytest.mark.parametrize(
    "name",
    [
        "clip-vit-base-patch32",
        "dinov2-small",
        "mamba-130m-hf",
        "mamba-370m-hf",
        "rwkv7-0.1B",
        "rwkv7-0.4B-world",
        "rwkv7-168M-pile",
        "vit-base-patch16-224",
    ],
)
def test_real_configs_of_other_kinds_are_refused_by_name(shared_data: Path, name: str) -> None:
    values = json.loads((shared_data / "configs" / f"{name}.json").read_text())
    (architecture,) = values["architectures"]
    with pytest.raises(Unavailable, match=f"no installed family reads .*'{architecture}'"):
        choose(values)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        ("MixtralForCausalLM", "mixture of experts"),
        ("Qwen2MoeForCausalLM", "mixture of experts"),
        ("Qwen3MoeForCausalLM", "mixture of experts"),
        ("PhiMoEForCausalLM", "mixture of experts"),
        ("Gemma3ForConditionalGeneration", "model of text and images"),
    ],
)
def test_relatives_that_are_not_read_are_refused_with_what_they_are(
    architecture: str, kind: str
) -> None:
    with pytest.raises(Unavailable, match=f"'{architecture}' is a {kind}"):
        choose({"architectures": [architecture]})
