"""Runs `synapse` again and again and kills it at random times; reports what is left each time.

    python -m tests.killed PLAN.json REPORT.json

The plan has `arguments`, `tries`, `seed`, `folder` (what to look at) and `old` (path → path of
the bytes that stand there before each try). A try is a fork of this process, which has imported all
that a verb imports. The first one is let run: its length is what every other one is killed within;
the rest are killed soon after they begin to write.
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

LONGEST_S = 3.0
WRITING_S = 0.2


def attempt(
    arguments: list[str], after_s: float | None = None, writing: Path | None = None
) -> int | None:
    """Run in a fork; return its exit code, None when it was killed.

    It is killed after some time, which begins when the files in the folder `writing` change.
    """
    before = names_in(writing)
    child = os.fork()
    if child == 0:
        code = 99
        try:
            code = run(arguments)
        finally:
            os._exit(code)
    begin, ended, status = time.monotonic(), 0, 0
    began = writing is None
    while after_s is not None and not ended:
        if not began and names_in(writing) != before:
            began, begin = True, time.monotonic()
        if began and time.monotonic() - begin > after_s:
            os.kill(child, signal.SIGKILL)
            break
        time.sleep(0.001)
        ended, status = os.waitpid(child, os.WNOHANG)
    if not ended:
        _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def names_in(folder: Path | None) -> set[str]:
    """Return the files in a folder, at any depth."""
    return {
        os.path.join(place, name)
        for place, _, names in (os.walk(folder) if folder else ())
        for name in names
    }


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
    first = attempt(plan["arguments"])
    length = time.monotonic() - begin
    # A first run that the machine kept waiting says little of the others.
    length = min(length, LONGEST_S)
    found: list[dict[str, Any]] = [{"code": first, "files": listed(folder)}]
    for n in range(plan["tries"]):
        for place, source in plan["old"].items():
            shutil.copyfile(source, place)
        if plan["empty"] and found[-1]["code"] == 0:
            shutil.rmtree(folder)
            folder.mkdir()
        if n % 2:
            code = attempt(plan["arguments"], rng.uniform(0, WRITING_S), folder)
        else:
            code = attempt(plan["arguments"], rng.uniform(0, 1.1 * length))
        found.append({"code": code, "files": listed(folder)})
    for place, source in plan["old"].items():
        shutil.copyfile(source, place)
    found.append({"code": attempt(plan["arguments"]), "files": listed(folder)})
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
