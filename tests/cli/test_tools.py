"""The verbs that measure, and the options of `run`, in this process: faster than a process each."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from .conftest import Run

FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
STORY = "Once upon a time, there was a little girl named Lily."
NUMPY = ("--backend", "numpy")
GREEDY = ("--greedy", *NUMPY)


@pytest.fixture
def synapse(run_here: Run) -> Run:
    return run_here


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    place = tmp_path / "copy"
    place.mkdir()
    for name in FILES:
        shutil.copyfile(folder / name, place / name)
    return place


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "story.txt"
    path.write_text(STORY)
    return path


# run: stop strings


def test_run_prints_nothing_of_a_stop_string_nor_behind_it(synapse: Run, folder: Path) -> None:
    common = ("run", folder, "-n", 15, *GREEDY)
    # " girl named" comes in several pieces.
    assert synapse(*common, "--stop", "girl named").out == "Once upon a time, there was a little \n"
    assert synapse(*common, "--stop", "girl nobody").out == synapse(*common).out


def test_of_several_stop_strings_the_first_to_come_ends(synapse: Run, folder: Path) -> None:
    stops = ("--stop", "little", "--stop", "time", "--stop", "never")
    done = synapse("run", folder, "-n", 40, *stops, *GREEDY, "--json")
    report = json.loads(done.out)
    assert report["text"] == "Once upon a "
    assert (report["reason"], report["stop"]) == ("stop string", "time")


def test_the_models_own_stop_strings_hold_unless_others_are_given(synapse: Run, copy: Path) -> None:
    (copy / "generation_config.json").write_text('{"stop_strings": ["little"]}')
    assert synapse("run", copy, "-n", 12, *GREEDY).out == "Once upon a time, there was a \n"
    assert synapse("run", copy, "-n", 12, *GREEDY, "--stop", "time").out == "Once upon a \n"


def test_an_empty_stop_string_is_refused(synapse: Run, folder: Path) -> None:
    assert "empty" in synapse("run", folder, "--stop", "", *GREEDY, code=2).err


def test_chat_ends_before_a_stop_string_and_remembers_no_more(
    synapse: Run, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    (copy / "chat_template.jinja").write_text(template)

    def answer(*options: object) -> str:
        monkeypatch.setattr(sys, "stdin", io.StringIO("Once upon a time\n"))
        return synapse("chat", copy, "-n", 20, *GREEDY, *options).out

    whole = answer().rstrip("\n")
    stop = whole[15:18]
    assert answer("--stop", stop) == whole[: whole.index(stop)] + "\n"
    (copy / "generation_config.json").write_text(json.dumps({"stop_strings": stop}))
    assert answer() == whole[: whole.index(stop)] + "\n"
    assert answer("--repetition-penalty", 99, "--stop", "no") != whole + "\n"


# run: drawing


def test_a_repetition_penalty_changes_greedy_text_and_a_window_limits_it(
    synapse: Run, folder: Path
) -> None:
    def tokens(*options: object) -> list[int]:
        return json.loads(synapse("run", folder, "-n", 60, *GREEDY, "--json", *options).out)[
            "tokens"
        ]

    plain = tokens()
    assert len(set(plain)) < 60
    assert len(set(tokens("--repetition-penalty", 1e6))) == 60
    windowed = tokens("--repetition-penalty", 1e6, "--repetition-window", 5)
    assert len(set(windowed)) < 60
    for n in range(60):
        assert windowed[n] not in windowed[max(0, n - 5) : n]
    assert tokens("--repetition-penalty", 1) == plain


def test_penalties_and_a_bias_change_greedy_text(synapse: Run, folder: Path) -> None:
    def tokens(*options: object) -> list[int]:
        return json.loads(synapse("run", folder, "-n", 20, *GREEDY, "--json", *options).out)[
            "tokens"
        ]

    plain = tokens()
    for option in ("--frequency-penalty", "--presence-penalty"):
        assert len(set(tokens(option, 1e6))) == 20
        assert tokens(option, 0) == plain
    assert plain[0] not in tokens("--logit-bias", f"{plain[0]}=-inf")
    assert tokens("--logit-bias", "9=1e6", "--logit-bias", "8=1") == [9] * 20


@pytest.mark.parametrize("wrong", ["9", "nine=1", "9=much", "9=nan", "9=inf", "-1=1", "99999999=1"])
def test_a_bias_that_makes_no_sense_is_refused(synapse: Run, folder: Path, wrong: str) -> None:
    done = synapse("run", folder, "-n", 2, *GREEDY, "--logit-bias", wrong, code=2)
    assert "bias" in done.err.splitlines()[-1]


def test_the_models_own_penalty_holds_but_not_for_greedy(synapse: Run, copy: Path) -> None:
    def tokens(*options: object) -> list[int]:
        return json.loads(synapse("run", copy, "-n", 30, *NUMPY, "--json", *options).out)["tokens"]

    plain = tokens("--temperature", 0)
    (copy / "generation_config.json").write_text('{"repetition_penalty": 99.0}')
    assert len(set(tokens("--temperature", 0))) == 30
    assert tokens("--temperature", 0, "--repetition-penalty", 1) == plain
    assert tokens("--greedy") == plain
    assert len(set(tokens("--greedy", "--repetition-penalty", 99))) == 30


def test_min_p_of_one_is_greedy_whatever_the_seed(synapse: Run, copy: Path) -> None:
    greedy = synapse("run", copy, "-n", 20, *GREEDY).out
    common = ("run", copy, "-n", 20, *NUMPY, "--temperature", 2, "--seed", 3)
    assert synapse(*common).out != greedy
    assert synapse(*common, "--min-p", 1).out == greedy
    (copy / "generation_config.json").write_text('{"do_sample": true, "min_p": 1.0}')
    assert synapse(*common).out == greedy
    assert synapse(*common, "--min-p", 0).out != greedy


def test_greedy_takes_no_option_of_drawing(synapse: Run, folder: Path) -> None:
    assert "--greedy" in synapse("run", folder, *GREEDY, "--min-p", 0.1, code=2).err


# run: log-probabilities and overflow


def test_log_probabilities_are_those_of_the_logits(
    synapse: Run, folder: Path, tmp_path: Path
) -> None:
    arguments = ("run", folder, "-n", 8, *GREEDY, "--kv", "f32", "--json", "--logprobs", 3)
    report = json.loads(synapse(*arguments).out)
    ids = [1, *report["tokens"]]
    out = tmp_path / "logits.npy"
    synapse("logits", folder, "--tokens", ",".join(map(str, ids)), "-o", out, *NUMPY)
    rows = np.load(out)[:-1].astype(np.float64)
    chances = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    assert [entry["id"] for entry in report["logprobs"]] == report["tokens"]
    assert "".join(entry["text"] for entry in report["logprobs"]).lstrip() == report["text"]
    for entry, row in zip(report["logprobs"], chances, strict=True):
        assert [one["id"] for one in entry["top"]] == (-row).argsort(kind="stable")[:3].tolist()
        assert entry["logprob"] == pytest.approx(row[entry["id"]], abs=1e-4)
        # A greedy token is the likeliest.
        assert entry["top"][0] == {key: entry[key] for key in ("id", "text", "logprob")}


def test_log_probabilities_are_in_the_report_only(synapse: Run, folder: Path) -> None:
    assert "--json" in synapse("run", folder, *GREEDY, "--logprobs", 3, code=2).err
    plain = json.loads(synapse("run", folder, "-n", 2, *GREEDY, "--json").out)
    assert "logprobs" not in plain


def test_a_full_context_stops_or_fails_as_asked(synapse: Run, folder: Path) -> None:
    common = ("run", folder, "-n", 50, "--ctx", 9, *GREEDY)
    stopped = synapse(*common)
    failed = synapse(*common, "--overflow", "error", code=2)
    assert failed.out == stopped.out == "Once upon a time, there was a little\n"
    assert "the context of 9 tokens is full" in failed.err
    assert failed.err.count("\n") == 1
    assert json.loads(synapse(*common, "--json").out)["reason"] == "context full"
    too_long = ("run", folder, "--ctx", 4, "--overflow", "error", "-p", STORY, *GREEDY)
    assert synapse(*too_long, code=2).out == ""


# perplexity


def test_perplexity_is_one_object_that_states_its_windows(
    synapse: Run, folder: Path, text: Path
) -> None:
    report = json.loads(synapse("perplexity", folder, text, *NUMPY, "--ctx", 10, "--json").out)
    assert (report["ctx"], report["stride"]) == (10, 5)
    assert report["bytes"] == len(STORY)
    (found,) = report["results"]
    assert found["format"] is None
    assert found["perplexity"] == pytest.approx(np.exp(found["nats_per_token"]))
    bits = found["nats_per_token"] * report["tokens"] / np.log(2) / report["bytes"]
    assert found["bits_per_byte"] == pytest.approx(bits)
    # 512 tokens by chance would be 6.2 nats; the model has learnt this text.
    assert 0 < found["nats_per_token"] < 2
    wide = ("perplexity", folder, text, *NUMPY, "--ctx", 10, "--stride", 2, "--json")
    assert json.loads(synapse(*wide).out)["windows"] > report["windows"]


def test_several_formats_are_a_table_against_the_first(
    synapse: Run, folder: Path, text: Path
) -> None:
    formats = ("--format", "f32", "--format", "int8", "--format", "q8_0")
    done = synapse("perplexity", folder, text, *NUMPY, *formats, "--json")
    first, *others = json.loads(done.out)["results"]
    assert (first["format"], first["difference_percent"]) == ("f32", 0.0)
    for other in others:
        ratio = other["perplexity"] / first["perplexity"] - 1
        assert other["difference_percent"] == pytest.approx(100 * ratio, rel=1e-6)
        assert 0 < abs(other["difference_percent"]) < 5
    table = synapse("perplexity", folder, text, *NUMPY, *formats)
    lines = [line.split() for line in table.out.splitlines()]
    assert [line[0] for line in lines] == ["format", "f32", "int8", "q8_0"]
    assert lines[1][1] == f"{first['nats_per_token']:.4f}"
    assert "scored once each" in table.err


def test_a_compiled_model_is_scored_as_its_checkpoint_in_windows_that_fit(
    synapse: Run, folder: Path, text: Path, tmp_path: Path
) -> None:
    program = tmp_path / "model.syn"
    synapse("compile", folder, "-o", program, "--ctx", 32)
    common = (text, *NUMPY, "--ctx", 12, "--json")
    compiled = json.loads(synapse("perplexity", program, *common).out)
    plain = json.loads(synapse("perplexity", folder, *common).out)
    assert compiled["results"] == plain["results"]
    assert "32" in synapse("perplexity", program, text, *NUMPY, "--ctx", 33, code=2).err
    refused = ("perplexity", program, text, *NUMPY, "--format", "int8")
    assert "compiled" in synapse(*refused, code=2).err


def test_what_cannot_be_scored_is_one_line(synapse: Run, folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"fine until \xff")
    empty = tmp_path / "empty"
    empty.touch()
    for arguments, code, says in (
        ((bad,), 3, "at byte 11: not UTF-8"),
        ((tmp_path / "none",), 3, "cannot be read"),
        ((empty,), 2, "none to score"),
        ((bad, "--stride", 0), 2, "stride 0"),
        ((bad, "--ctx", 1), 2, "2 or more"),
    ):
        err = synapse("perplexity", folder, *arguments, *NUMPY, code=code).err
        assert says in err
        assert err.count("\n") == 1


# verify


def plant(copy: Path) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3] *= 1.05
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})


def test_verify_finds_a_planted_row_against_the_original(
    synapse: Run, folder: Path, copy: Path
) -> None:
    common = ("verify", copy, "--original", folder, *NUMPY)
    assert json.loads(synapse(*common, "--json").out)["max_error"] == 0
    plant(copy)
    done = synapse(*common, "--json", code=1)
    report = json.loads(done.out)
    assert not report["holds"]
    assert report["max_error"] > report["tolerance"] == 2e-4
    assert "against numpy: max error" in done.err
    # Against itself the wrong row is as good as any.
    synapse("verify", copy, *NUMPY)


def test_verify_compares_given_ids_or_a_text(synapse: Run, folder: Path, text: Path) -> None:
    def tokens(*options: object) -> int:
        return json.loads(synapse("verify", folder, *NUMPY, "--json", *options).out)["tokens"]

    assert tokens() == 48
    assert tokens("--tokens", "1,403,407") == 3
    assert tokens("--text", text, "--ctx", 10) == 10
    assert 10 < tokens("--text", text) < len(STORY)
    refused = ("verify", folder, *NUMPY, "--text", text, "--tokens", "1")
    assert "exclude" in synapse(*refused, code=2).err
    assert "is 512" in synapse("verify", folder, *NUMPY, "--tokens", "512", code=2).err


@pytest.mark.parametrize("format", ["q8_0", "bf16"])
def test_a_re_encoded_program_is_held_against_its_original_by_rms(
    synapse: Run, folder: Path, tmp_path: Path, format: str
) -> None:
    program = tmp_path / "model.syn"
    synapse("compile", folder, "-o", program, "--format", format, "--kv", "f32")
    report = json.loads(synapse("verify", program, "--original", folder, *NUMPY, "--json").out)
    assert report["measure"] == "rms"
    assert 1e-4 < report["rms_error"] < report["tolerance"] == 0.05
    strict = ("verify", program, "--original", folder, *NUMPY, "--tolerance", 1e-4)
    synapse(*strict, code=1)


@pytest.mark.parametrize("module", ["transformers", "llama.cpp"])
def test_a_reference_that_is_not_installed_is_one_line_and_leaves_with_4(
    synapse: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    for name in ("torch", "transformers", "llama_cpp"):
        monkeypatch.setitem(sys.modules, name, None)
    done = synapse("verify", folder, "--against", module, *NUMPY, code=4)
    assert "pip install" in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""


@pytest.mark.reference
def test_verify_against_transformers_holds_and_finds_a_planted_row(
    synapse: Run, folder: Path, copy: Path
) -> None:
    pytest.importorskip("transformers")
    for backend in ("numpy", "auto"):
        arguments = ("verify", folder, "--against", "transformers", "--backend", backend, "--json")
        report = json.loads(synapse(*arguments).out)
        assert report["holds"]
        assert report["measure"] == "max"
    plant(copy)
    planted = ("verify", copy, "--original", folder, "--against", "transformers", *NUMPY)
    assert "against transformers" in synapse(*planted, code=1).err


# bench


def test_bench_states_sizes_and_spread(synapse: Run, folder: Path) -> None:
    arguments = (*NUMPY, "--repeats", 3, "--prompt-tokens", 8, "-n", 4, "--kv", "f32")
    report = json.loads(synapse("bench", folder, *arguments, "--json").out)
    assert report["parameters"] == 260_032
    assert (report["prompt_tokens"], report["tokens"], report["context"]) == (8, 4, 512)
    # 5 layers of 4 kv heads of 8, k and v, 512 positions of 4 bytes
    assert report["kv_bytes"] == 5 * 2 * 4 * 8 * 512 * 4
    (pages,) = report["kv_pages"]
    assert pages["limit"] * pages["page_bytes"] == report["kv_bytes"]
    assert 0 < pages["used"] == pages["limit"] - pages["free"]
    assert pages["shared"] == 0
    assert report["weights_bytes"] >= 4 * report["parameters"]
    assert len(report["runs"]) == 3
    for key in ("prefill_tok_s", "decode_tok_s", "load_s"):
        values = sorted(run[key] for run in report["runs"])
        assert report["spread"][key] == [values[0], values[2]]
        assert report[key] == values[1] > 0
    out = synapse("bench", folder, *arguments).out
    assert "least" in out
    assert "peak_rss_bytes" in out


def test_bench_measures_what_fits_and_says_so(synapse: Run, folder: Path) -> None:
    arguments = (*NUMPY, "--repeats", 1, "--ctx", 20, "--prompt-tokens", 64, "-n", 9, "--json")
    report = json.loads(synapse("bench", folder, *arguments).out)
    assert (report["prompt_tokens"], report["tokens"]) == (18, 2)
    assert "too short" in synapse("bench", folder, *NUMPY, "--ctx", 2, code=2).err


@pytest.mark.skipif(sys.platform != "linux", reason="what Linux's getrusage remembers")
def test_the_peak_is_this_process_s_not_that_of_the_one_before() -> None:
    look = "from synapse_core.cli.peak import peak_rss_bytes; print(peak_rss_bytes())"
    heavy = f"""
import subprocess, sys
held = bytearray(b"x" * (300 << 20))
subprocess.run([sys.executable, "-c", {look!r}], check=True)
"""
    out = subprocess.run([sys.executable, "-c", heavy], check=True, capture_output=True, text=True)
    assert 1 << 20 < int(out.stdout) < 150 << 20


# graph


def test_graph_is_built_for_the_positions_that_ctx_says(synapse: Run, copy: Path) -> None:
    from synapse_core.api import graph_stages

    plain = synapse("graph", copy).out
    assert synapse("graph", copy, "--ctx", 64).out == plain
    assert "at most 512 positions" in synapse("graph", copy, "--ctx", 513, code=2).err
    assert "must be 1 or more" in synapse("graph", copy, "--ctx", 0, code=2).err
    config = json.loads((copy / "config.json").read_text())
    config["rope_parameters"] |= {"rope_type": "dynamic", "factor": 4.0}
    (copy / "config.json").write_text(json.dumps(config))
    synapse("graph", copy, "--ctx", 2048)
    assert "at most 2048 positions" in synapse("graph", copy, "--ctx", 2049, code=2).err
    near, far = (
        graph_stages(copy, context=context)["built"].weights["rope.inv_freq"].source
        for context in (512, 2048)
    )
    assert near is not None
    assert far is not None
    assert not np.array_equal(near.raw(), far.raw())
