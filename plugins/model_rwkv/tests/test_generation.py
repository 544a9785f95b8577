"""Guessing, batching, prompt caches and compiled files change no token of an RWKV-7."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from synapse_core.api import Model, load
from synapse_core.cli import frame
from synapse_core.generate import Generation, PromptLookup, Request

from . import checkpoints as made

PROMPT = [5, 9, 30, 5, 9, 30, 5, 9]
COUNT = 24


class Known:
    """Guesses the tokens that it was told, and every third of them wrong."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)

    def guess(self, seen: Sequence[int], most: int) -> list[int]:
        ahead = self.tokens[len(seen) : len(seen) + most]
        wrong = made.USUAL.vocabulary - 1
        return [wrong - id if (len(seen) + n) % 3 == 0 else id for n, id in enumerate(ahead)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tensors = made.random_tensors(made.USUAL, 51)
    place = tmp_path_factory.mktemp("generation")
    return made.write_folder(place, tensors, made.config_of(made.USUAL))


@pytest.fixture(scope="module", params=["numpy", "cpu"])
def model(request: pytest.FixtureRequest, folder: Path):
    if request.param == "cpu":
        pytest.importorskip("synapse_backend_cpu")
    with load(folder, backend=request.param, context=128, slots=5, output_rows=8) as model:
        yield model


def drawn(model: Model, n: int, **more: object) -> Generation:
    return model.generate([n + 1, *PROMPT], max_tokens=COUNT, temperature=0.7, seed=n, **more)


@pytest.mark.parametrize("seed", range(3))
def test_guesses_right_and_wrong_change_no_token(model: Model, seed: int) -> None:
    plain = list(drawn(model, seed).ids())
    guesser = Known([seed + 1, *PROMPT, *plain])
    guessed = drawn(model, seed, guesser=guesser)
    assert list(guessed.ids()) == plain
    assert guessed.ahead is not None
    assert 0 < guessed.ahead.right < guessed.ahead.guessed
    assert list(drawn(model, seed, guesser=PromptLookup()).ids()) == plain


def test_four_at_once_are_each_alone(model: Model) -> None:
    alone = [list(drawn(model, n).ids()) for n in range(4)]
    scheduler = model.scheduler(4)
    requests = [scheduler.submit(Request(drawn(model, n))) for n in range(4)]
    while scheduler.step():
        pass
    scheduler.clear()
    assert [request.generation.tokens for request in requests] == alone


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_a_prompt_from_a_file_is_not_computed_again(
    folder: Path, tmp_path: Path, backend: str
) -> None:
    if backend == "cpu":
        pytest.importorskip("synapse_backend_cpu")
    found = []
    for _ in range(2):
        with load(folder, backend=backend, context=128) as model:
            cache = model.prompt_cache(tmp_path / "prompt")
            answer = model.generate(PROMPT, max_tokens=COUNT, prompt_cache=cache)
            found.append(list(answer.ids()))
            cache.write()
            last = answer.prefilled
    assert found[0] == found[1]
    assert last <= 1


def test_a_compiled_and_a_quantised_model_run_by_the_verbs(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("synapse_backend_cpu")
    program, small = tmp_path / "m.syn", tmp_path / "small"
    assert frame.run(["compile", str(folder), "-o", str(program), "--format", "q8_0"]) == 0
    assert frame.run(["quantize", str(folder), str(small), "--format", "q8_0"]) == 0
    found = []
    for number, path in enumerate((program, small)):
        out = str(tmp_path / f"{number}.npy")
        asked = ["logits", str(path), "--tokens", "1,2,3", "--backend", "cpu", "-o", out]
        assert frame.run(asked) == 0
        found.append(np.load(out))
    assert found[0].shape == (3, made.USUAL.vocabulary)
    assert found[0].tobytes() == found[1].tobytes()


def test_memory_is_that_of_the_state_however_long_the_context(folder: Path) -> None:
    sizes = set()
    for context in (64, 4096):
        with load(folder, backend="numpy", context=context) as model:
            sizes.add(int(model.session.page_counts() == []))
            sizes.add(sum(part.size for part in _state(model)))
    width, heads = made.USUAL.width, made.USUAL.head_dim
    assert sizes == {1, 4 * made.USUAL.layers * (2 * width + width * heads)}


def _state(model: Model) -> list:
    list(model.generate(PROMPT, max_tokens=1).ids())
    return model.session.save_state(0, len(PROMPT))
