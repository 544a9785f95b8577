"""Renders one chat template, in a process that its parent has bounded; run as a file.

Reads a request as JSON from standard input and writes {"text"} or {"error", "line"} to standard
output. It imports nothing of Synapse: starting it must be quick and what it can reach little.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

MOST_POWER_BITS = 4096
MOST_REPEATED = 1 << 20
MOST_MESSAGE = 500


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    sys.path[:] = request["path"]
    json.dump(answer(request), sys.stdout)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Bound this process for good, then render; the answer is {"text"} or {"error", "line"}."""
    import jinja2

    environment = _environment()
    _bound(request["limits"])
    try:
        return {"text": _render(environment, request)}
    except jinja2.TemplateSyntaxError as error:
        return {"error": f"not a template: {_plain(error.message)}", "line": error.lineno}
    except (MemoryError, RecursionError) as error:
        return {"error": f"stopped: {type(error).__name__}", "line": _line_of(error)}
    except Exception as error:
        message = f"{type(error).__name__}: {_plain(error)}"
        return {"error": message, "line": _line_of(error)}


def _bound(limits: dict[str, Any]) -> None:
    """Set what the process may use from here on, where the system can (not on Windows).

    One call in C (`'x'|center(10**9)`, `10|round(10**9, 'ceil')`) is as long as any loop, so
    that only the system can end it: by a timer whose signal nobody handles.
    """
    try:
        import resource
        import signal
    except ImportError:
        return
    for kind, most in (
        (resource.RLIMIT_AS, _virtual_bytes() + limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        try:
            resource.setrlimit(kind, (most, most))
        except (OSError, ValueError):
            continue  # the parent's wall clock still holds
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, limits["cpu_s"])


def _virtual_bytes() -> int:
    """Return what the process has mapped, 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[0])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _plain(error: object) -> str:
    """Return what an error says as one line of printable characters, not all of it."""
    try:
        text = str(error)[:MOST_MESSAGE]
    except Exception:
        return "no message"
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _render(environment: Any, request: dict[str, Any]) -> str:
    most = int(request["limits"]["output"])
    parts: list[str] = []
    size = 0
    for part in environment.from_string(request["source"]).generate(**request["variables"]):
        size += len(part)
        if size > most:
            raise ValueError(f"writes more than {most} characters")
        parts.append(part)
    return "".join(parts)


def _environment() -> Any:
    """Return the sandbox, with what Hugging Face's templates expect to find in it."""
    from datetime import datetime

    from jinja2 import nodes
    from jinja2.exceptions import SecurityError, TemplateError
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Sandbox(ImmutableSandboxedEnvironment):
        """Refuses powers and repetitions that would make numbers or texts without end."""

        intercepted_binops = frozenset({"*", "**"})

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            if operator == "**":
                for side in (left, right):
                    if not isinstance(side, int | float) or abs(side) > MOST_POWER_BITS:
                        raise SecurityError(f"a power of {type(side).__name__} this large")
            for text, count in ((left, right), (right, left)):
                sized = hasattr(text, "__len__") and isinstance(count, int)
                if sized and len(text) * count > MOST_REPEATED:
                    raise SecurityError(f"repeats a value {count} times")
            return super().call_binop(context, operator, left, right)

    class Generation(Extension):
        """`{% generation %}` marks answers for training; here its body is just written."""

        tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    # transformers' signature; json.dumps would call what a template hands it as `cls`.
    def tojson(
        value: Any,
        ensure_ascii: bool = False,
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        sort_keys: bool = False,
    ) -> str:
        return json.dumps(
            value,
            ensure_ascii=ensure_ascii,
            indent=indent,
            separators=separators,
            sort_keys=sort_keys,
        )

    environment = Sandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    # Filler text for designers; no model's template needs it.
    environment.globals.pop("lipsum")
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _line_of(error: BaseException) -> int | None:
    """Return the template's line in which an error was raised."""
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


if __name__ == "__main__":
    main()
