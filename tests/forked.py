"""Runs `synapse` once for every line of a JSON list, each in a fork of a process that has it all.

    python -m tests.forked COMMANDS.json REPORT.json

A fork costs milliseconds where a new interpreter costs half a second, and its use of CPU and
memory is its own. Its input is one line, "hi". The report has for each: code, stderr, cpu_s,
peak_bytes; those of its children are in it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from synapse_core.cli.frame import run

# A child that goes wild must not take the machine along.
MOST_CPU_S = 10
MOST_MEMORY_BYTES = 4 << 30


def forked(arguments: list[str], said: Path) -> dict[str, Any]:
    """Run the command line in a fork; its stderr goes to the file `said`."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
            resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
            os.dup2(os.open(said.with_suffix(".stdin"), os.O_RDONLY), 0)
            errors = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(errors, 2)
            code = run(arguments)
            sys.stdout.flush()
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    return {
        "code": os.waitstatus_to_exitcode(status),
        "stderr": said.read_text(),
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_bytes": used.ru_maxrss * 1024,
    }


def main() -> None:
    """Run all and write the report."""
    commands, report = Path(sys.argv[1]), Path(sys.argv[2])
    # What the verb imports on use is imported here, once.
    import PIL.Image
    import tokenizers  # noqa: F401

    import synapse_core.api.import_pt
    import synapse_core.cli.chat
    import synapse_core.cli.classify
    import synapse_core.cli.encode
    import synapse_core.cli.import_pt
    import synapse_core.cli.inspect
    import synapse_core.cli.run  # noqa: F401
    from synapse_core.plugins import default_host

    PIL.Image.init()  # its decoders
    for name in default_host().names("model"):
        default_host().get("model", name)

    said = report.with_suffix(".stderr")
    said.with_suffix(".stdin").write_text("hi\n")
    report.write_text(json.dumps([forked(line, said) for line in json.loads(commands.read_text())]))


if __name__ == "__main__":
    main()
