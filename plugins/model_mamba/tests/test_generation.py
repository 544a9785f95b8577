"""Generation: guesses, answers side by side, prompt caches and verbs, on both families."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synapse_core.api import Model, load
from synapse_core.authoring import check_distribution
from synapse_core.cli import frame
from synapse_core.generate import PromptLookup, Request
from synapse_core.loaders import SAFETENSORS
from synapse_core.plugins import default_host

from . import checkpoints

SLOTS, GUESSES, CONTEXT = 5, 8, 128
BACKENDS = ("numpy", "cpu")


@pytest.fixture(scope="module", params=checkpoints.FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write(tmp_path_factory.mktemp(family) / "m", family, eos_token_id=None)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param not in default_host().names("backend"):
        pytest.skip(f"backend {request.param!r} is not installed")
    return request.param


@pytest.fixture
def model(folder: Path, backend: str) -> Iterator[Model]:
    sizes = {"slots": SLOTS, "output_rows": max(SLOTS, GUESSES + 1), "context": CONTEXT}
    with load(folder, backend=backend, **sizes) as model:
        yield model


def prompt_of(n: int) -> list[int]:
    return np.random.default_rng(n).integers(0, 32, 9 + 5 * n).tolist()


def test_guessing_ahead_changes_no_token(model: Model) -> None:
    repeated = [3, 1, 4, 1, 5, 9, 2, 6] * 4
    for temperature in (0.0, 1.2):
        asked = {"max_tokens": 40, "temperature": temperature, "seed": 3}
        plain = list(model.generate(repeated, **asked).ids())
        generation = model.generate(repeated, guesser=PromptLookup(), **asked)
        assert list(generation.ids()) == plain
        assert generation.ahead is not None
        assert generation.ahead.guessed > generation.ahead.right  # and some were taken back


def test_answers_side_by_side_are_those_of_lone_runs(model: Model) -> None:
    scheduler = model.scheduler()
    requests = [
        scheduler.submit(Request(model.generate(prompt_of(n), max_tokens=12))) for n in range(9)
    ]
    while scheduler.step():
        pass
    scheduler.clear()
    for n, request in enumerate(requests):
        assert request.error is None
        alone = list(model.generate(prompt_of(n), max_tokens=12).ids())
        assert request.generation.tokens == alone


def test_a_prompt_cache_brings_the_memory_back(
    model: Model, folder: Path, backend: str, tmp_path: Path
) -> None:
    prompt, cache = prompt_of(4), model.prompt_cache(tmp_path / "cache")
    list(model.generate(prompt, max_tokens=9, prompt_cache=cache).ids())
    assert cache.write()
    with load(folder, backend=backend, context=CONTEXT, slots=SLOTS) as fresh:
        kept = fresh.prompt_cache(tmp_path / "cache")
        assert fresh.decoder.seen == prompt[:-1]  # that much is there before anything is computed
        longer = [*prompt, 7]
        found = list(fresh.generate(longer, max_tokens=9, prompt_cache=kept).ids())
    assert found == list(model.generate(longer, max_tokens=9).ids())


@pytest.mark.parametrize("format", ["q8_0", "f16"])
def test_what_is_written_in_a_format_is_read_back(
    folder: Path, family: str, backend: str, tmp_path: Path, format: str
) -> None:
    out = tmp_path / "out"
    assert frame.run(["quantize", str(folder), str(out), "--format", format]) == 0
    before, after = SAFETENSORS.open(folder).tensors, SAFETENSORS.open(out).tensors
    assert set(before) == set(after)
    for name, tensor in after.items():
        kept = name.endswith(("A_log", "conv1d.weight", "dt_proj.weight", ".D"))
        if kept:
            assert tensor.raw().tobytes() == before[name].raw().tobytes(), name
    ids = prompt_of(3)
    with load(folder, backend=backend, format=format, context=CONTEXT) as model:
        wanted = model.logits(ids)
    with load(out, backend=backend, context=CONTEXT) as model:
        found = model.logits(ids)
    np.testing.assert_array_equal(found, wanted)


def test_every_verb_that_measures_works(
    folder: Path, family: str, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def report(verb: str, *arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        code = frame.run([verb, str(folder), *arguments, "--ctx", "32", "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    on = ("--backend", backend)
    assert report("verify", *on, "--tokens", "3,1,4,1,5,9,2")["holds"]
    measured = report("bench", *on, "--prompt-tokens", "8", "-n", "4", "--repeats", "2")
    assert measured["decode_tok_s"] > 0
    assert report("inspect")["family"] == family


def test_every_contract_judges_everything() -> None:
    found = list(check_distribution("synapse-model-mamba", default_host()))
    assert {finding.name for finding in found} >= {"mamba", "mamba2", "mamba1", "mamba.ssd_scan"}
    assert [finding for finding in found if finding.state != "ok"] == []
