"""Fuzzing quantize: whatever a folder's files say, it is written or refused; nothing else.

A model of safetensors becomes GGUF, a GGUF file's folder is opened. SYNAPSE_FUZZ_SECONDS (60) is
divided among the files; the seeds are fixed.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from synapse_core.api import build, requantize
from synapse_core.errors import SynapseError
from synapse_core.generate import load_tokenizer, settings_of
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host
from tests.loaders.test_folder_fuzz import SECONDS, changed_json, written

pytestmark = pytest.mark.fuzz

# What one folder may take: the machine may be busy, so only CPU counts.
MOST_CPU_S = 2.0
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")


@pytest.mark.parametrize("name", FILES)
def test_a_changed_folder_becomes_gguf_or_is_refused(tmp_path: Path, name: str) -> None:
    folder, output = written(tmp_path / "m"), tmp_path / "o.gguf"
    sound = (folder / name).read_bytes()
    done: set[str] = set()
    seed, end = 0, time.monotonic() + SECONDS / 8
    while time.monotonic() < end or seed < 50:
        (folder / name).write_bytes(changed_json(random.Random(seed), sound))
        seed, begun = seed + 1, time.process_time()
        try:
            requantize(folder, output, default_host(), format="f16")
        except SynapseError:
            done.add("refused")
            assert not output.exists(), seed
        else:
            done.add(str(GGUF.open(output).metadata["tokenizer.ggml.model"]))
            output.unlink()
        assert time.process_time() - begun < MOST_CPU_S, seed
    # A tokenizer that GGUF cannot say is left out.
    assert done == ({"gpt2", "refused"} if name == "config.json" else {"gpt2", "none"})


@pytest.mark.parametrize("name", FILES)
def test_a_changed_folder_of_gguf_s_keys_is_opened_or_refused(tmp_path: Path, name: str) -> None:
    requantize(written(tmp_path / "m"), tmp_path / "m.gguf", default_host(), format="f32")
    folder = tmp_path / "o"
    requantize(tmp_path / "m.gguf", folder, default_host(), format="int8")
    sound = (folder / name).read_bytes()
    done, seed, end = {"opened": 0, "refused": 0}, 0, time.monotonic() + SECONDS / 8
    while time.monotonic() < end or seed < 20:
        (folder / name).write_bytes(changed_json(random.Random(seed), sound))
        seed, begun = seed + 1, time.process_time()
        try:
            built = build(folder, default_host())
            settings_of(built.assets)
            load_tokenizer(built.assets)
            done["opened"] += 1
        except SynapseError:
            done["refused"] += 1
        assert time.process_time() - begun < MOST_CPU_S, seed
    assert min(done.values()) > 0, done
