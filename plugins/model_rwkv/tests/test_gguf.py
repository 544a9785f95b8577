"""RWKV-7 in GGUF: the same model as in BlinkDL's names, and what a bad file is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import gguf
import numpy as np
import pytest
from synapse_model_rwkv.samples import BLINKDL

from synapse_core.errors import FileError, WeightError
from synapse_core.families import Fields
from synapse_core.plugins import default_host
from synapse_core.testing import CheckpointSample
from tests.outside.runner import open_runner

from . import checkpoints as made
from .gguf_files import write_gguf

IDS = np.random.default_rng(5).integers(0, made.ODD.vocabulary, 40).tolist()


@pytest.fixture(scope="module")
def tensors() -> made.Tensors:
    return made.random_tensors(made.ODD, 7)


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_a_file_is_the_model_of_its_folder(
    tmp_path: Path, tensors: made.Tensors, backend: str
) -> None:
    folder = made.write_folder(tmp_path / "folder", tensors, made.config_of(made.ODD))
    file = write_gguf(tmp_path / "model.gguf", tensors, made.ODD)
    both = [open_runner(path, backend=backend).in_chunks(IDS, [9, 31]) for path in (folder, file)]
    assert both[0].tobytes() == both[1].tobytes()


def test_a_layer_without_its_pair_of_values_is_refused_by_name(
    tmp_path: Path, tensors: made.Tensors
) -> None:
    short = {name: numbers for name, numbers in tensors.items() if name != "blocks.1.att.v2"}
    file = write_gguf(tmp_path / "model.gguf", short, made.ODD)
    with pytest.raises(WeightError, match=r"'blk\.1\.time_mix_v2\.weight'"):
        open_runner(file)


def test_a_tensor_of_another_shape_is_refused_by_name(
    tmp_path: Path, tensors: made.Tensors
) -> None:
    wrong = {**tensors, "blocks.1.att.r_k": tensors["blocks.1.att.r_k"][:-1]}
    file = write_gguf(tmp_path / "model.gguf", wrong, made.ODD)
    with pytest.raises(WeightError, match=r"time_mix_r_k\.weight' is \(48,\)"):
        open_runner(file)


def read(change: Callable[[CheckpointSample], CheckpointSample]) -> Any:
    sample = change(BLINKDL["gguf"])
    family = default_host().get("model", "rwkv7")
    return family.config["gguf"](Fields("x.gguf", sample.metadata, tensors=sample.opened()))


def keys(**values: Any) -> Callable[[CheckpointSample], CheckpointSample]:
    named = {f"rwkv7.{key.replace('__', '.')}": value for key, value in values.items()}
    return lambda sample: attrs.evolve(sample, metadata={**sample.metadata, **named})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (keys(wkv__head_size=7), "wkv.head_size: found 7, expected a divisor of 24"),
        (keys(wkv__head_size=0), "wkv.head_size"),
        (keys(block_count=3), "blk.2.time_mix_w1.weight"),
        (keys(token_shift_count=3), "token_shift_count"),
        (keys(attention__layer_norm_epsilon=float("nan")), "layer_norm_epsilon"),
        (keys(attention__decay_lora_rank=9), "decay_lora_rank: found 9, tensor"),
        (keys(embedding_length=1 << 40), "embedding_length"),
        (keys(feed_forward_length="40"), "feed_forward_length"),
    ],
)
def test_a_bad_key_is_refused_by_name(
    change: Callable[[CheckpointSample], CheckpointSample], said: str
) -> None:
    with pytest.raises(FileError) as caught:
        read(change)
    assert said in str(caught.value)


def test_the_sample_is_read(tensors: made.Tensors) -> None:
    config = read(lambda sample: sample)
    assert config.layers[0].sublayers[0].mixer.options["value_rank"] == 0
    assert config.layers[1].sublayers[0].mixer.options["value_rank"] == 6
    assert gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.RWKV7] == "rwkv7"
