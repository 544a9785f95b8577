"""What a long text takes of a model whose memory does not grow: time of a token, and memory.

    python benchmarks/long_text.py FILE.gguf --length 1024 --length 65536

A text of each length goes in by calls of 512 tokens, each length in a fresh process. Linux: memory
is VmHWM, after the first call and at the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

LENGTHS = (1024, 4096, 16384, 65536)
CHILD = r"""
import json, statistics, sys, time
from pathlib import Path
import synapse_core
from synapse_core.api.memory import estimate

CALL, STEPS = 512, 16

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

file, length, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
model = synapse_core.load(
    file, backend="cpu", threads=threads, context=length + STEPS, rows=CALL, output_rows=1
)
decoder = model.decoder
ids = [(7919 * n) % decoder.ports.vocabulary for n in range(length)]
decoder.prefill(ids[:CALL])
first, begun = peak(), time.perf_counter()
decoder.prefill(ids)
spent = time.perf_counter() - begun
last, steps = peak(), []
for n in range(STEPS):
    begun = time.perf_counter()
    decoder.step(5 + n)
    steps.append(time.perf_counter() - begun)
needs = estimate(model.program, model.graph)
print(json.dumps({
    "length": length, "prefill_tok_s": (length - CALL) / spent,
    "token_ms": statistics.median(steps) * 1e3, "peak_mb": last / 1e6,
    "grown_mb": (last - first) / 1e6, "recurrent_mb": needs.recurrent / 1e6,
    "kv_mb": needs.kv / 1e6,
}))
"""


def main() -> None:
    """Measure each length and print a line of JSON for it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--length", type=int, action="append", help=f"default: {LENGTHS}")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    for length in asked.length or LENGTHS:
        command = [sys.executable, "-c", CHILD, str(asked.file), str(length), str(asked.threads)]
        print(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())


if __name__ == "__main__":
    main()
