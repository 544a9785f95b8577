"""What a full context takes: memory beside what `estimate` states, and the time of a token.

    python benchmarks/long_context.py FILE.gguf [--context 32768] [--kv f16] [--threads 2]

The context is filled with loaded states, not computed: memory and time do not depend on what they
say. Each KV type in a fresh process. Linux: memory is VmHWM's growth from before the states.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

KV_TYPES = ("f32", "f16", "bf16", "q8_0")
CHILD = r"""
import json, statistics, sys, time
from pathlib import Path
import numpy as np
import synapse_core
from synapse_core.api.memory import estimate

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

file, context, kv, threads, steps = sys.argv[1:]
context, steps = int(context), int(steps)
model = synapse_core.load(
    file, backend="cpu", threads=int(threads), context=context, kv=kv, output_rows=1
)
decoder = model.decoder
decoder.prefill([1, 2, 3])
sizes = [part.nbytes for part in decoder.save(1)]
before, known = peak(), context - steps
parts = [np.broadcast_to(np.uint8(0), size * known) for size in sizes]
decoder.restore([1] * known, parts)
spent = []
for n in range(steps):
    begun = time.perf_counter()
    decoder.step(5 + n)
    spent.append(time.perf_counter() - begun)
print(json.dumps({
    "kv": kv, "stated_mb": estimate(model.program).kv / 1e6, "grown_mb": (peak() - before) / 1e6,
    "token_ms": statistics.median(spent) * 1e3,
}))
"""


def main() -> None:
    """Measure each KV type and print a line of JSON for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--context", type=int, default=32768)
    parser.add_argument("--kv", action="append", choices=KV_TYPES)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help="tokens at the end of the context")
    asked = parser.parse_args()
    for kv in asked.kv or KV_TYPES:
        arguments = [str(asked.file), str(asked.context), kv, str(asked.threads), str(asked.steps)]
        command = [sys.executable, "-c", CHILD, *arguments]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


if __name__ == "__main__":
    main()
