"""CLIP's texts, from words to queries, with OpenAI's list of merges."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synapse_core.api import load
from synapse_core.cli import frame
from synapse_core.errors import UsageError
from synapse_core.generate import assets_of_clip, read_clip_merges

from .tower_cases import CLIP_IMAGE, CLIP_TEXT, TOLERANCE
from .tower_files import CLIP, random_tensors, write_checkpoint

VOCABULARY, END = 49408, 49407
TEXTS = [
    "a photo of a cat",
    "A  Photo of\na CAT!",
    "",
    "two dogs, <|endoftext|> and no cat",
    "naïve",
]
Folder = Callable[[int], Path]


@pytest.fixture(scope="session")
def merges(shared_data: Path) -> list[str]:
    return read_clip_merges(shared_data / "tokenizers" / "clip" / "bpe_simple_vocab_16e6.txt.gz")


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, merges: list[str]) -> Folder:
    """`folder(end)`: a small CLIP whose config says that this id is the end."""
    from synapse_model_vision import clip

    text = {**CLIP_TEXT, "vocab_size": VOCABULARY, "eos_token_id": END, "bos_token_id": END - 1}
    tensors = random_tensors(clip.FAMILY, {**CLIP, "text_config": text})
    files = assets_of_clip(merges, "merges")
    made: dict[int, Path] = {}

    def make(end: int) -> Path:
        if end not in made:
            config = {**CLIP, "text_config": {**text, "eos_token_id": end}, "model_type": "clip"}
            made[end] = write_checkpoint(tmp_path_factory.mktemp("clip"), config, tensors)
            for name, content in files.items():
                (made[end] / name).write_text(content)
        return made[end]

    return make


@pytest.mark.reference
@pytest.mark.parametrize("end", [END, 2])
def test_texts_match_a_padded_batch_of_transformers(
    folder: Folder, merges: list[str], end: int
) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CLIPModel.from_pretrained(folder(end), dtype=torch.float32).eval()
    given = _tokenizer(transformers, merges)(TEXTS, padding=True, return_tensors="pt")
    assert len(set(given["attention_mask"].sum(dim=1).tolist())) > 2
    with torch.no_grad():
        made = theirs.text_model(**given)
        embedding = theirs.text_projection(made.pooler_output)
        query = embedding / embedding.norm(dim=-1, keepdim=True) * theirs.logit_scale.exp()
    with load(folder(end), backend="cpu") as model:
        for name, expected in (
            ("pooled", made.pooler_output),
            ("embedding", embedding),
            ("query", query),
        ):
            found = model.encode(texts=TEXTS, output=name)
            error = np.abs(found - expected.numpy()).max() / float(expected.std())
            assert error <= TOLERANCE, (name, error)


def _tokenizer(transformers: Any, merges: list[str]) -> Any:
    """Return transformers' own tokenizer, of the same list."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    marks = [chr(byte) for byte in visible] + [chr(256 + n) for n in range(len(hidden))]
    words = [*marks, *(mark + "</w>" for mark in marks)]
    words += ["".join(merge.split(" ")) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    pairs = [tuple(merge.split(" ")) for merge in merges]
    vocabulary = {word: number for number, word in enumerate(words)}
    return transformers.CLIPTokenizer(vocab=vocabulary, merges=pairs)


def test_a_text_alone_gives_the_same_bits_as_among_others(folder: Folder) -> None:
    with load(folder(END), backend="cpu") as model:
        together = model.encode(texts=TEXTS)
        alone = [model.encode(texts=text) for text in TEXTS]
    assert together.tobytes() == np.concatenate(alone).tobytes()


def test_a_text_ends_at_its_first_end(folder: Folder) -> None:
    cut = [TEXTS[3].partition("<")[0], TEXTS[3]]
    with load(folder(END), backend="numpy") as model:
        one, other = model.encode(texts=cut)
    assert np.array_equal(one, other)


def test_a_text_longer_than_the_positions_is_refused(folder: Folder) -> None:
    most = CLIP_TEXT["max_position_embeddings"]
    with load(folder(END), backend="numpy") as model:
        assert model.encode(texts="cat " * (most - 2)).shape == (1, 20)
        with pytest.raises(UsageError, match=rf"text 0 has {most + 1} tokens.*1 to {most}"):
            model.encode(texts="cat " * (most - 1))


def test_a_tokenizer_that_ends_no_text_is_refused(folder: Folder) -> None:
    with (
        load(folder(40_000), backend="numpy") as model,
        pytest.raises(UsageError, match="text 0 has no end, which is token 40000"),
    ):
        model.encode(texts="a cat")


def test_the_table_of_similarity_is_the_same_from_python_and_from_a_terminal(
    folder: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    side = CLIP_IMAGE["image_size"]
    samples = np.random.default_rng(2).integers(0, 256, (2, side + 9, side, 3), dtype=np.uint8)
    pictures = [tmp_path / f"{number}.png" for number in range(2)]
    for picture, pixels in zip(pictures, samples, strict=True):
        pillow.fromarray(pixels).save(picture)
    program = tmp_path / "clip.syn"
    frame.run(["compile", str(folder(END)), "-o", str(program)])
    asked = [option for text in TEXTS for option in ("--text", text)]
    capsys.readouterr()
    for model in (folder(END), program):
        with load(model, backend="cpu") as loaded:
            table = loaded.similarity(pictures, TEXTS)
        assert table.shape == (2, len(TEXTS))
        given = ["similarity", str(model), *map(str, pictures), *asked, "--json"]
        assert frame.run([*given, "--backend", "cpu"]) == 0
        said = json.loads(capsys.readouterr().out)
        np.testing.assert_allclose(said["logits"], table, rtol=1e-6)
        np.testing.assert_allclose(np.sum(said["shares"], axis=1), 1, rtol=1e-6)
