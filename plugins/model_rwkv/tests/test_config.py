"""config.json in both spellings: what is read, what is refused by key, and whose it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_rwkv.channel_mix import ChannelMix
from synapse_model_rwkv.samples import BLINKDL, FLA
from synapse_model_rwkv.time_mix import TimeMix

from synapse_core.errors import FileError, UsageError, WeightError
from synapse_core.families import Fields, ModelConfig, build_graph, model_config
from synapse_core.loaders import SAFETENSORS
from synapse_core.plugins import default_host
from synapse_core.testing import CheckpointSample
from tests.outside.runner import open_runner

from . import checkpoints as made


def read(name: str, sample: CheckpointSample, **changed: Any) -> ModelConfig:
    family = default_host().get("model", name)
    metadata = {**sample.metadata, **changed}
    metadata = {key: value for key, value in metadata.items() if value != "absent"}
    config: ModelConfig = family.config["hf"](
        Fields("config.json", metadata, tensors=sample.opened())
    )
    return config


def mix(config: ModelConfig, layer: int = 0) -> dict[str, Any]:
    return config.layers[layer].sublayers[0].mixer.options


def test_blinkdl_s_config_says_sizes_and_the_tensors_ranks() -> None:
    config = read("rwkv7", BLINKDL["hf"])
    assert (config.width, config.vocabulary, len(config.layers)) == (24, 29, 2)
    assert (mix(config)["decay_rank"], mix(config)["rate_rank"], mix(config)["gate_rank"]) == (
        3,
        4,
        5,
    )
    assert (mix(config, 0)["value_rank"], mix(config, 1)["value_rank"]) == (0, 6)
    assert mix(config)["eps"] == 64e-5  # whatever the head's size, here 8
    assert mix(config)["embedding_norm"].options == {"eps": 1e-5}
    assert "embedding_norm" not in mix(config, 1)
    assert config.head_bias


def test_fla_s_epsilon_of_a_head_follows_its_size() -> None:
    assert mix(read("rwkv7_fla", FLA["hf"]))["eps"] == 8 * 1e-5
    assert mix(read("rwkv7_fla", FLA["hf"], norm_eps=1e-3))["eps"] == 8 * 1e-3


def test_fla_s_width_of_the_channel_mix_may_be_a_ratio() -> None:
    def hidden(**changed: Any) -> int:
        config = read("rwkv7_fla", FLA["hf"], **changed)
        return int(config.layers[0].sublayers[1].mixer.options["hidden"])

    assert hidden() == 40
    assert hidden(intermediate_size=None) == 96
    assert hidden(intermediate_size=None, hidden_ratio=3.5) == 96
    assert hidden(intermediate_size=None, hidden_ratio=1) == 32


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"head_dim": 7}, "head_dim: found 7, expected a divisor of 24"),
        ({"head_dim": 0}, "head_dim"),
        ({"head_dim": "absent"}, "head_dim: is missing, and num_heads too"),
        ({"num_heads": 5}, "num_heads: found 5, expected a divisor"),
        ({"num_heads": 4}, "num_heads: found 4, expected 24 / 8"),
        ({"hidden_size": 1 << 40}, "hidden_size"),
        ({"num_hidden_layers": 3}, "blocks.2.att.w2"),
        ({"num_hidden_layers": 1 << 30}, "num_hidden_layers"),
        ({"vocab_size": -1}, "vocab_size"),
        ({"norm_eps": float("inf")}, "norm_eps"),
        ({"has_ln0": "yes"}, "has_ln0"),
        ({"eos_token_id": 29}, "eos_token_id"),
    ],
)
def test_a_bad_key_of_blinkdl_s_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(FileError) as caught:
        read("rwkv7", BLINKDL["hf"], **changed)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"attn": {"layers": [1]}}, "attn: layers of attention"),
        ({"hidden_act": "relu"}, "hidden_act"),
        ({"value_dim": [24, 48]}, "value_dim: found 48, expected the width 24"),
        ({"decay_low_rank_dim": 9}, "decay_low_rank_dim: found 9, tensor"),
        ({"intermediate_size": None, "hidden_ratio": 1e9}, "hidden_ratio"),
        ({"norm_eps": "absent"}, "norm_eps: is missing"),
    ],
)
def test_a_bad_key_of_fla_s_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(FileError) as caught:
        read("rwkv7_fla", FLA["hf"], **changed)
    assert said in str(caught.value)


def test_a_checkpoint_in_either_spelling_is_the_same_model(tmp_path: Path) -> None:
    shape = attrs.evolve(made.USUAL, ln0=False)
    tensors = made.random_tensors(shape, 61)
    ids = np.random.default_rng(62).integers(0, shape.vocabulary, 30).tolist()
    theirs = made.as_fla(tensors)
    older = {k: v for k, v in theirs.items() if ".attn.x_" not in k}
    for layer in range(shape.layers):
        shifts = [theirs[f"model.layers.{layer}.attn.x_{x}"].reshape(-1) for x in "rwkvag"]
        older[f"model.layers.{layer}.attn.x_x"] = np.stack(shifts)
    folders = [
        made.write_folder(tmp_path / "blinkdl", tensors, made.config_of(shape)),
        made.write_folder(tmp_path / "fla", theirs, made.fla_config_of(shape)),
        made.write_folder(tmp_path / "older", older, made.fla_config_of(shape)),
    ]
    first, *others = (open_runner(folder).in_chunks(ids, [30]).tobytes() for folder in folders)
    assert others == [first, first]


def test_unused_values_of_the_first_layer_are_left_aside(tmp_path: Path) -> None:
    plain = made.write_folder(
        tmp_path / "plain", made.random_tensors(made.ODD, 63), made.config_of(made.ODD)
    )
    more = made.random_tensors(made.ODD, 63)
    for name in ("v0", "v1", "v2"):
        more[f"blocks.0.att.{name}"] = more[f"blocks.1.att.{name}"]
    folder = made.write_folder(tmp_path / "more", more, made.config_of(made.ODD))
    found = [open_runner(path).in_chunks([1, 2, 3], [3]).tobytes() for path in (plain, folder)]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("shape", "said", "change"),
    [
        (made.ODD, "blocks.0.ln0.bias", {"has_ln0": False}),
        (attrs.evolve(made.ODD, ln0=False), "blocks.0.ln0.weight", {"has_ln0": True}),
        (attrs.evolve(made.ODD, output_bias=True), "output.bias", {"attention_output_bias": False}),
        (attrs.evolve(made.ODD, head_bias=True), "head.bias", {"head_bias": False}),
    ],
)
def test_what_the_config_and_the_tensors_say_otherwise_is_an_error_by_name(
    tmp_path: Path, shape: made.Shape, said: str, change: dict[str, Any]
) -> None:
    tensors = made.random_tensors(shape, 64)
    folder = made.write_folder(tmp_path / "m", tensors, {**made.config_of(shape), **change})
    with pytest.raises(WeightError, match=said):
        open_runner(folder)


@pytest.mark.parametrize("name", ["ln0", "output_bias", "head_bias"])
def test_what_a_file_may_have_changes_the_logits(tmp_path: Path, name: str) -> None:
    both = []
    for has in (False, True):
        shape = attrs.evolve(made.ODD, **{name: has})
        tensors = made.random_tensors(attrs.evolve(made.ODD, **{name: True}), 65)
        wanted = made.random_tensors(shape, 65)
        kept = {key: value for key, value in tensors.items() if key in wanted}
        folder = made.write_folder(tmp_path / str(has), kept, made.config_of(shape))
        both.append(open_runner(folder).in_chunks([1, 2, 3], [3]))
    assert np.abs(both[0] - both[1]).max() > 0.05


@pytest.mark.parametrize(
    "options",
    [
        {"head_dim": 0},
        {"decay_rank": 0},
        {"rate_rank": True},
        {"gate_rank": 1.5},
        {"value_rank": -1},
        {"eps": float("nan")},
        {"eps": -1.0},
    ],
)
def test_an_option_that_is_no_size_is_refused(options: dict[str, Any]) -> None:
    good = {"head_dim": 8, "decay_rank": 1, "rate_rank": 1, "gate_rank": 1, "eps": 0.1}
    TimeMix(**good)
    with pytest.raises(UsageError, match="rwkv7_time_mix"):
        TimeMix(**{**good, **options})
    with pytest.raises(UsageError, match="rwkv7_channel_mix"):
        ChannelMix(hidden=0)


@pytest.mark.parametrize(("width", "exact"), [(32, True), (64, True), (96, False)])
def test_products_that_a_narrow_state_takes_in_are_exact(
    tmp_path: Path, width: int, exact: bool
) -> None:
    shape = attrs.evolve(made.USUAL, layers=1, width=width, head_dim=16)
    tensors = made.random_tensors(shape, 66)
    folder = made.write_folder(tmp_path / "m", tensors, made.config_of(shape))
    checkpoint = SAFETENSORS.open(folder)
    family = default_host().get("model", "rwkv7")
    graph = build_graph(family, model_config(family, checkpoint), default_host())
    asked = {name.split(".")[-2] for name, weight in graph.weights.items() if weight.exact}
    assert asked == ({"r", "k", "v"} if exact else set())
