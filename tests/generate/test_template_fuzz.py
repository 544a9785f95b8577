"""Fuzzing chat templates: whatever the source, a text or a refusal in one line, within its bounds.

Sources are grown from a grammar that knows every filter, global, test and operator, or spliced out of
real and hostile templates. Each is rendered in a fork by the worker's own code, one in forty through
the whole way of a model's file. SYNAPSE_FUZZ_SECONDS (60) says how long, SYNAPSE_FUZZ_SEED (0) where.
"""

from __future__ import annotations

import json
import os
import random
import re
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
from synapse_core.generate.chat import MEMORY_BYTES, MOST_OUTPUT, limits
from synapse_core.generate.template_worker import answer
from tests.generate.hostile_templates import GOOD, bombs

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

FILTERS = [
    "abs",
    "attr('{w}')",
    "batch({e})",
    "batch({e},{e})",
    "capitalize",
    "center({e})",
    "count",
    "default({e})",
    "dictsort",
    "escape",
    "filesizeformat",
    "first",
    "float",
    "forceescape",
    "format({e})",
    "format({e},{e})",
    "groupby('{w}')",
    "indent({e})",
    "indent({e},true,true)",
    "int",
    "int(base={e})",
    "items",
    "join({e})",
    "last",
    "length",
    "list",
    "lower",
    "map('{f}')",
    "map('{f}',{e})",
    "map(attribute='{w}')",
    "max",
    "min",
    "pprint",
    "random",
    "reject",
    "select",
    "rejectattr('{w}')",
    "selectattr('{w}')",
    "replace({e},{e})",
    "reverse",
    "round({e})",
    "round({e},'floor')",
    "safe",
    "slice({e})",
    "slice({e},{e})",
    "sort",
    "sort(attribute='{w}')",
    "string",
    "striptags",
    "sum",
    "sum(start={e})",
    "title",
    "tojson",
    "tojson(indent={e})",
    "trim",
    "trim({e})",
    "truncate({e})",
    "unique",
    "upper",
    "urlencode",
    "urlize",
    "urlize({e})",
    "wordcount",
    "wordwrap({e})",
    "xmlattr",
]
METHODS = [
    "center({e})",
    "ljust({e},'x')",
    "rjust({e})",
    "zfill({e})",
    "expandtabs({e})",
    "replace({e},{e})",
    "join({e})",
    "split({e})",
    "rsplit()",
    "splitlines()",
    "format({e})",
    "format({e},a={e})",
    "format_map({e})",
    "encode()",
    "count({e})",
    "find({e})",
    "strip({e})",
    "partition({e})",
    "translate({e})",
    "title()",
    "swapcase()",
    "items()",
    "keys()",
    "values()",
    "get({e})",
    "copy()",
    "append({e})",
    "index({e})",
    "bit_length()",
    "to_bytes({e})",
    "hex()",
    "__class__",
    "__init__",
    "__globals__",
    "__mro__",
    "next()",
    "mro()",
    "real",
    "imag",
    "denominator",
    "isprintable()",
]
WORDS = [
    "role",
    "content",
    "real",
    "__class__",
    "__init__",
    "__globals__",
    "0",
    "a",
    "format",
    "upper",
    "nothing",
]
NAMES = [
    "messages",
    "bos_token",
    "m",
    "x",
    "y",
    "ns",
    "loop",
    "self",
    "cycler",
    "joiner",
    "dict",
    "namespace",
    "range",
    "caller",
    "f",
]
LITERALS = [
    "0",
    "1",
    "-1",
    "7",
    "255",
    "65536",
    "10**6",
    "2**31",
    "2**62",
    "10**9",
    "10**18",
    "1.5",
    "1e308",
    "'a'",
    "''",
    "'ab",
    "'",
    "'🚀'",
    "'%9d'",
    "'%*d'",
    "'{:9}'",
    "'{0.a}'",
    "'{0[a]}'",
    "'%999999999d'",
    "'{:999999999}'",
    "'<a>'",
    "'http://a.b/'",
    "[]",
    "{}",
    "()",
    "[1]",
    "[[1]]",
    "{'a':1}",
    "true",
    "none",
    "'a'*99999",
    "'a",
    "'*50000",
    "'<'*65536",
    "range(9)",
    "range(99999)",
    "1048576",
    "4096",
    "1e-9",
]
OPERATORS = [
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "~",
    "==",
    "!=",
    "<",
    ">=",
    "and",
    "or",
    "in",
    "is",
]
TESTS = [
    "defined",
    "none",
    "string",
    "mapping",
    "iterable",
    "sameas(1)",
    "divisibleby(0)",
    "in([1])",
    "number",
    "odd",
]


def expression(rng: random.Random, depth: int) -> str:
    """Return a random expression."""
    if depth <= 0 or rng.random() < 0.15:
        return rng.choice(LITERALS if rng.random() < 0.6 else NAMES)
    inner = expression(rng, depth - 1)
    match rng.randrange(9):
        case 0 | 1 | 2:
            return f"({inner})|{filled(rng, rng.choice(FILTERS), depth)}"
        case 3:
            return f"({inner}).{filled(rng, rng.choice(METHODS), depth)}"
        case 4 | 5:
            operator = rng.choice(OPERATORS)
            other = rng.choice(TESTS) if operator == "is" else expression(rng, depth - 1)
            return f"({inner} {operator} {other})"
        case 6:
            return f"({inner})[{expression(rng, depth - 1)}]"
        case 7:
            name = rng.choice((*NAMES, "raise_exception", "strftime_now"))
            return f"{name}({inner}{rng.choice(('', ', ' + inner, ', a=' + inner))})"
        case _:
            return rng.choice(("[{0}, {0}]", "{{'a': {0}}}", "({0} if {0} else {0})")).format(inner)


def filled(rng: random.Random, form: str, depth: int) -> str:
    """Fill in arguments."""
    form = re.sub("{e}", lambda _: expression(rng, rng.choice((0, depth - 2))), form)
    form = form.replace("{w}", rng.choice(WORDS))
    return form.replace("{f}", rng.choice(FILTERS).partition("(")[0])


def statement(rng: random.Random, depth: int) -> str:
    """Return a random piece of a template."""
    value = expression(rng, rng.randrange(1, 4))
    if depth <= 0:
        return rng.choice((f"{{{{ {value} }}}}", f"{{% set x = {value} %}}"))
    body = "".join(statement(rng, depth - 1) for _ in range(rng.choice((1, 1, 2))))
    grown = rng.choice(("[ns.x, ns.x]", "ns.x ~ ns.x", "ns.x * 9", "ns.x|string", value))
    return rng.choice(
        (
            f"{{{{ {value} }}}}",
            f"{{% set x = {value} %}}{body}",
            f"{{% set ns = namespace(x={value}) %}}{{% for y in range({rng.choice((9, 60, 99999))})"
            f" %}}{{% set ns.x = {grown} %}}{{% endfor %}}{{{{ ns.x }}}}",
            f"{{% for m in {value} %}}{body}{{% else %}}x{{% endfor %}}",
            f"{{% for m in {value} recursive %}}{{{{ loop({value}) }}}}{{% endfor %}}",
            f"{{% macro f(x={value}) %}}{body}{{{{ f(x) }}}}{{% endmacro %}}{{{{ f({value}) }}}}",
            f"{{% if {value} %}}{body}{{% endif %}}",
            f"{{% call(x) f({value}) %}}{body}{{% endcall %}}",
            f"{{% filter {filled(rng, rng.choice(FILTERS), 2)} %}}{body}{{% endfilter %}}",
            f"{{% set x %}}{body}{{% endset %}}{{{{ x * 99 }}}}",
            f"{{% block a %}}{body}{{{{ self.a() }}}}{{% endblock %}}",
            f"{{% generation %}}{body}{{% endgeneration %}}",
        )
    )


def spliced(rng: random.Random, known: list[str]) -> str:
    """Return a known template with pieces of itself and of another exchanged."""
    pieces = re.split(r"(\W)", rng.choice(known)[:20_000])
    other = re.split(r"(\W)", rng.choice(known)[:20_000])
    for _ in range(rng.choice((1, 2, 5))):
        at = rng.randrange(len(pieces))
        begin = rng.randrange(len(other))
        match rng.randrange(4):
            case 0:
                pieces[at : at + 1] = other[begin : begin + rng.randrange(1, 20)]
            case 1:
                del pieces[at : at + rng.randrange(1, 9)]
            case 2:
                pieces[at:at] = pieces[at : at + rng.randrange(1, 20)] * rng.choice((1, 3, 500))
            case _:
                pieces[at] = rng.choice((*LITERALS, *NAMES, "{{", "}}", "{%", "%}", "\0", "\ud800"))
        pieces = pieces or [""]
    return "".join(pieces)


def source(rng: random.Random, known: list[str]) -> str:
    """Return a template to try."""
    if rng.random() < 0.4:
        return spliced(rng, known)
    return "".join(statement(rng, rng.randrange(3)) for _ in range(rng.choice((1, 1, 2, 4))))


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
        assert error.exit_code == 3
        assert error.field
        assert len(str(error).splitlines()) == 1
        assert len(str(error)) < 1000


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
    print(
        json.dumps(
            {"templates": number - SEED, "memory": MEMORY_BYTES, **dict(ways.most_common(12))}
        )
    )
    assert ways["text"] > (number - SEED) / 50, "the grammar hardly makes a template that renders"
    assert len(ways) > 5
