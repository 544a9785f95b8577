"""Runs `synapse` again and again and kills it at random times; reports what is left each time.

    python -m tests.killed PLAN.json REPORT.json

The plan has `arguments`, `tries`, `seed`, `folder` (what to look at) and `old` (path → path of
the bytes that stand there before each try). A try is a fork of this process, which has imported all
that a verb imports. The first one is let run: its length is what the others are killed within.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from synapse_core.cli.frame import run


def attempt(arguments: list[str], after_s: float | None) -> int | None:
    """Run in a fork, killed after some time; return its exit code, None when it was killed."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = run(arguments)
        finally:
            os._exit(code)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def listed(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file in a folder; links are what they lead to."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main() -> None:
    """Carry out the plan."""
    plan: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    folder, rng = Path(plan["folder"]), random.Random(plan["seed"])
    for module in plan["imports"]:
        __import__(module)
    begin = time.monotonic()
    first = attempt(plan["arguments"], None)
    length = time.monotonic() - begin
    found = [{"code": first, "files": listed(folder), "length_s": length}]
    for _ in range(plan["tries"]):
        for place, source in plan["old"].items():
            shutil.copyfile(source, place)
        if plan["empty"] and found[-1]["code"] == 0:
            shutil.rmtree(folder)
            folder.mkdir()
        code = attempt(plan["arguments"], rng.uniform(0, 1.1 * length))
        found.append({"code": code, "files": listed(folder)})
    for place, source in plan["old"].items():
        shutil.copyfile(source, place)
    found.append({"code": attempt(plan["arguments"], None), "files": listed(folder)})
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
