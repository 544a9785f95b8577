"""`synapse verify` of encoders of images and texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from synapse_model_vision import clip

from synapse_core.api import ModelOfTexts, load, probe_texts, verify_texts

from .conftest import MakeTower, Run
from .tower_cases import CLIP_TEXT
from .tower_files import CLIP, random_tensors, write_checkpoint

OF_IMAGES = ["embedding", "pooled", "last_hidden_state", "direction"]
OF_TEXTS = ["text embedding", "text pooled", "text query"]
TEXT_ALONE = {**CLIP_TEXT, "architectures": ["CLIPTextModelWithProjection"]}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    at = tmp_path_factory.mktemp("clip")
    tensors = random_tensors(clip.FAMILY, CLIP)
    text = {name: tensor for name, tensor in tensors.items() if name.startswith("text_")}
    return {
        "clip": write_checkpoint(at / "clip", CLIP, tensors),
        "text": write_checkpoint(at / "text", TEXT_ALONE, text),
    }


def outputs_of(said: str) -> dict[str, bool]:
    return {row["output"]: row["holds"] for row in json.loads(said)["outputs"]}


@pytest.mark.parametrize(
    ("name", "outputs"),
    [("clip", OF_IMAGES + OF_TEXTS), ("text", ["text embedding", "text pooled"])],
)
def test_every_output_of_images_and_texts_is_compared(
    folders: dict[str, Path], run_here: Run, name: str, outputs: list[str]
) -> None:
    done = run_here("verify", folders[name], "--backend", "cpu", "--json")
    assert outputs_of(done.out) == dict.fromkeys(outputs, True)


def test_given_pixels_are_compared_alone(
    folders: dict[str, Path], run_here: Run, tmp_path: Path
) -> None:
    pixels = tmp_path / "pixels.npy"
    np.save(pixels, np.random.default_rng(1).standard_normal((2, 3, 48, 48)).astype(np.float32))
    done = run_here("verify", folders["clip"], "--pixels", pixels, "--json")
    assert list(outputs_of(done.out)) == OF_IMAGES
    done = run_here("verify", folders["text"], "--pixels", pixels, code=2)
    assert "takes no images: it is verified on seeded texts" in done.err


def test_another_model_does_not_agree(
    folders: dict[str, Path], run_here: Run, tmp_path: Path
) -> None:
    tensors = random_tensors(clip.FAMILY, CLIP)
    tensors["text_model.encoder.layers.2.self_attn.q_proj.bias"] += np.float32(0.5)
    other = write_checkpoint(tmp_path / "other", CLIP, tensors)
    done = run_here("verify", folders["clip"], "--original", other, code=1)
    assert "of a deviation in 'text embedding'" in done.err


def test_texts_of_the_probe_end_once_and_reach_the_last_position(folders: dict[str, Path]) -> None:
    with load(folders["clip"], backend="numpy") as model:
        texts = probe_texts(model)
        assert texts == probe_texts(model)
        assert texts != probe_texts(model, seed=1)
    assert max(len(ids) for ids in texts) == CLIP_TEXT["max_position_embeddings"]
    assert [ids.index(CLIP_TEXT["eos_token_id"]) for ids in texts] == [len(i) - 1 for i in texts]


class Shifted:
    """A reference whose outputs are a little off."""

    def __init__(self, texts: Callable[[Sequence[Sequence[int]]], dict[str, np.ndarray]]) -> None:
        self._texts = texts

    def texts(self, texts: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
        found = self._texts(texts)
        return {name: rows + np.float32(1e-3) * rows.std() for name, rows in found.items()}


def test_a_shift_of_a_thousandth_is_seen(folders: dict[str, Path]) -> None:
    with load(folders["clip"], backend="numpy") as model:
        same = ModelOfTexts(model)
        assert all(one.holds for one in verify_texts(model, same).values())
        off = verify_texts(model, Shifted(lambda ids: dict(same.texts(ids))))
    assert set(off) == {"embedding", "pooled", "query"}
    assert not any(one.holds for one in off.values())


@pytest.mark.parametrize("verb", ["bench", "logits"])
def test_a_verb_of_text_to_go_on_with_says_what_to_use(
    folders: dict[str, Path], run_here: Run, tmp_path: Path, verb: str
) -> None:
    more = {"bench": (), "logits": ("--tokens", "1", "-o", tmp_path / "x.npy")}[verb]
    done = run_here(verb, folders["text"], *more, code=2)
    assert "it has: encode_text): no text; `synapse encode`" in done.err


@pytest.mark.reference
@pytest.mark.parametrize("name", ["clip", "clip legacy gelu", "clip text", "clip text projected"])
def test_transformers_agrees(make_tower_of: MakeTower, run_here: Run, name: str) -> None:
    folder = make_tower_of(name).folder
    done = run_here("verify", folder, "--against", "transformers", "--json")
    found = outputs_of(done.out)
    assert all(found.values())
    texts = {"text embedding", "text query", "text pooled"}
    if name == "clip text":
        assert set(found) == {"text pooled"}
    elif name == "clip text projected":
        assert set(found) == {"text embedding"}
    else:
        assert set(found) == {"embedding", "pooled", "last_hidden_state"} | texts
