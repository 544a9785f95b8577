"""What a config.json and a file of tensors must say, and agree on."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synapse_model_lewm.config import LewmConfig
from synapse_model_lewm.family import FAMILY
from synapse_model_lewm.samples import CONFIG
from synapse_model_lewm.world_model import WorldModel

from synapse_core.errors import FileError, SynapseError, WeightError
from synapse_core.families import Fields

from .cases import changed, full
from .checkpoints import tensors_of, write


def read(config: dict[str, Any]) -> LewmConfig:
    found = FAMILY.config["hf"](Fields("config.json", config))
    assert isinstance(found, LewmConfig)
    return found


def test_the_published_config_is_read() -> None:
    config = read(full())
    encoder, predictor = config.encoder, config.predictor
    assert (encoder.width, encoder.layers, encoder.heads, encoder.ffn) == (192, 12, 3, 768)
    assert (encoder.patch, encoder.image, encoder.eps) == (14, 224, 1e-12)
    assert (predictor.frames, predictor.layers, predictor.heads) == (3, 6, 16)
    assert (predictor.head_dim, predictor.ffn) == (64, 2048)
    assert (config.actions.input, config.actions.smoothed, config.actions.hidden) == (10, 10, 768)
    assert config.projector is not None
    assert config.pred_proj == config.projector
    assert (config.projector.hidden, config.projector.norm, config.projector.eps) == (
        2048,
        "batch",
        1e-5,
    )
    assert LewmConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


@pytest.mark.parametrize(
    ("part", "keys", "words"),
    [
        ("encoder", {"_target_": "timm.create_model"}, r"encoder\._target_: found 'create_model'"),
        ("encoder", {"size": "giant"}, r"encoder\.size"),
        ("encoder", {"num_attention_heads": 5}, r"encoder\.num_attention_heads"),
        ("encoder", {"image_size": 16}, r"encoder\.image_size: found 16, expected a multiple of 5"),
        ("encoder", {"qkv_bias": False}, r"encoder\.qkv_bias"),
        ("encoder", {"hidden_act": "mish"}, r"encoder\.hidden_act"),
        ("predictor", {"num_frames": 0}, r"predictor\.num_frames"),
        ("predictor", {"depth": "six"}, r"predictor\.depth"),
        ("predictor", {"input_dim": 30}, r"predictor\.input_dim: found 30"),
        ("predictor", {"output_dim": 30}, r"pred_proj\.input_dim: found 28"),
        ("action_encoder", {"emb_dim": 30}, r"action_encoder\.emb_dim: found 30"),
        ("projector", {"input_dim": 30}, r"projector\.input_dim: found 30"),
        ("pred_proj", {"output_dim": 30}, r"pred_proj\.output_dim: found 30"),
        ("projector", {"_target_": "other.Head"}, r"projector\._target_"),
        ("projector", {"norm_fn": {"_target_": "torch.nn.GroupNorm"}}, r"norm_fn\._target_"),
        (
            "projector",
            {"norm_fn": {"_target_": "torch.nn.BatchNorm1d", "affine": False}},
            r"norm_fn\.affine",
        ),
    ],
)
def test_a_bad_key_is_named(part: str, keys: dict[str, Any], words: str) -> None:
    with pytest.raises(FileError, match=words):
        read(changed(**{part: keys}))


@pytest.mark.parametrize("part", ["encoder", "predictor", "action_encoder"])
def test_a_missing_part_is_named(part: str) -> None:
    config = copy.deepcopy(CONFIG)
    del config[part]
    with pytest.raises(FileError, match=part):
        read(config)


def test_a_config_that_says_fewer_layers_than_the_file_has_is_refused(tmp_path: Path) -> None:
    said = changed(encoder={"num_hidden_layers": 1})
    write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(WeightError, match=r"'encoder\.encoder\.layer\.1\..*and 15 more"):
        WorldModel.open(tmp_path, backend="numpy")
    said = changed(predictor={"depth": 1})
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(WeightError, match=r"'predictor\.transformer\.layers\.1\."):
        WorldModel.open(tmp_path, backend="numpy")


def test_a_config_that_says_more_layers_than_the_file_has_is_refused(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(changed(encoder={"num_hidden_layers": 3})))
    with pytest.raises(WeightError, match=r"'encoder\.encoder\.layer\.2\..*is missing"):
        WorldModel.open(tmp_path, backend="numpy")


@pytest.mark.parametrize(
    "name",
    [
        "projector.net.1.running_mean",
        "predictor.pos_embedding",
        "action_encoder.embed.2.bias",
        "predictor.transformer.layers.1.adaLN_modulation.1.bias",
        "predictor.transformer.layers.0.attn.to_qkv.weight",
        "encoder.embeddings.cls_token",
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str) -> None:
    assert name in tensors_of()
    with pytest.raises(WeightError, match=f"{name.replace('.', '[.]')}'.*is missing"):
        WorldModel.open(write(tmp_path, **{name: None}), backend="numpy")


def test_an_extra_tensor_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path, **{"predictor.more.weight": np.ones((2, 3), np.float32)})
    with pytest.raises(WeightError, match=r"'predictor\.more\.weight' \(2, 3\)"):
        WorldModel.open(folder, backend="numpy")


def test_sizes_that_differ_from_the_file_s_name_both(tmp_path: Path) -> None:
    write(tmp_path)
    said = changed(predictor={"num_frames": 4})
    (tmp_path / "config.json").write_text(json.dumps(said))
    with pytest.raises(WeightError, match=r"'predictor\.pos_embedding' is \(1, 3, 28\).*\(4, 28\)"):
        WorldModel.open(tmp_path, backend="numpy")


def test_what_training_counts_is_left_aside(tmp_path: Path) -> None:
    counted = np.array(7, np.int64)
    extra = {"projector.net.1.num_batches_tracked": counted}
    with WorldModel.open(write(tmp_path, **extra), backend="numpy") as world:
        assert world.window == 3


def test_a_model_of_another_family_is_no_world_model() -> None:
    pytest.importorskip("synapse_model_decoder")
    with pytest.raises(SynapseError, match=r"is no world model|Config|loaded for|limits"):
        WorldModel.open("qwen3", backend="numpy")
