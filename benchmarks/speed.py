"""One engine in one process: how fast it is on a file, as one JSON object on stdout.

    python benchmarks/speed.py synapse|llama.cpp|torch FILE --threads 2 --prompt 8 --prompt 512

Every figure is the median of the repeats after a warm-up. Prefill asks for the last token's
logits; decoding begins behind one token, or behind a prompt of `--context` tokens. With `--slots N`
Synapse also decodes N sequences side by side, a token of each in one call, in turns with one alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from contextlib import nullcontext
from pathlib import Path

from engines import ENGINES, Engine
from neighbour import neighbour

# The context that is asked for where no prompt needs more.
CONTEXT = 1024
# A prefill this long is done and not measured first, and so many steps of every decoding.
WARM_UP, WARM_STEPS = 8, 2


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=tuple(ENGINES))
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, action="append", default=[])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--context", type=int, action="append", default=[], help="decode behind")
    parser.add_argument("--slots", type=int, default=0, help="decode so many side by side")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flash", action="store_true", help="llama.cpp's flash attention")
    parser.add_argument("--busy", action="store_true", help="beside a process that never waits")
    asked = parser.parse_args()
    if asked.slots and asked.engine != "synapse":
        parser.error(f"--slots is measured with synapse only, not with {asked.engine}")
    with neighbour() if asked.busy else nullcontext():
        print(json.dumps(measure(asked)))


def measure(asked: argparse.Namespace) -> dict[str, float]:
    """Return what the engine reaches.

    Units: load_s seconds; tok_s tokens a second; peak_mb 10^6 bytes, of the whole process.
    """
    behind = asked.context or [1]
    steps = asked.tokens + WARM_STEPS
    # A slot that decodes alone in turns with all of them goes twice as far.
    longest = max([CONTEXT, *asked.prompt, max(behind) + steps * (2 if asked.slots else 1)])
    begun = time.perf_counter()
    engine = ENGINES[asked.engine](
        asked.file, asked.threads, longest, slots=asked.slots or 1, flash=asked.flash
    )
    report = {"load_s": time.perf_counter() - begun}
    # No prompt begins as another did: an engine may keep what it has seen.
    seeds = itertools.count(1)
    engine.prefill(0, tokens(WARM_UP, next(seeds), engine))
    for count in asked.prompt:
        spent = []
        for _ in range(asked.repeats):
            ids = tokens(count, next(seeds), engine)
            begun = time.perf_counter()
            engine.prefill(0, ids)
            spent.append(time.perf_counter() - begun)
        report[f"prefill_{count}_tok_s"] = count / statistics.median(spent)
    for count in behind if asked.tokens else ():
        at = "" if count == 1 else f"_behind_{count}"
        engine.prefill(0, tokens(count, next(seeds), engine))
        alone = [step(engine, [0], n) for n in range(steps)]
        report[f"decode{at}_tok_s"] = 1 / statistics.median(alone[WARM_STEPS:])
        if asked.slots:
            for slot in range(asked.slots):
                engine.prefill(slot, tokens(count, next(seeds), engine))
            turns = [
                (step(engine, [0], n), step(engine, range(asked.slots), n)) for n in range(steps)
            ]
            alone, together = zip(*turns[WARM_STEPS:], strict=True)
            reached = asked.slots / statistics.median(together)
            report[f"decode{at}_{asked.slots}_slots_tok_s"] = reached
            report[f"decode{at}_{asked.slots}_slots_over_one"] = reached * statistics.median(alone)
    return report | peak()


def peak() -> dict[str, float]:
    """Return the process's peak memory, where the system says it: Linux.

    getrusage's begins with that of the process that started this one.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    found = [int(line.split()[1]) for line in lines if line.startswith("VmHWM:")]
    return {"peak_mb": found[0] * 1024 / 1e6} if found else {}


def tokens(count: int, seed: int, engine: Engine) -> list[int]:
    """Return ids; the work does not depend on them."""
    return [(7919 * n + 104729 * seed) % engine.vocabulary for n in range(count)]


def step(engine: Engine, slots: range | list[int], n: int) -> float:
    """Return how long the n-th token of each slot takes, in seconds."""
    ids = tokens(len(slots), n, engine)
    begun = time.perf_counter()
    engine.step(slots, ids)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
