"""A busy neighbour: a process that takes what it is given of one core, and ends with its parent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# It ends when its input does: also where whoever began it was killed.
LOOP = """
import os, signal, sys, threading
signal.signal(signal.SIGINT, signal.SIG_DFL)
threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()
print(flush=True)
while True:
    pass
"""


@contextmanager
def neighbour() -> Iterator[int]:
    """Keep one running, and yield its process id."""
    command = [sys.executable, "-c", LOOP]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            yield process.pid
        finally:
            process.kill()
