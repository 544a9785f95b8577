"""The verbs that make text, run as a user does: in a process, with pipes and Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-c", "from synapse_core.cli import main; main()"]
# Answers with the conversation's last words; no model was trained on it, any will do.
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "stories260K" / "hf"


@pytest.fixture(scope="module")
def chatty(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("chatty")
    for name in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(folder / name, place / name)
    (place / "chat_template.jinja").write_text(TEMPLATE)
    return place


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        text=True,
        encoding="utf-8",
        preexec_fn=hear_ctrl_c if os.name == "posix" else None,
        **options,
    )


def hear_ctrl_c() -> None:
    """Take Ctrl-C as at a terminal: what runs in the background is started to ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def synapse() -> Run:
    def run(*arguments: object, input: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        process = start(*arguments)
        out, err = process.communicate(input, timeout=120)
        assert process.returncode == code, err
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    return run


def test_run_streams_the_story_and_says_nothing_else_on_stdout(
    synapse: Run, folder: Path, shared_data: Path
) -> None:
    expected = (shared_data / "stories260K" / "greedy_200.txt").read_text().rstrip("\n")
    done = synapse("run", folder, "--greedy", "-n", 199, "--backend", "numpy")
    assert done.stdout == expected + "\n"
    assert done.stderr == ""


def test_a_prompt_comes_from_the_option_or_a_pipe(synapse: Run, folder: Path) -> None:
    common = ("run", folder, "--greedy", "-n", 6, "--backend", "numpy")
    option = synapse(*common, "-p", "Once upon").stdout
    assert synapse(*common, input="Once upon").stdout == option
    assert synapse(*common, "-p", "-", input="Once upon").stdout == option
    assert synapse(*common, "-p", "Once upon", "--echo").stdout == "Once upon" + option
    assert option.startswith(" a time")


def test_auto_says_on_stderr_where_it_runs(synapse: Run, folder: Path) -> None:
    done = synapse("run", folder, "--greedy", "-n", 2, "-v")
    assert done.stderr.startswith("backend: ")
    assert "ended: length" in done.stderr


def test_run_json_is_one_object(synapse: Run, folder: Path) -> None:
    done = synapse("run", folder, "-n", 5, "--seed", 11, "--backend", "numpy", "--json")
    report = json.loads(done.stdout)
    assert report["schema"] == 1
    assert len(report["tokens"]) == 5
    assert (report["reason"], report["seed"]) == ("length", 11)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as SIGINT here")
@pytest.mark.parametrize("backend", ["numpy", "cpu"])
@pytest.mark.parametrize("drawing", [("--greedy",), ("--seed", "5", "--repetition-penalty", "1.2")])
def test_guesses_change_nothing_but_the_time(
    synapse: Run, folder: Path, backend: str, drawing: tuple[str, ...]
) -> None:
    asked = ("run", folder, "-p", "Once upon a time", "-n", 60, "--json", "--backend", backend)
    plain = json.loads(synapse(*asked, *drawing).stdout)
    for guessing in (("--lookup",), ("--draft", folder)):
        found = json.loads(synapse(*asked, *drawing, *guessing).stdout)
        assert found["tokens"] == plain["tokens"]
        assert found["text"] == plain["text"]
        assert found["guesses"]["right"] <= found["guesses"]["made"]
    both = synapse(*asked, "--lookup", "--draft", folder, code=2)
    assert both.stderr.count("\n") == 1
    assert "exclude each other" in both.stderr


def test_a_draft_model_of_another_kind_is_refused(synapse: Run, folder: Path) -> None:
    found = synapse("run", "--draft", folder, "-p", "Otto", "-n", 3, code=2)
    assert "of the draft model is another than the model's" in found.stderr


def test_ctrl_c_keeps_what_was_written_and_leaves_with_130(folder: Path) -> None:
    process = start("run", folder, "--seed", 1, "-n", 100000, "--backend", "numpy")
    begun = process.stdout.read(4)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert begun
    assert rest.endswith("\n")
    assert "Traceback" not in err


def test_a_reader_that_leaves_is_no_error(folder: Path) -> None:
    process = start("run", folder, "--greedy", "-n", 400, "--backend", "numpy")
    process.stdout.read(1)
    process.stdout.close()
    process.stdin.close()
    assert process.wait(timeout=60) == 0
    assert process.stderr.read() == ""


def test_logits_are_written_whole(synapse: Run, folder: Path, tmp_path: Path) -> None:
    reference = np.load(folder / "reference.npz")
    tokens = ",".join(map(str, reference["input_ids"]))
    out = tmp_path / "out.npy"
    synapse("logits", folder, "--tokens", tokens, "--backend", "numpy", "-o", out)
    logits = np.load(out)
    assert logits.dtype == np.float32
    assert np.abs(logits - reference["logits"]).max() <= 2e-4 * reference["logits"].std()
    assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]


def test_logits_without_a_file_show_the_likeliest(synapse: Run, folder: Path) -> None:
    arguments = ("logits", folder, "--tokens", "1,403", "--backend", "numpy")
    report = json.loads(synapse(*arguments, "--json").stdout)
    assert report["shape"] == [2, 512]
    assert [p["token"] for p in report["positions"]] == [1, 403]
    assert report["positions"][0]["top"][0]["id"] == 403
    assert "403: " in synapse(*arguments).stdout


@pytest.mark.parametrize(
    ("tokens", "says"),
    [("1,512", "token 1 is 512"), ("1,x", "'x' is no id"), ("-1", "is no id"), ("", "is no id")],
)
def test_ids_that_cannot_be_are_refused_in_one_line(
    synapse: Run, folder: Path, tokens: str, says: str
) -> None:
    done = synapse("logits", folder, f"--tokens={tokens}", "--backend", "numpy", code=2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_compiled_model_needs_nothing_beside_it(
    synapse: Run, chatty: Path, tmp_path: Path
) -> None:
    program = tmp_path / "model.syn"
    synapse("compile", chatty, "-o", program)
    common = ("--greedy", "-n", 8, "--backend", "numpy")
    assert synapse("run", program, *common).stdout == synapse("run", chatty, *common).stdout
    said = synapse("chat", program, *common, input="Hello\n").stdout
    assert said == synapse("chat", chatty, *common, input="Hello\n").stdout != "\n"
    assert [path.name for path in tmp_path.iterdir()] == ["model.syn"]
    assert "what it was written as" in synapse("verify", program, "--integrity").stdout


def test_a_damaged_segment_is_found_by_its_digest(
    synapse: Run, folder: Path, tmp_path: Path
) -> None:
    program = tmp_path / "model.syn"
    synapse("compile", folder, "-o", program)
    content = bytearray(program.read_bytes())
    content[-5] ^= 1
    program.write_bytes(content)
    assert "damaged" in synapse("verify", program, "--integrity", code=1).stderr


def test_a_failed_compile_leaves_the_old_file(synapse: Run, folder: Path, tmp_path: Path) -> None:
    program = tmp_path / "model.syn"
    program.write_text("old")
    synapse("compile", folder, "-o", program, "--format", "q9", code=2)
    synapse("compile", tmp_path / "nothing", "-o", program, code=3)
    assert program.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["model.syn"]


def test_compile_says_what_fell_back(synapse: Run, folder: Path, tmp_path: Path) -> None:
    done = synapse("compile", folder, "-o", tmp_path / "q.syn", "--format", "q8_0", "--json")
    given = {w["given"] for w in json.loads(done.stdout)["weights"]}
    assert given == {"q8_0", "f16"}
    # Nothing but the weights that the program uses is in the file.
    assert (tmp_path / "q.syn").stat().st_size < 0.4 * (folder / "model.safetensors").stat().st_size


def test_inspect_tells_a_model_from_its_headers(synapse: Run, folder: Path) -> None:
    report = json.loads(synapse("inspect", folder, "--json").stdout)
    assert report["family"] == "llama"
    assert report["parameters"] == 260_032
    assert report["formats"].keys() == {"f32"}
    assert report["functions"]["forward"]["outputs"]["logits"].startswith("outputs × 512")
    memory = report["memory"]
    assert memory["total_bytes"] == sum(n for k, n in memory.items() if k != "total_bytes")
    assert memory["kv_bytes"] == 512 // 64 * report["kv_page_bytes"]
    smaller = json.loads(synapse("inspect", folder, "--json", "--format", "int8").stdout)["memory"]
    assert smaller["weights_bytes"] < memory["weights_bytes"] / 3
    assert "MB" in synapse("inspect", folder, "--memory").stdout


def test_kv_memory_follows_type_and_context(synapse: Run, folder: Path) -> None:
    def kv(*options: object) -> int:
        return json.loads(synapse("inspect", folder, "--json", *options).stdout)["memory"][
            "kv_bytes"
        ]

    assert kv("--kv", "f32") == 2 * kv() == 8 * kv("--ctx", 128)
    # 5 layers of 4 kv heads of 8, k and v, 512 positions of 2 bytes
    assert kv() == 5 * 2 * 4 * 8 * 512 * 2


def test_verify_and_bench_report(synapse: Run, folder: Path) -> None:
    found = json.loads(synapse("verify", folder, "--backend", "numpy", "--json").stdout)
    assert found["holds"]
    arguments = ("--backend", "numpy", "--repeats", 1, "--prompt-tokens", 8, "-n", 4, "--json")
    report = json.loads(synapse("bench", folder, *arguments).stdout)
    assert report["evidence"] == "run"
    for key in ("prefill_tok_s", "decode_tok_s", "load_s", "peak_rss_bytes"):
        assert report[key] > 0


def test_chat_answers_every_line_of_a_pipe(synapse: Run, chatty: Path) -> None:
    common = ("chat", chatty, "--greedy", "-n", 6, "--backend", "numpy")
    both = synapse(*common, input="Hello\n\nAgain\n").stdout
    first = synapse(*common, input="Hello\n").stdout
    assert both.startswith(first)
    assert len(both) > len(first) + 1
    assert synapse(*common, input="Hello\n/exit\nAgain\n").stdout == first
    assert synapse(*common, input="Hello\n/reset\nHello\n").stdout == first * 2
    assert synapse(*common, input="").stdout == ""


def test_chat_drops_the_oldest_exchange_when_the_context_is_full(
    synapse: Run, chatty: Path
) -> None:
    line = "Once upon a time there was a little girl named Lily.\n"
    common = ("chat", chatty, "--greedy", "-n", 8, "--backend", "numpy", "--ctx", 100)
    done = synapse(*common, input=line * 5)
    assert "dropped" in done.stderr


def test_a_model_without_a_template_does_not_chat(synapse: Run, folder: Path) -> None:
    done = synapse("chat", folder, "--backend", "numpy", input="Hi\n", code=2)
    assert "no chat template" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is sent as SIGINT here")
def test_ctrl_c_stops_an_answer_and_at_the_prompt_leaves(chatty: Path) -> None:
    process = start("chat", chatty, "--seed", 1, "-n", 100000, "--backend", "numpy")
    process.stdin.write("Hello\n")
    process.stdin.flush()
    process.stdout.read(8)
    process.send_signal(signal.SIGINT)
    process.stdin.write("/reset\nHello\n")
    process.stdin.flush()
    line = process.stdout.readline()
    process.stdout.read(8)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert line.endswith("\n")
    assert process.returncode == 0, err
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo terminal")
def test_on_a_terminal_ctrl_c_at_the_prompt_leaves_with_130(chatty: Path) -> None:
    process, terminal = start_on_terminal("chat", chatty, "--greedy", "-n", 4, "--backend", "numpy")
    seen = read_until(terminal, "> ")
    os.write(terminal, b"Hello\n")
    seen += read_until(terminal, "> ")
    seen += type_until_it_ends(process, terminal, b"\x03")
    assert process.wait(timeout=60) == 130
    assert "Traceback" not in seen


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo terminal")
def test_on_a_terminal_ctrl_c_stops_the_answer_and_the_next_prompt_comes(chatty: Path) -> None:
    arguments = ("chat", chatty, "--seed", 1, "-n", 100000, "--ctx", 512, "--backend", "numpy")
    process, terminal = start_on_terminal(*arguments)
    read_until(terminal, "> ")
    os.write(terminal, b"Hello\n")
    read_until(terminal, "Hello")
    read_until(terminal, "a")
    os.write(terminal, b"\x03")
    read_until(terminal, "> ")
    type_until_it_ends(process, terminal, b"\x04")
    assert process.wait(timeout=60) == 0


def start_on_terminal(*arguments: object) -> tuple[subprocess.Popen[bytes], int]:
    import pty

    here, there = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=there,
        stdout=there,
        stderr=there,
        preexec_fn=own_terminal,
    )
    os.close(there)
    return process, here


def own_terminal() -> None:
    """Make the pseudo terminal the process's own, so that its Ctrl-C reaches it."""
    import fcntl
    import termios

    hear_ctrl_c()
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def type_until_it_ends(process: subprocess.Popen[bytes], terminal: int, key: bytes) -> str:
    """Press a key, again when it was lost: Python drops a signal between prompt and waiting."""
    seen = ""
    for _ in range(20):
        os.write(terminal, key)
        seen += read_rest(terminal, seconds=1)
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            continue
        return seen
    process.kill()
    raise AssertionError(f"{key!r} did not end it; it wrote {seen!r}")


def read_until(terminal: int, text: str) -> str:
    seen = ""
    while text not in seen:
        piece = read_some(terminal, seconds=60)
        assert piece, f"{text!r} did not come behind {seen!r}"
        seen += piece
    return seen


def read_rest(terminal: int, seconds: float) -> str:
    """Read to the end or a silence; a terminal that nobody reads keeps its process waiting."""
    seen = ""
    while chunk := read_some(terminal, seconds):
        seen += chunk
    return seen


def read_some(terminal: int, seconds: float) -> str:
    """Return what comes next; nothing at the end or after so long a silence."""
    import select

    if not select.select([terminal], [], [], seconds)[0]:
        return ""
    try:
        return os.read(terminal, 1024).decode("utf-8", "replace")
    except OSError:
        return ""  # how Linux says that the other end is closed
