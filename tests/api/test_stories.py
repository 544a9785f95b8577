"""The real 260K model: text and logits on every backend, from the folder and from a program."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from synapse_core.api import Model, build, load, verify
from synapse_core.errors import SynapseError, UsageError
from synapse_core.generate import Greedy, Penalties, Random
from synapse_core.plugins import default_host
from synapse_core.program import write_program

TOLERANCE = 2e-4
STORY = (
    " upon a time, there was a little boy named Timmy. Timmy loved to play outside with his"
    " friends. One day, Tim and his mom went in the"
)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


@pytest.fixture(scope="module")
def program(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stories") / "stories.syn"
    write_program(build(folder, default_host(), kv="f32", complete=True).program, path)
    return path


@pytest.fixture(params=["numpy", "cpu"], scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    missing = request.param not in default_host().names("backend")
    if missing and os.environ.get("CI") != "true":
        pytest.skip(f"backend {request.param!r} is not installed")
    return request.param


@pytest.fixture(params=["folder", "program"], scope="module")
def model(
    request: pytest.FixtureRequest, backend: str, folder: Path, program: Path
) -> Iterator[Model]:
    if request.param == "folder":
        loaded = load(folder, backend=backend, kv="f32")
    else:
        loaded = load(program, backend=backend)
    with loaded:
        yield loaded


def test_greedy_text_is_the_original_programs(model: Model, shared_data: Path) -> None:
    expected = (shared_data / "stories260K" / "greedy_200.txt").read_text()
    answer = model.generate("", max_tokens=199, sampler=Greedy())
    assert "".join(answer) == expected.rstrip("\n")
    reference = np.load(shared_data / "stories260K" / "hf" / "reference.npz")
    assert [1, *answer.tokens] == reference["greedy_ids"].tolist()


def test_logits_are_the_references(model: Model, folder: Path) -> None:
    reference = np.load(folder / "reference.npz")
    logits = model.logits(reference["input_ids"].tolist())
    assert logits.dtype == np.float32
    error = np.abs(logits - reference["logits"]).max()
    assert error <= TOLERANCE * reference["logits"].std()


def test_stepping_gives_the_logits_of_the_whole(model: Model, folder: Path) -> None:
    reference = np.load(folder / "reference.npz")
    ids = reference["input_ids"].tolist()
    model.decoder.prefill(ids[:5])
    rows = [model.decoder.step(id) for id in ids[5:]]
    error = np.abs(np.stack(rows) - reference["logits"][5:]).max()
    assert error <= TOLERANCE * reference["logits"].std()


def test_a_seed_repeats_a_story(model: Model) -> None:
    def story(seed: int) -> str:
        return "".join(model.generate("Once", max_tokens=24, sampler=Random(0.9, seed=seed)))

    assert story(3) == story(3)
    assert len({story(seed) for seed in range(4)}) > 1


def test_a_seed_tells_one_story_everywhere(model: Model) -> None:
    """The same in numpy and in C, chosen by the op or by the sampler itself."""

    def story() -> str:
        sampler, penalties = Random(0.9, 40, 0.95, 7, 0.01), Penalties(1.2)
        answer = model.generate("Once", max_tokens=40, sampler=sampler, penalties=penalties)
        return "".join(answer)

    assert story() == STORY
    chooser, model.decoder.chooser = model.decoder.chooser, None
    assert chooser is not None
    try:
        assert story() == STORY
    finally:
        model.decoder.chooser = chooser


def test_a_prompt_goes_on_with_its_space(model: Model) -> None:
    answer = model.generate("Once upon", max_tokens=3, sampler=Greedy())
    assert "".join(answer).startswith(" a time")


def test_options_of_a_generation_reach_it(model: Model) -> None:
    whole = "".join(model.generate("Once upon", max_tokens=20, sampler=Greedy()))
    answer = model.generate("Once upon", max_tokens=20, stop="little", logprobs=1)
    assert "".join(answer) == whole[: whole.index("little")]
    assert [found.top[0][0] for found in answer.logprobs] == answer.tokens
    never = model.generate("Once upon", max_tokens=20, repetition_penalty=1e6)
    assert len(set(never.ids())) == 20
    drawn = model.generate("Once upon", max_tokens=20, temperature=2, min_p=1.0, seed=5)
    assert "".join(drawn) == whole
    with pytest.raises(UsageError, match="stop, slide or error"):
        model.generate("Once upon", overflow="wrap")


def test_both_backends_agree(folder: Path, backend: str) -> None:
    with (
        load(folder, backend=backend, kv="f32") as tested,
        load(folder, backend="numpy", kv="f32") as reference,
    ):
        found = verify(tested, reference)
    assert found.holds
    assert found.top1 == 1.0


def test_reencoding_keeps_the_story_close(folder: Path) -> None:
    with load(folder, backend="numpy", format="int8") as model:
        assert {choice.given for choice in model.built.choices} == {"int8"}
        assert "".join(model.generate("", max_tokens=8, sampler=Greedy())) != ""


def test_rows_that_do_not_divide_fall_back_and_say_so(folder: Path) -> None:
    choices = build(folder, default_host(), format="q8_0").choices
    given = {(choice.name, choice.given) for choice in choices}
    assert {name for _, name in given} == {"q8_0", "f16"}


def test_options_that_a_program_has_fixed_are_refused(program: Path) -> None:
    with pytest.raises(UsageError, match="compiled: kv is fixed"):
        load(program, backend="numpy", kv="f16")


def test_a_context_beyond_the_models_is_refused(folder: Path) -> None:
    with pytest.raises(UsageError, match="at most 512"):
        load(folder, backend="numpy", context=100_000)


def test_an_explicit_backend_never_falls_back(folder: Path) -> None:
    with pytest.raises(SynapseError, match="tpu"):
        load(folder, backend="tpu")


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(SynapseError, match="does not exist"):
        load(tmp_path / "nothing", backend="numpy")
    with pytest.raises(SynapseError, match="no installed loader"):
        load(tmp_path, backend="numpy")
