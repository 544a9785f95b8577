"""Fuzzing chat templates: whatever the source, a text or a refusal in one line, within its bounds.

Sources are grown from a grammar or spliced out of good and hostile ones. Each is rendered in a fork
by the worker's own code, one in forty the whole way from a model's file. SYNAPSE_FUZZ_SECONDS (60)
says how long, SYNAPSE_FUZZ_SEED (0) where it begins.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

# What the worker imports is imported here, once for all forks.
import jinja2.ext
import jinja2.sandbox  # noqa: F401
import pytest

from synapse_core.errors import FileError
from synapse_core.generate import ChatTemplate
from synapse_core.generate.chat import MOST_OUTPUT, limits
from synapse_core.generate.template_worker import answer
from tests.generate.hostile_templates import GOOD, bombs
from tests.generate.template_grammar import source

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.skipif(sys.platform != "linux", reason="bounds of a process are Linux's here"),
]
SECONDS = float(os.environ.get("SYNAPSE_FUZZ_SECONDS", "60"))
SEED = int(os.environ.get("SYNAPSE_FUZZ_SEED", "0"))
# The promise for a file from anyone; the worker's own bound is half of it.
MOST_CPU_S = 1.0
MOST_MEMORY_BYTES = 256 << 20
MESSAGES = [{"role": "user", "content": "Hi <b> é🚀"}, {"role": "assistant", "content": "x" * 99}]


def rendered_in_a_fork(text: str) -> tuple[dict[str, object] | None, int, float, int]:
    """Return the worker's answer (None where the system ended it), status, CPU, peak of memory."""
    variables = {"messages": MESSAGES, "add_generation_prompt": True, "bos_token": "<s>"}
    request = {"source": text, "variables": variables, "limits": limits(MESSAGES)}
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 7
        try:
            os.close(reading)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            with open(writing, "w") as pipe:
                json.dump(answer(request), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read()
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    found = json.loads(said) if code == 0 else None
    return found, code, used.ru_utime + used.ru_stime, used.ru_maxrss << 10


def through_a_file(text: str, number: int) -> None:
    """Render as `synapse chat` does, from each of the files that a template may stand in."""
    from synapse_core.generate.gguf_vocabulary import assets_of_gguf
    from tests.generate.hostile_tokenizers import gguf

    config = json.dumps({"chat_template": text, "bos_token": "<s>"})
    files = (
        {"tokenizer_config.json": config},
        {"chat_template.jinja": text},
        assets_of_gguf(gguf() | {"tokenizer.chat_template": text}, "m.gguf"),
    )[number % 3]
    try:
        ChatTemplate.of(files, "m").render(MESSAGES)
    except FileError as error:
        refusal = error
    else:
        return
    assert refusal.field
    assert str(refusal).isprintable()
    assert len(str(refusal)) < 1000


def test_any_template_is_rendered_or_refused_within_its_bounds(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    known = [text.replace("{canary}", str(canary)) for text in (*bombs().values(), *GOOD.values())]
    base = rendered_in_a_fork("x")[3]
    ways: Counter[str] = Counter()
    end, number = time.monotonic() + SECONDS, SEED
    while time.monotonic() < end:
        text = source(random.Random(number), known)
        (tmp_path / "last.jinja").write_bytes(text.encode("utf-8", "surrogatepass"))
        found, status, cpu_s, peak = rendered_in_a_fork(text)
        assert cpu_s < MOST_CPU_S, number
        assert peak - base < MOST_MEMORY_BYTES, number
        if found is None:
            # 7 is no memory for the answer itself
            assert status in (7, -signal.SIGPROF, -signal.SIGSEGV), (number, status)
            ways[f"status {status}"] += 1
        elif "text" in found:
            assert len(str(found["text"])) <= MOST_OUTPUT + 2 * 200
            ways["text"] += 1
        else:
            line = str(found["error"])
            assert line, number
            assert line.isprintable(), (number, line)
            assert len(line) < 700, number
            ways[line.split(":")[0]] += 1
        if number % 40 == 0:
            through_a_file(text, number // 40)
        number += 1
    assert not canary.exists()
    print(json.dumps({"templates": number - SEED, **dict(ways.most_common(12))}))
    assert ways["text"] > (number - SEED) / 50, "the grammar hardly makes a template that renders"
    assert len(ways) > 5
