"""What choosing a token of 151,936 takes, and as a share of making its logits.

    python benchmarks/sampling.py [FILE.gguf] [--threads 2]

Random logits and peaked ones, as a trained model's are: most of the mass on few tokens. By the op
on backend cpu, everything that a call does counted, and by its numpy reference.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from synapse_backend_cpu.backend import CpuBackend

from synapse_core.api import load
from synapse_core.generate import Charges, Chooser, Greedy, Penalties, Random

VOCABULARY, SEEN = 151_936, 500
ROUNDS = 50


def main() -> None:
    """Print microseconds a token for each way to choose."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", help="whose decoding is the measure")
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    step_us = _step_us(asked.file, asked.threads) if asked.file else 0.0
    if step_us:
        print(f"a decode step: {step_us:.0f} us")
    rng = np.random.default_rng(1)
    flat = rng.normal(scale=1, size=VOCABULARY).astype(np.float32)
    peaked = rng.normal(scale=2.5, size=VOCABULARY).astype(np.float32)
    peaked[rng.integers(0, VOCABULARY, 12)] += np.linspace(8, 16, 12, dtype=np.float32)
    seen = rng.integers(0, VOCABULARY, SEEN).tolist()
    none, some = Penalties(), Penalties(1.1, 0, 0.1, 0.1, {7: -1.0})
    ways: dict[str, tuple[Greedy | Random, Penalties]] = {
        "greedy": (Greedy(), none),
        "greedy with penalties and a bias": (Greedy(), some),
        "temperature 0.8, k 40, p 0.95 (the default)": (Random(0.8, 40, 0.95, 1), none),
        "the same with min-p 0.05, penalties and a bias": (Random(0.8, 40, 0.95, 1, 0.05), some),
        "temperature 0.8, p 0.95, min-p 0.05": (Random(0.8, 0, 0.95, 1, 0.05), none),
        "temperature 0.8": (Random(0.8, seed=1), none),
    }
    chooser = Chooser.open(CpuBackend(), VOCABULARY)
    for name, (sampler, penalties) in ways.items():
        for kind, logits in (("peaked", peaked), ("random", flat)):
            charges = Charges(penalties)
            spent = _microseconds(partial(chooser.choose, sampler, logits, charges, seen))
            plain = _microseconds(partial(_choose, sampler, penalties, logits, seen))
            share = f", {spent / step_us:.1%} of a step" if step_us else ""
            print(f"{name}, {kind} logits: {spent:.0f} us{share}; numpy {plain:.0f} us")


def _choose(
    sampler: Greedy | Random, penalties: Penalties, logits: np.ndarray, seen: list[int]
) -> int:
    return sampler.choose(penalties.apply(logits, seen))


def _microseconds(run: Callable[[], object]) -> float:
    spent = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        run()
        spent.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(spent)


def _step_us(file: Path, threads: int) -> float:
    with load(file, backend="cpu", threads=threads, context=256, output_rows=1) as model:
        model.decoder.prefill([1])
        ids = iter(range(2, 2 + ROUNDS))
        return _microseconds(lambda: model.decoder.step(next(ids)))


if __name__ == "__main__":
    main()
