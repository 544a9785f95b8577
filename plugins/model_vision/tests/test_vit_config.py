"""What ViT's config.json files say, in transformers' and timm's form, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from synapse_model_vision import timm, vit
from synapse_model_vision.samples import HF, VIT, VIT_TIMM

import synapse_core.api as synapse
from synapse_core.errors import FileError, SynapseError, Unavailable, WeightError
from synapse_core.families import Fields

from .checkpoints import write


def read(**changes: Any) -> Any:
    """Read the classifier's sample with some changes; None leaves a key out."""
    said = {**VIT["hf"], **changes}
    said = {key: value for key, value in said.items() if value is not None}
    return vit.read_classifier(Fields("config.json", said))


def test_the_published_config_is_read_with_classes_without_names() -> None:
    # google/vit-base-patch16-224's numbers.
    said = {
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3072,
        "image_size": 224,
        "patch_size": 16,
        "layer_norm_eps": 1e-12,
        "hidden_act": "gelu",
        "qkv_bias": True,
        "num_labels": 1000,
    }
    config = vit.read_classifier(Fields("config.json", said))
    assert (config.classes, config.labels, config.context) == (1000, (), 197)
    assert len(config.tower.layers) == 12
    assert config.tower.norm.options == {"eps": 1e-12}


def test_sides_may_be_a_pair_of_height_and_width() -> None:
    image = read(image_size=[14, 28], patch_size=[7, 7]).tower.image
    assert (image.height, image.width, image.grid) == (14, 28, (2, 4))


BAD = {
    "image_size": (22, [21], [21, 22], 0, "21", 1 << 40),
    "patch_size": ([7, 3], 0, 1 << 20, "7"),
    "num_attention_heads": (5, 0, "3"),
    "hidden_act": ("mish", 7),
    "layer_norm_eps": (-1, "x", 2),
    "id2label": ({"0": "a", "2": "b"}, {}, {"0": 5}, [1], {"0": "x" * 2000}),
    "hidden_size": (1 << 40, 0, 24.0),
    "num_channels": (0, 65, "3"),
    "qkv_bias": (1, "yes"),
}


@pytest.mark.parametrize("key", BAD)
def test_a_bad_value_is_refused_by_its_key(key: str) -> None:
    for value in BAD[key]:
        with pytest.raises(FileError, match=key):
            read(**{key: value})


def test_no_size_and_no_epsilon_is_assumed() -> None:
    for key in set(HF) - {"qkv_bias", "num_channels"}:
        with pytest.raises(FileError, match=rf"{key}.*is missing"):
            read(**{key: None})


def test_timm_takes_sizes_from_tensors_and_heads_from_the_name() -> None:
    sample = VIT_TIMM["hf"]
    config = timm.read_timm(Fields("config.json", sample.metadata, tensors=sample.opened()))
    image = config.tower.image
    assert (image.height, image.patch, config.tower.width) == (21, 7, 24)
    (attention, _), *_ = (layer.sublayers for layer in config.tower.layers)
    assert attention.mixer.options["heads"] == 3
    assert len(config.tower.layers) == 2
    assert config.preprocessing["size"] == {"shortest_edge": 23}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"architecture": "vit_odd_patch7"}, "heads are known of tiny"),
        ({"architecture": "vit_base_patch7", "model_args": {"num_heads": 7}}, "7 heads"),
        ({"global_pool": "avg"}, "global_pool"),
        ({"label_names": ["a", "b"]}, "names 2 classes, the head has 5"),
    ],
)
def test_timm_s_other_forms_are_refused(changes: dict[str, Any], said: str) -> None:
    sample = VIT_TIMM["hf"]
    metadata = {**sample.metadata, **changes}
    with pytest.raises(FileError, match=said):
        timm.read_timm(Fields("config.json", metadata, tensors=sample.opened()))


def test_every_tensor_is_used_and_every_weight_is_there(vit: Path, tmp_path: Path) -> None:
    tensors = load_file(vit / "model.safetensors")
    name = "vit.encoder.layer.1.output.dense.weight"

    def error(changed: dict[str, np.ndarray], **config: Any) -> SynapseError:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        said = {**json.loads((vit / "config.json").read_text()), **config}
        (folder / "config.json").write_text(json.dumps(said))
        save_file(changed, folder / "model.safetensors")
        with pytest.raises(WeightError) as caught:
            synapse.load(folder)
        return caught.value

    missing = {key: value for key, value in tensors.items() if key != name}
    assert name in str(error(missing))
    assert "'vit.extra'" in str(error({**tensors, "vit.extra": np.zeros(3, np.float32)}))
    assert "vit.encoder.layer.1." in str(error(tensors, num_hidden_layers=1))
    assert "vit.encoder.layer.2." in str(error(tensors, num_hidden_layers=3))
    table = "vit.embeddings.position_embeddings"
    assert table in str(error(tensors, image_size=28))
    assert table in str(error({**tensors, table: tensors[table][:, :-1].copy()}))


def test_a_mask_for_training_is_left_aside(vit: Path, tmp_path: Path) -> None:
    tensors = load_file(vit / "model.safetensors")
    tensors["vit.embeddings.mask_token"] = np.zeros((1, 1, 24), np.float32)
    (tmp_path / "config.json").write_bytes((vit / "config.json").read_bytes())
    save_file(tensors, tmp_path / "model.safetensors")
    with synapse.load(tmp_path) as model:
        assert list(synapse.ignored_of(model.built)) == ["vit.embeddings.mask_token"]


def test_without_a_pooler_there_are_the_rows_alone(tmp_path: Path, features: Path) -> None:
    tensors = load_file(features / "model.safetensors")
    kept = {key: value for key, value in tensors.items() if not key.startswith("pooler")}
    (tmp_path / "config.json").write_bytes((features / "config.json").read_bytes())
    save_file(kept, tmp_path / "model.safetensors")
    with synapse.load(tmp_path) as model:
        assert model.images.encoder.image_ports().outputs == ("last_hidden_state",)


def test_a_relative_is_refused_by_name(tmp_path: Path) -> None:
    folder = write(tmp_path / "m", "vit", architectures=["ViTForMaskedImageModeling"])
    with pytest.raises(Unavailable, match="paints hidden patches"):
        synapse.load(folder)
