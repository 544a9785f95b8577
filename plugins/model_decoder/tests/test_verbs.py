"""`verify`, `bench` and `inspect` on every family, from both kinds of file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from synapse_core.authoring import check_distribution
from synapse_core.cli import frame
from synapse_core.plugins import default_host

from .gguf_twins import ARCHITECTURES, Twins

SHORT = ("--ctx", "32")


@pytest.fixture(params=["hf", "gguf"])
def source(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("family", ARCHITECTURES)
@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_every_verb_that_measures_works_on_every_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str, source: str, backend: str
) -> None:
    need(backend)
    twins = Twins(family=family)
    place = twins.hf(tmp_path / "m") if source == "hf" else twins.gguf(tmp_path / "m.gguf")
    read_by = "llama" if (family, source) == ("mistral", "gguf") else family
    measure(capsys, backend, [str(place)], read_by)


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_they_work_on_the_model_that_ships_where_none_is_named(
    capsys: pytest.CaptureFixture[str], backend: str
) -> None:
    need(backend)
    measure(capsys, backend, [], "qwen3")


def need(backend: str) -> None:
    if backend not in default_host().names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")


def measure(
    capsys: pytest.CaptureFixture[str], backend: str, model: list[str], family: str
) -> None:
    """Run the verbs and check that each has something to say."""

    def report(verb: str, *arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        code = frame.run([verb, *model, *arguments, *SHORT, "--json"])
        out, err = capsys.readouterr()
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found

    on = ("--backend", backend)
    assert report("verify", *on, "--tokens", "3,1,4,1,5,9,2")["holds"]
    measured = report("bench", *on, "--prompt-tokens", "8", "-n", "4", "--repeats", "2")
    assert measured["prefill_tok_s"] > 0
    assert measured["decode_tok_s"] > 0
    assert report("inspect")["family"] == family


def test_every_contract_judges_every_family():
    found = list(check_distribution("synapse-model-decoder", default_host()))
    assert {finding.name for finding in found} == {"llama", "mistral", *ARCHITECTURES, "qwen3"}
    assert [finding for finding in found if finding.state != "ok"] == []
