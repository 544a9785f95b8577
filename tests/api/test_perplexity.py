"""Scoring a text by windows: by definition, and as transformers users do it."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from synapse_core.api import Model, load, perplexity
from synapse_core.api.perplexity import windows
from synapse_core.errors import FileError, SynapseError, UsageError
from synapse_core.generate import SpecialTokens, log_softmax
from synapse_core.plugins import default_host

CTX = 48


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


@pytest.fixture(scope="module")
def text(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "story.txt"
    path.write_text((shared_data / "stories260K" / "greedy_200.txt").read_text().rstrip("\n"))
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[Model]:
    with load(folder, backend="numpy", kv="f32", context=CTX, rows=16, output_rows=8) as loaded:
        yield loaded


def by_hand(model: Model, ids: list[int], ctx: int, stride: int) -> list[float]:
    """Score as Hugging Face's page on perplexity does, token by token."""
    scores, last = [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + ctx, len(ids))
        rows = log_softmax(model.logits(ids[begin:end]))
        for place in range(max(last, begin + 1), end):
            scores.append(-float(rows[place - 1 - begin, ids[place]]))
        last = end
        if end == len(ids):
            break
    return scores


@pytest.mark.parametrize("ctx", [2, 3, 10, 64])
@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 10, 11, 40])
def test_every_token_but_the_first_is_scored_once_from_enough_others(ctx: int, count: int) -> None:
    for stride in range(1, ctx):
        scored = []
        for ids, known in windows(range(count), ctx, stride):
            assert ids == list(range(ids[0], ids[0] + len(ids)))
            assert len(ids) <= ctx
            assert ids[0] == 0 or known >= ctx - stride
            scored += ids[known:]
        assert scored == list(range(1, count))


@pytest.mark.parametrize("stride", [1, 7, 24, 47])
def test_the_score_is_the_windows_by_hand(model: Model, text: Path, stride: int) -> None:
    content = text.read_text()
    if stride == 1:
        text = text.with_name("short.txt")
        content = content[:200]
        text.write_text(content)
    ids = model.tokenizer.encode(content, special=True)
    expected = by_hand(model, ids, CTX, stride)
    found = perplexity(model, text, stride=stride)
    assert found.tokens == len(expected) == len(ids) - 1
    assert found.nats == pytest.approx(np.mean(expected), rel=1e-5)
    assert found.standard_error == pytest.approx(
        np.std(expected) / math.sqrt(len(expected)), rel=1e-4
    )
    assert found.perplexity == pytest.approx(math.exp(found.nats))
    assert found.bytes == len(content.encode())
    assert found.bits_per_byte == pytest.approx(sum(expected) / math.log(2) / found.bytes, rel=1e-5)


def test_only_the_rows_that_are_scored_are_made(
    model: Model, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, run = [], model.decoder.session.run

    def counted(function, inputs, rows):
        outputs = run(function, inputs, rows)
        made.append((len(inputs[model.decoder.ports.ids]), len(outputs["logits"])))
        return outputs

    class Counting:
        run = staticmethod(counted)

    monkeypatch.setattr(model.decoder, "session", Counting())
    found = perplexity(model, text, ctx=CTX, stride=8)
    unscored_calls = sum(1 for fed, rows in made if rows == 1 and fed == 16)
    assert found.tokens <= sum(rows for _, rows in made) <= found.tokens + unscored_calls
    assert max(rows for _, rows in made) <= 8


def test_a_shorter_window_fits_into_a_planned_one_and_a_longer_one_is_refused(
    model: Model, text: Path
) -> None:
    found = perplexity(model, text, ctx=20)
    assert (found.ctx, found.stride) == (20, 10)
    assert found.nats > perplexity(model, text).nats
    with pytest.raises(UsageError, match=f"planned for {CTX} tokens"):
        perplexity(model, text, ctx=CTX + 1)


@pytest.mark.parametrize(("ctx", "stride"), [(1, None), (10, 10), (10, 0), (10, -1)])
def test_windows_that_make_no_sense_are_refused(
    model: Model, text: Path, ctx: int, stride: int | None
) -> None:
    with pytest.raises(UsageError, match="must be"):
        perplexity(model, text, ctx=ctx, stride=stride)


def test_a_text_without_a_token_to_score_is_refused(model: Model, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(UsageError, match="none to score"):
        perplexity(model, tmp_path / "empty")
    with pytest.raises(FileError, match="cannot be read"):
        perplexity(model, tmp_path / "nothing")


def test_a_text_without_a_start_token_does_not_count_its_first_tokens_bytes(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = model.tokenizer

    class Startless:
        special = SpecialTokens(bos=None)
        decode = staticmethod(inner.decode)

        def encode(self, text: str, special: bool) -> list[int]:
            return inner.encode(text, special=False)

    path = tmp_path / "text"
    path.write_text("Once upon a time")
    monkeypatch.setattr(model, "_tokenizer", Startless())
    found = perplexity(model, path)
    ids = Startless().encode("Once upon a time", False)
    assert found.tokens == len(ids) - 1
    assert found.bytes == len(" upon a time")


def test_logits_that_are_no_numbers_are_an_error(
    model: Model, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def run(self, function, inputs, rows):
            count = len(inputs[model.decoder.ports.chosen])
            return {"logits": np.full((count, 512), np.nan, dtype=np.float32)}

    monkeypatch.setattr(model.decoder, "session", Broken())
    with pytest.raises(SynapseError, match="not finite"):
        perplexity(model, text)


def test_the_result_so_far_is_told_after_every_window(model: Model, text: Path) -> None:
    told = []
    found = perplexity(model, text, report=told.append)
    assert [so_far.windows for so_far in told] == list(range(1, found.windows + 1))
    assert told[-1].nats == found.nats


def test_backends_agree_on_a_score(folder: Path, text: Path, model: Model) -> None:
    if "cpu" not in default_host().names("backend") and os.environ.get("CI") != "true":
        pytest.skip("backend 'cpu' is not installed")
    with load(folder, backend="cpu", kv="f32", context=CTX) as other:
        assert perplexity(other, text).nats == pytest.approx(perplexity(model, text).nats, abs=1e-4)


@pytest.mark.reference
def test_transformers_gives_the_same_perplexity(folder: Path, text: Path, model: Model) -> None:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.tensor([model.tokenizer.encode(text.read_text(), special=True)])
    total, scored, last = 0.0, 0, 0
    # https://huggingface.co/docs/transformers/perplexity, with sums instead of means of means
    for begin in range(0, ids.shape[1], 24):
        end = min(begin + CTX, ids.shape[1])
        labels = ids[:, begin:end].clone()
        labels[:, : -(end - last)] = -100
        with torch.no_grad():
            loss = theirs(ids[:, begin:end], labels=labels).loss
        count = int((labels[:, 1:] != -100).sum())
        total, scored, last = total + float(loss) * count, scored + count, end
        if end == ids.shape[1]:
            break
    found = perplexity(model, text, stride=24)
    assert found.tokens == scored
    assert found.nats == pytest.approx(total / scored, abs=2e-5)
