"""Files of DINOv2 and CLIP: published configs, names of tensors, errors, other formats."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from synapse_model_vision import clip, dinov2
from synapse_model_vision.clip_config import ClipConfig

from synapse_core.api import ignored_of, load, requantize
from synapse_core.errors import FileError, SynapseError, WeightError
from synapse_core.families import Fields, build_graph
from synapse_core.plugins import default_host

from .tower_files import CLIP, DINOV2, REGISTERS, random_tensors, write_checkpoint
from .tower_runner import encode_images, open_encoder

SIZE = (42, 70)
FAMILIES = {
    "dinov2": (dinov2.FAMILY, DINOV2),
    "registers": (dinov2.FAMILY, REGISTERS),
    "clip": (clip.FAMILY, CLIP),
}
Tensors = dict[str, Any]


def folder_of(
    folder: Path, name: str, change: Callable[[Tensors], object] = lambda tensors: None, **keys: Any
) -> Path:
    family, config = FAMILIES[name]
    tensors = random_tensors(family, config)
    change(tensors)
    return write_checkpoint(folder / name, {**config, **keys}, tensors)


def pixels_of(size: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(9).standard_normal((2, 3, *size)).astype(np.float32)


def published(shared_data: Path, name: str) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((shared_data / "configs" / f"{name}.json").read_text())
    return config


def parameters_of(family: Any, config: Any) -> int:
    graph = build_graph(family, config, default_host())
    sizes = (weight.stored or (weight.rows, weight.cols) for weight in graph.weights.values())
    return sum(rows * cols for rows, cols in sizes)


def test_dinov2_small_is_read(shared_data: Path) -> None:
    config = dinov2.from_hf(Fields("config.json", published(shared_data, "dinov2-small")))
    tower = config.tower
    assert (tower.image.grid, tower.width, len(tower.layers), tower.registers) == (
        (37, 37),
        384,
        12,
        0,
    )
    # 22,056,576 of transformers' Dinov2Model, of which 384 are the mask token.
    assert parameters_of(dinov2.FAMILY, config) == 22_056_576 - 384


def test_clip_base_is_read(shared_data: Path) -> None:
    found = published(shared_data, "clip-vit-base-patch32")
    config = clip.FAMILY.config["hf"](Fields("config.json", found))
    assert isinstance(config, ClipConfig)
    assert config.image is not None
    assert config.text is not None
    assert (config.image.image.grid, config.image.width, config.joint) == ((7, 7), 768, 512)
    assert (config.text.context, config.text.end, config.context) == (77, None, 77)
    # 151,277,313 of transformers' CLIPModel; the logit scale is one number, `unit` a constant here.
    assert parameters_of(clip.FAMILY, config) == 151_277_313 + 512


def test_a_section_that_says_little_is_openai_s_first_model(shared_data: Path) -> None:
    base = published(shared_data, "clip-vit-base-patch32")
    short = {**base, "text_config": {"hidden_size": 512}, "vision_config": {"patch_size": 32}}
    read = clip.FAMILY.config["hf"]
    full, little = (read(Fields("config.json", config)) for config in (base, short))
    assert little.image == full.image
    assert little.text.layers == full.text.layers
    assert little.text.end == 49407


def test_a_section_s_dict_goes_before_it(shared_data: Path) -> None:
    base = published(shared_data, "clip-vit-base-patch32")
    config = {**base, "text_config_dict": {"num_hidden_layers": 3}}
    read = clip.FAMILY.config["hf"](Fields("config.json", config))
    assert len(read.text.layers) == 3
    assert read.text.end == 49407


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("dinov2", "dinov2.encoder.layer.2.layer_scale2.lambda1"),
        ("dinov2", "classifier.weight"),
        ("registers", "embeddings.register_tokens"),
        ("registers", "encoder.layer.1.mlp.weights_in.bias"),
        ("clip", "vision_model.pre_layrnorm.bias"),
        ("clip", "text_model.embeddings.position_embedding.weight"),
        ("clip", "logit_scale"),
    ],
)
def test_a_missing_tensor_is_named(tmp_path: Path, name: str, tensor: str) -> None:
    folder = folder_of(tmp_path, name, lambda tensors: tensors.pop(tensor))
    with pytest.raises(WeightError, match=f"tensor '{tensor}': is missing"):
        open_encoder(folder)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_extra_tensor_is_named(tmp_path: Path, name: str) -> None:
    extra = {"more.weight": np.ones((3, 4), np.float32)}
    folder = folder_of(tmp_path, name, lambda tensors: tensors.update(extra))
    with pytest.raises(WeightError, match=r"tensor 'more.weight' \(3, 4\): nothing in the"):
        open_encoder(folder)


@pytest.mark.parametrize(
    ("name", "keys", "tensor"),
    [
        ("dinov2", {"num_hidden_layers": 2}, "dinov2.encoder.layer.2."),
        ("registers", {"num_hidden_layers": 2}, "encoder.layer.2."),
        (
            "clip",
            {"vision_config": {**CLIP["vision_config"], "num_hidden_layers": 2}},
            "vision_model.encoder.layers.2.",
        ),
        (
            "clip",
            {"text_config": {**CLIP["text_config"], "num_hidden_layers": 1}},
            "text_model.encoder.layers.1.",
        ),
    ],
)
def test_fewer_layers_than_the_file_has_is_an_error_by_name(
    tmp_path: Path, name: str, keys: dict[str, Any], tensor: str
) -> None:
    with pytest.raises(WeightError, match=f"'{tensor}.*and .* more: nothing in the"):
        open_encoder(folder_of(tmp_path, name, **keys))


@pytest.mark.parametrize(
    ("name", "keys", "says"),
    [
        ("dinov2", {"num_hidden_layers": 4}, "'dinov2.encoder.layer.3.*is missing"),
        ("dinov2", {"image_size": 70}, r"position_embeddings' is \(1, 17, 36\).*\(26, 36\)"),
        ("dinov2", {"mlp_ratio": 3}, r"fc1.bias' is \(72,\).*\(108,\)"),
        ("dinov2", {"use_swiglu_ffn": True}, "weights_in.bias': is missing"),
        ("registers", {"num_register_tokens": 3}, r"register_tokens' is \(1, 2, 36\).*\(3, 36\)"),
        ("clip", {"projection_dim": 19}, r"visual_projection.weight' is \(20, 36\).*\(19, 36\)"),
    ],
)
def test_a_config_of_other_sizes_is_an_error_by_name(
    tmp_path: Path, name: str, keys: dict[str, Any], says: str
) -> None:
    with pytest.raises(WeightError, match=says):
        open_encoder(folder_of(tmp_path, name, **keys))


@pytest.mark.parametrize(
    ("name", "keys", "field"),
    [
        ("dinov2", {"num_attention_heads": 5}, "num_attention_heads"),
        ("dinov2", {"mlp_ratio": "4"}, "mlp_ratio"),
        ("dinov2", {"image_size": [56, 42]}, "image_size"),
        ("dinov2", {"image_size": 57}, "image_size"),
        ("registers", {"num_register_tokens": 0}, "num_register_tokens"),
        ("clip", {"vision_config": 5}, "vision_config"),
        (
            "clip",
            {"text_config": {**CLIP["text_config"], "eos_token_id": 61}},
            "text_config.eos_token_id",
        ),
        (
            "clip",
            {"text_config": {**CLIP["text_config"], "hidden_act": "mish"}},
            "text_config.hidden_act",
        ),
    ],
)
def test_a_bad_key_is_named(tmp_path: Path, name: str, keys: dict[str, Any], field: str) -> None:
    with pytest.raises(FileError, match=field):
        open_encoder(folder_of(tmp_path, name, **keys))


def test_an_image_that_is_no_multiple_of_the_patch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SynapseError, match="multiple of the patch, 14"):
        open_encoder(folder_of(tmp_path, "dinov2"), size=(56, 60))


def test_what_is_only_of_training_is_left_out_with_its_reason(tmp_path: Path) -> None:
    rows = np.zeros((1, 36), np.float32)
    extra = {"dinov2.embeddings.mask_token": rows}
    folder = folder_of(tmp_path, "dinov2", lambda tensors: tensors.update(extra))
    with load(folder, backend="numpy") as model:
        (reason,) = ignored_of(model.built).values()
    assert "training" in reason
    ids = {
        f"{tower}.embeddings.position_ids": np.arange(9)[None]
        for tower in ("vision_model", "text_model")
    }
    folder = folder_of(tmp_path, "clip", lambda tensors: tensors.update(ids))
    with load(folder, backend="numpy") as model:
        assert set(ignored_of(model.built)) == set(ids)


@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("tower", ["vision", "text"])
def test_a_tower_alone_is_read_under_both_names(tmp_path: Path, tower: str, prefixed: bool) -> None:
    """Transformers 4 wrote `vision_model.` before the names of a tower alone, 5 does not."""
    architecture = f"CLIP{tower.capitalize()}Model"
    config = {**CLIP[f"{tower}_config"], "architectures": [architecture]}
    before = f"{tower}_model."
    tensors = {
        name if prefixed else name.removeprefix(before): tensor
        for name, tensor in random_tensors(clip.FAMILY, CLIP).items()
        if name.startswith(before)
    }
    folder = write_checkpoint(tmp_path / "alone", config, tensors)
    with load(folder, backend="numpy") as model:
        assert model.config["joint"] == 0
    tensors.pop(f"{before if prefixed else ''}encoder.layers.1.layer_norm2.bias")
    folder = write_checkpoint(tmp_path / "less", config, tensors)
    named = f"'{before if prefixed else ''}encoder.layers.1.layer_norm2.bias': is missing"
    with pytest.raises(WeightError, match=named):
        load(folder, backend="numpy")


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("format", ["q8_0", "int8"])
def test_a_copy_keeps_tables_and_gives_what_the_format_gives_at_load(
    tmp_path: Path, name: str, format: str
) -> None:
    folder = folder_of(tmp_path, name)
    copy = tmp_path / "copy"
    requantize(folder, copy, default_host(), format=format)
    before, after = (load_file(at / "model.safetensors") for at in (folder, copy))
    kept = [tensor for tensor in before if "position" in tensor or "register" in tensor]
    assert kept
    for tensor in kept:
        assert before[tensor].shape == after[tensor].shape
        assert np.array_equal(before[tensor], after[tensor])
    size = (48, 80) if name == "clip" else SIZE
    pixels = pixels_of(size)
    found = encode_images(open_encoder(copy, size=size), pixels)
    asked = encode_images(open_encoder(folder, size=size, format=format), pixels)
    for output, rows in asked.items():
        np.testing.assert_array_equal(found[output], rows)


def test_labels_are_the_file_s(tmp_path: Path) -> None:
    with load(folder_of(tmp_path, "dinov2"), backend="numpy") as model:
        found = model.classify(pixels=pixels_of((56, 56)), top=2)
    assert len(found) == 2
    best = found[0][0]
    assert best.label == f"class {best.index}"
    assert json.dumps(model.config)
