"""Many answers at once against one at a time, with a common beginning: tokens a second.

`python benchmarks/batching.py MODEL [--requests 16] [--prefix 512] [--tokens 32] [--json FILE]`
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from synapse_core.api import Model, load
from synapse_core.generate import Generation, Request, Scheduler

SUFFIX = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the figures where `--json` says; 1 where ids differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--prefix", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args(arguments)
    count, tokens = asked.requests, asked.tokens
    with load(
        asked.model, slots=count, output_rows=count, threads=asked.threads,
        context=asked.prefix + SUFFIX + tokens,
    ) as model:  # fmt: skip
        rng = np.random.default_rng(1)
        most = model.decoder.ports.vocabulary
        prefix = rng.integers(0, most, asked.prefix).tolist()
        prompts = [[*prefix, *rng.integers(0, most, SUFFIX).tolist()] for _ in range(count)]
        scheduler = model.scheduler()
        lone_s, lone = _alone(model, scheduler, prompts, tokens, is_kept=False)
        kept_s, kept = _alone(model, scheduler, prompts, tokens, is_kept=True)
        together_s, together = _together(model, scheduler, prompts, tokens)
        made = sum(map(len, together))
        figures: dict[str, object] = {
            "equal": lone == kept == together,
            "alone_per_s": made / lone_s,
            "alone_prefix_kept_per_s": made / kept_s,
            "together_per_s": made / together_s,
            "ratio": lone_s / together_s,
            "ratio_prefix_kept": kept_s / together_s,
            "decode_per_s": _decode(model, scheduler, prompts, tokens),
        }
    print(json.dumps(figures, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0 if figures["equal"] else 1


def _alone(
    model: Model, scheduler: Scheduler, prompts: list[list[int]], tokens: int, *, is_kept: bool
) -> tuple[float, list[list[int]]]:
    scheduler.clear()
    begun, made = time.perf_counter(), []
    for prompt in prompts:
        if not is_kept:
            scheduler.clear()
        made.append(list(_generation(model, prompt, tokens).ids()))
    return time.perf_counter() - begun, made


def _together(
    model: Model, scheduler: Scheduler, prompts: list[list[int]], tokens: int
) -> tuple[float, list[list[int]]]:
    scheduler.clear()
    begun = time.perf_counter()
    requests = [scheduler.submit(Request(_generation(model, p, tokens))) for p in prompts]
    while scheduler.step():
        pass
    seconds = time.perf_counter() - begun
    for request in requests:
        if request.error is not None:
            raise request.error
    return seconds, [request.generation.tokens for request in requests]


def _decode(
    model: Model, scheduler: Scheduler, prompts: list[list[int]], tokens: int
) -> dict[int, float]:
    """Return tokens a second by number of slots, prompts read before."""
    rates = {}
    for slots in (n for n in (1, 2, 4, 8, 16) if n <= len(prompts)):
        chosen = prompts[:slots]
        requests = [scheduler.submit(Request(_generation(model, p, tokens))) for p in chosen]
        while any(not request.generation.tokens for request in requests):
            scheduler.step()
        begun = time.perf_counter()
        before = sum(len(request.generation.tokens) for request in requests)
        while scheduler.step():
            pass
        after = sum(len(request.generation.tokens) for request in requests)
        rates[slots] = (after - before) / (time.perf_counter() - begun)
    return rates


def _generation(model: Model, prompt: list[int], tokens: int) -> Generation:
    return model.generate(prompt, max_tokens=tokens)


if __name__ == "__main__":
    sys.exit(main())
