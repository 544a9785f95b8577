"""Verbs of images on a ViT: what they print and write, and what they say of bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import synapse_core.api as synapse
from synapse_core.errors import UsageError
from synapse_core.plugins import default_host

from .checkpoints import write
from .conftest import Run

BACKENDS = ("numpy", "cpu")


def need(backend: str) -> None:
    if backend not in default_host().names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")


def test_classify_names_the_likeliest_classes(run_here: Run, vit: Path, pictures: Any) -> None:
    found = json.loads(run_here("classify", vit, *pictures, "--json", "--top", 2).out)
    with synapse.load(vit) as model:
        logits = model.encode(pictures, output="logits")
        labels = model.classify(pictures, top=2)
    assert [image["image"] for image in found["images"]] == [str(p) for p in pictures]
    for row, image, label in zip(logits, found["images"], labels, strict=True):
        assert [t["class"] for t in image["top"]] == np.argsort(-row)[:2].tolist()
        assert image["top"][0]["label"] == ["a cat", "a dog", "none"][int(row.argmax())]
        share = np.exp(row.astype(float)) / np.exp(row.astype(float)).sum()
        assert image["top"][0]["share"] == pytest.approx(share.max())
        assert label[0].logit == pytest.approx(float(row.max()))
    table = run_here("classify", vit, pictures[0]).out
    assert "a cat" in table
    assert "%" in table


@pytest.mark.parametrize("backend", BACKENDS)
def test_encode_writes_what_python_returns(
    run_here: Run, features: Path, pictures: Any, tmp_path: Path, backend: str
) -> None:
    need(backend)
    out = tmp_path / "x.npy"
    for name, shape in {"pooled": (3, 10), "last_hidden_state": (3, 10, 24)}.items():
        asked = ("--output", name, "--batch", 2, "--backend", backend, "--json")
        said = json.loads(run_here("encode", features, *pictures, "-o", out, *asked).out)
        assert (said["output"], said["shape"]) == (name, list(shape))
        with synapse.load(features, backend=backend) as model:
            expected = model.encode(pictures, output=name)
        np.testing.assert_allclose(np.load(out), expected, rtol=1e-5, atol=1e-6)
    natural = json.loads(run_here("encode", features, pictures[0], "-o", out, "--json").out)
    assert natural["output"] == "pooled"


def test_pixels_are_taken_as_they_are(
    run_here: Run, vit: Path, pictures: Any, tmp_path: Path
) -> None:
    with synapse.load(vit) as model:
        rows = np.concatenate(list(model.images.rows(pictures))).reshape(3, 3, 21, 21)
        expected = model.encode(pictures)
    np.save(tmp_path / "in.npy", rows)
    run_here("encode", vit, "--pixels", tmp_path / "in.npy", "-o", tmp_path / "out.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), expected)


def test_batches_of_any_size_have_the_same_bits(vit: Path) -> None:
    need("cpu")
    pixels = np.random.default_rng(2).standard_normal((5, 3, 21, 21), dtype=np.float32)
    made = []
    for images, threads in ((1, 1), (2, 2), (5, 1), (8, 2)):
        with synapse.load(vit, backend="cpu", images=images, threads=threads) as model:
            made.append(model.encode(pixels=pixels, output="last_hidden_state"))
    for other in made[1:]:
        np.testing.assert_array_equal(made[0], other)


def test_a_compiled_model_works_the_same(
    run_here: Run, vit: Path, pictures: Any, tmp_path: Path
) -> None:
    program = tmp_path / "m.syn"
    preprocessor = {"image_processor_type": "ViTImageProcessor", "size": 28, "resample": 3}
    folder = tmp_path / "m"
    folder.mkdir()
    for file in vit.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    run_here("compile", folder, "-o", program, "--batch", 2)
    out = tmp_path / "x.npy"
    for model in (folder, program):
        run_here("encode", model, *pictures, "-o", out, "--output", "last_hidden_state")
        assert np.load(out).shape == (3, 17, 24)  # 28 × 28 as the file's preprocessor makes them
    answers = [run_here("classify", m, *pictures).out for m in (folder, program)]
    assert answers[0] == answers[1]
    for verb in ("verify", "bench", "inspect"):
        extra = ("--repeats", 1) if verb == "bench" else ()
        run_here(verb, program, *extra, "--json")
    said = run_here("classify", program, pictures[0], "--size", 21, code=2).err
    assert "image_size is fixed" in said


@pytest.mark.parametrize("size", ["14", "35x49"])
def test_another_size_is_said_by_an_option(
    run_here: Run, features: Path, pictures: Any, tmp_path: Path, size: str
) -> None:
    out = tmp_path / "x.npy"
    asked = ("--size", size, "--output", "last_hidden_state")
    run_here("encode", features, pictures[0], "-o", out, *asked)
    assert np.load(out).shape == (1, {"14": 5, "35x49": 36}[size], 24)
    done = run_here("verify", features, "--size", size, "--json")
    assert json.loads(done.out)["holds"]


@pytest.mark.parametrize("format", ["int8", "q8_0", "q4_0"])
def test_formats_are_asked_for_and_written(
    run_here: Run, tmp_path: Path, pictures: Any, format: str
) -> None:
    wide = write(tmp_path / "m", "vit", hidden_size=96, intermediate_size=128)
    (tmp_path / "q").mkdir()
    (tmp_path / "q" / "config.json").write_bytes((wide / "config.json").read_bytes())
    run_here("quantize", wide, tmp_path / "q" / "model.safetensors", "--format", format)
    held = json.loads(run_here("inspect", tmp_path / "q", "--json").out)["formats"]
    assert held[format]["weights"] == 14 if format == "int8" else held[format]["weights"] == 13
    found = []
    for model, options in ((wide, ("--format", format)), (tmp_path / "q", ())):
        run_here("encode", model, *pictures, "-o", tmp_path / "x.npy", *options)
        found.append(np.load(tmp_path / "x.npy"))
    np.testing.assert_array_equal(found[0], found[1])
    with synapse.load(wide) as model:
        exact = model.encode(pictures)
    error = np.sqrt(np.square(found[0] - exact).mean()) / exact.std()
    assert 0 < error <= {"int8": 0.05, "q8_0": 0.05, "q4_0": 0.4}[format]


def test_logits_of_pictures_and_of_pixels(
    run_here: Run, vit: Path, pictures: Any, tmp_path: Path
) -> None:
    out = tmp_path / "x.npy"
    run_here("logits", vit, "--image", pictures[0], "--image", pictures[2], "-o", out)
    with synapse.load(vit) as model:
        np.testing.assert_array_equal(np.load(out), model.encode([pictures[0], pictures[2]]))
    np.save(tmp_path / "in.npy", np.zeros((2, 3, 21, 21), np.float32))
    found = json.loads(run_here("logits", vit, "--pixels", tmp_path / "in.npy", "--json").out)
    assert (found["shape"], len(found["positions"])) == ([2, 3], 2)


def test_verify_tells_a_backend_that_differs(run_here: Run, vit: Path) -> None:
    need("cpu")
    found = json.loads(run_here("verify", vit, "--backend", "cpu", "--json").out)
    assert [row["output"] for row in found["outputs"]] == ["logits", "last_hidden_state"]
    said = run_here("verify", vit, "--backend", "cpu", "--tolerance", 0, code=1).err
    assert "the tolerance is 0" in said


def test_bench_measures_one_image_and_a_batch(run_here: Run, vit: Path) -> None:
    found = json.loads(run_here("bench", vit, "--repeats", 1, "--batch", 3, "--json").out)
    assert found["batches"] == [1, 3]
    assert found["encode_1_ms"] > 0
    assert found["encode_3_ms"] > 0
    assert found["image"] == [3, 21, 21]


OF_TEXT = (
    ("run", "-p", "x"),
    ("logits", "--tokens", "1"),
    ("verify", "--tokens", "1"),
    ("similarity", "IMAGE", "--text", "x"),
    ("encode", "--text", "x", "-o", "OUT"),
)


@pytest.mark.parametrize("asked", OF_TEXT, ids=lambda asked: asked[0])
def test_what_needs_text_says_what_the_model_takes(
    run_here: Run, vit: Path, pictures: Any, tmp_path: Path, asked: tuple[str, ...]
) -> None:
    named = {"IMAGE": pictures[0], "OUT": tmp_path / "x.npy"}
    verb, *rest = (named.get(word, word) for word in asked)
    said = run_here(verb, vit, *rest, code=2).err
    assert "images" in said or "texts" in said
    assert not (tmp_path / "x.npy").exists()


def test_a_model_of_text_says_that_it_takes_no_images(
    run_here: Run, pictures: Any, tmp_path: Path
) -> None:
    if "llama" not in default_host().names("model"):
        pytest.skip("synapse-model-decoder is not installed")
    model = default_host().get("model", "qwen3").default_checkpoint()
    said = run_here("classify", model, pictures[0], code=2).err
    assert "takes no images" in said
    assert "takes no images" in run_here("bench", model, "--size", 14, code=2).err


def test_bad_input_is_one_line_and_nothing_is_written(
    run_here: Run, vit: Path, pictures: Any, tmp_path: Path
) -> None:
    out = tmp_path / "x.npy"
    bad = tmp_path / "bad.png"
    bad.write_bytes(pictures[0].read_bytes()[:200])
    wrong = {
        "nan": np.full((1, 3, 21, 21), np.nan, np.float32),
        "channels": np.zeros((1, 1, 21, 21), np.float32),
        "shape": np.zeros((1, 3, 22, 21), np.float32),
    }
    for name, array in wrong.items():
        np.save(tmp_path / f"{name}.npy", array)
    calls = [(pictures[0], bad), (tmp_path / "none.png",)]
    calls += [("--pixels", tmp_path / f"{name}.npy") for name in wrong]
    for call in calls:
        said = run_here("encode", vit, *call, "-o", out, "--batch", 1, code=3).err
        lines = [line for line in said.splitlines() if not line.startswith("backend: ")]
        assert len(lines) == 1
        assert str(call[-1]) in lines[0]
        assert not out.exists()


@pytest.mark.parametrize("size", ["20", "0", "-3", "21x", "x21", "9999999", "21x20", "abc"])
def test_a_size_that_does_not_fit_is_told(
    run_here: Run, vit: Path, pictures: Any, size: str
) -> None:
    said = run_here("classify", vit, pictures[0], f"--size={size}", code=2).err
    assert "multiple of the patch" in said or "--size" in said


def test_two_kinds_of_input_exclude_each_other(run_here: Run, vit: Path, pictures: Any) -> None:
    asked = ("encode", vit, pictures[0], "--text", "x", "-o", "x.npy")
    assert "give one of" in run_here(*asked, code=2).err
    assert "found nothing" in run_here("classify", vit, code=2).err


def test_python_takes_paths_samples_and_whatever_yields_them(vit: Path, pictures: Any) -> None:
    samples = [np.array(Image.open(path).convert("RGB")) for path in pictures]
    with synapse.load(vit, images=2) as model:
        expected = model.encode(pictures)
        for given in (samples, iter(pictures), [str(path) for path in pictures]):
            np.testing.assert_array_equal(model.encode(given), expected)
        np.testing.assert_array_equal(model.encode(samples[1]), expected[1:2])
        for wrong in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)):
            with pytest.raises(UsageError, match="expected uint8"):
                model.encode(wrong)
        for given in ({}, {"images": pictures, "texts": "x"}):
            with pytest.raises(UsageError, match="one of them"):
                model.encode(**given)


def test_a_plugin_s_preprocessor_of_another_width_is_refused(
    vit: Path, pictures: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Narrow:
        cols = 2

    with synapse.load(vit) as model:
        monkeypatch.setattr("synapse_core.api.images.preprocessing_of", lambda *_: Narrow())
        with pytest.raises(UsageError, match="makes rows of 2, the model takes 1323"):
            model.encode(pictures)


@pytest.mark.reference
def test_verify_against_transformers(run_here: Run, vit: Path, features: Path) -> None:
    pytest.importorskip("transformers")
    for model, outputs in ((vit, ["logits"]), (features, ["pooled", "last_hidden_state"])):
        asked = ("--against", "transformers", "--backend", "numpy", "--size", "28x14", "--json")
        found = json.loads(run_here("verify", model, *asked).out)
        assert [row["output"] for row in found["outputs"]] == outputs
        assert found["holds"]
    asked = ("--against", "llama.cpp", "--backend", "numpy")
    assert "runs no images" in run_here("verify", vit, *asked, code=2).err
