"""A prompt in a file is not computed again, and the text is the same as without the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from synapse_core.api import Model, load
from synapse_core.backends import Backend, NumpyBackend
from synapse_core.errors import FileError, UsageError
from synapse_core.generate import Decoder, Generation, Greedy, PromptCache
from synapse_core.testing import causal_decoder, recurrent_scan, rows

ACME = Path(__file__).parents[1] / "third_party" / "acme"
PROMPT = [1, 40, 7, 99, 23, 5, 61, 17, 80, 3]


@pytest.fixture(params=["numpy", "cpu"])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "cpu":
        pytest.importorskip("synapse_backend_cpu")
    return str(request.param)


@pytest.fixture
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


def tokens_of(model: Model, prompt: list[int], file: Path | None) -> tuple[list[int], int]:
    """Return eight tokens behind a prompt, and how many were computed before them."""
    cache = None if file is None else model.prompt_cache(file)
    before = list(model.decoder.seen)
    answer = model.generate(prompt, max_tokens=8, prompt_cache=cache)
    tokens = list(answer.ids())
    if cache is not None:
        cache.write()
    assert before == [] or cache is not None
    return tokens, answer.prefilled


@pytest.mark.parametrize("kv", ["f32", "f16", "bf16"])
def test_the_second_run_computes_one_token_and_says_the_same(
    folder: Path, tmp_path: Path, backend: str, kv: str
) -> None:
    file, found = tmp_path / "p", []
    for name in (None, file, file):
        with load(folder, backend=backend, kv=kv) as model:
            found.append(tokens_of(model, PROMPT, name))
    assert [count for _, count in found] == [len(PROMPT), len(PROMPT), 1]
    assert found[0][0] == found[1][0] == found[2][0]


def test_of_another_prompt_the_common_prefix_is_used_and_the_file_follows(
    folder: Path, tmp_path: Path, backend: str
) -> None:
    other = [*PROMPT[:6], 11, 12, 13]
    with load(folder, backend=backend) as model:
        tokens_of(model, PROMPT, tmp_path / "p")
    with load(folder, backend=backend) as model:
        tokens, count = tokens_of(model, other, tmp_path / "p")
    assert count == 3
    with load(folder, backend=backend) as model:
        assert tokens_of(model, other, None)[0] == tokens
    with load(folder, backend=backend) as model:
        assert tokens_of(model, other, tmp_path / "p") == (tokens, 1)


def test_a_prompt_that_the_file_holds_leaves_it_as_it_is(
    folder: Path, tmp_path: Path, backend: str
) -> None:
    with load(folder, backend=backend) as model:
        tokens_of(model, PROMPT, tmp_path / "p")
    before = (tmp_path / "p").read_bytes()
    with load(folder, backend=backend) as model:
        cache = model.prompt_cache(tmp_path / "p")
        cache.prepare(PROMPT[:5])
        assert not cache.write()
    assert (tmp_path / "p").read_bytes() == before


def test_another_kv_type_backend_or_model_is_refused_and_the_file_stays(
    folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("synapse_backend_cpu")
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    weights = bytearray((other / "model.safetensors").read_bytes())
    weights[-2:] = np.float32(0.5).tobytes()[:2]
    (other / "model.safetensors").write_bytes(weights)
    with load(folder, backend="cpu") as model:
        tokens_of(model, PROMPT, tmp_path / "p")
    before = (tmp_path / "p").read_bytes()
    for place, options, said in (
        (folder, {"kv": "f32", "backend": "cpu"}, "another model, KV type"),
        (folder, {"format": "q8_0", "backend": "cpu"}, "another model, KV type"),
        (folder, {"backend": "numpy"}, "this is 'numpy truth'"),
        (other, {"backend": "cpu"}, "another model"),
    ):
        with load(place, **options) as model, pytest.raises(FileError, match=said):
            model.prompt_cache(tmp_path / "p")
    assert (tmp_path / "p").read_bytes() == before


def test_a_context_that_is_too_short_for_the_file_is_named(folder: Path, tmp_path: Path) -> None:
    with load(folder, backend="numpy") as model:
        tokens_of(model, PROMPT, tmp_path / "p")
    said = "holds 9 tokens; the context holds 8"
    with load(folder, backend="numpy", context=8) as model, pytest.raises(FileError, match=said):
        model.prompt_cache(tmp_path / "p")
    with load(folder, backend="numpy", context=64) as model:
        assert tokens_of(model, PROMPT, tmp_path / "p")[1] == 1


@pytest.fixture
def opener(backend: str) -> Backend:
    if backend == "numpy":
        return NumpyBackend()
    from synapse_backend_cpu.backend import CpuBackend

    return CpuBackend()


def test_a_slot_with_windows_goes_on_from_the_whole_file_or_begins_anew(
    opener: Backend, tmp_path: Path
) -> None:
    executable = causal_decoder().executable()
    prompt = np.random.default_rng(2).integers(0, 67, 76).tolist()

    def run(ids: list[int], file: Path | None) -> tuple[list[int], int]:
        session = opener.open(executable)
        decoder = Decoder.open(session, executable.program)
        assert not decoder.rewinds
        cache = PromptCache.open(decoder, executable.program, file) if file else None
        answer = Generation(decoder, Greedy(), ids, 5, cache=cache)
        tokens = list(answer.ids())
        if cache is not None:
            cache.write()
        session.close()
        return tokens, answer.prefilled

    plain, count = run(prompt, None)
    assert count == 76
    assert run(prompt, tmp_path / "p") == (plain, 76)
    assert run(prompt, tmp_path / "p") == (plain, 1)
    longer = [*prompt, 3, 4, 5]
    assert run(longer, tmp_path / "p") == (run(longer, None)[0], 4)
    assert run(prompt, tmp_path / "p") == (plain, 76)


def test_a_recurrent_state_is_saved_whole_and_only_whole(
    opener: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ACME))
    from synapse_acme.scan import SCAN

    executable = recurrent_scan(SCAN).executable()
    x = np.random.default_rng(3).standard_normal((9, 20), np.float32)
    first, second = opener.open(executable), opener.open(executable)

    def feed(session: object, slot: int, begin: int, end: int) -> bytes:
        inputs, table = {"x": x[begin:end]}, {"tokens": rows((slot, begin, end - begin))}
        return session.run("forward", inputs, table)["y"].tobytes()  # type: ignore[attr-defined]

    feed(first, 0, 0, 6)
    feed(second, 0, 0, 4)
    with pytest.raises(UsageError, match="cannot go back to 5: save all"):
        first.save_state(0, 5)
    with pytest.raises(UsageError, match="has seen 6 positions; 7 cannot be saved"):
        first.save_state(0, 7)
    saved = first.save_state(0, 6)
    with pytest.raises(UsageError, match="slot 2"):
        second.load_state(2, 6, saved)
    second.load_state(1, 6, saved)
    assert feed(second, 1, 6, 9) == feed(first, 0, 6, 9)
    first.close()
    second.close()
