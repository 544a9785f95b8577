"""A world model of the published size against its public implementation on PyTorch's CPU.

    python tools/fetch_lewm_reference.py build/lewm
    SYNAPSE_LEWM_REFERENCE=build/lewm python benchmarks/world_model.py build/model --pairs 9

Encoding an image of 224 × 224, one prediction from three latents, a step of a rollout, and 300
plans of five steps: side by side in slots, and one by one. Weights are random. Each engine has a
process of its own and waits while the other is timed, until the other's threads have gone to sleep;
a time is the median of some calls in a row, ratios are medians of pairs, the rest medians. Needs
torch, transformers and einops.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "plugins" / "model_lewm" / "tests"
FORMATS = ("f32", "int8", "q8_0", "q4_0")
PLANS, HORIZON, STEPS, ALONE = 300, 5, 20, 8
PEER = "torch"
# Calls in a row of a time, seconds of calls before them, and of rest, in which threads go to sleep.
CALLS, WARM, REST = 5, 0.2, 0.3
# What is timed, and how many of its units a call has.
UNITS = {"encode": 1, "predict": 1, "step": STEPS, "one_by_one": ALONE, "plan": PLANS}
Calls = dict[str, Callable[[], object]]


def main() -> None:
    """Compare, and print a line a format, or write one JSON object; or serve as an engine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the random model goes, once")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--format", action="append", choices=FORMATS)
    parser.add_argument("--json", type=Path, help="write what was measured")
    parser.add_argument("--serve", choices=(PEER, *FORMATS), help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.serve:
        serve(peer(asked) if asked.serve == PEER else ours(asked))
        return
    with Engine(asked, PEER) as other:
        found = {name: measure(asked, name, other) for name in asked.format or FORMATS}
    for name, figures in found.items():
        print(name, *(f"{key} {value:.3g}" for key, value in figures.items()), sep="  ")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"evidence": "run", "formats": found}, indent=1))


class Engine:
    """An engine in a process of its own, which times what it is asked for."""

    def __init__(self, asked: argparse.Namespace, name: str) -> None:
        """Start it; it answers when it has loaded."""
        words = [__file__, str(asked.folder), "--threads", str(asked.threads), "--serve", name]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        environment = {**os.environ, "OMP_NUM_THREADS": str(asked.threads)}
        self.process = subprocess.Popen(
            [sys.executable, *words], text=True, env=environment, **pipes
        )
        self.time("encode")

    def time(self, what: str) -> float:
        """Return the milliseconds of a unit."""
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        time.sleep(REST)
        print(what, file=stdin, flush=True)
        answer = stdout.readline()
        if not answer:
            raise SystemExit("an engine ended; what it said stands above")
        return float(answer) / UNITS[what]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def serve(calls: Calls) -> None:
    """Time each call that a line of stdin names, and print the milliseconds."""
    for line in sys.stdin:
        print(timed(calls[line.strip()]), flush=True)


def timed(call: Callable[[], object]) -> float:
    """Return the median milliseconds of some calls, behind those that wake threads and caches."""
    started, times = time.perf_counter(), []
    call()
    while time.perf_counter() - started < WARM:
        call()
    for _ in range(CALLS):
        begun = time.perf_counter()
        call()
        times.append(1e3 * (time.perf_counter() - begun))
    return statistics.median(times)


def inputs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pixels (1, 3, 224, 224), latents (3, 192) and actions (PLANS, STEPS + 2, 10)."""
    rng = np.random.default_rng(1)
    pixels = rng.standard_normal((1, 3, 224, 224)).astype(np.float32)
    latents = rng.standard_normal((3, 192)).astype(np.float32)
    return pixels, latents, rng.standard_normal((PLANS, STEPS + 2, 10)).astype(np.float32)


def peer(asked: argparse.Namespace) -> Calls:
    """The public model; its folder is written where there is none."""
    sys.path.insert(0, str(TESTS))
    import public
    import torch

    torch.set_num_threads(asked.threads)
    torch.set_grad_enabled(False)
    config = json.loads((TESTS / "lewm-pusht.json").read_text())
    model: Any = public.make_model(config)
    if not (asked.folder / "config.json").exists():
        asked.folder.mkdir(parents=True, exist_ok=True)
        public.save(model, config, asked.folder)
    pixels, latents, actions = (torch.from_numpy(each) for each in inputs())
    begun = {"pixels": torch.zeros(1, 1, 3, 1, 1, 1), "emb": latents[None, None]}
    return {
        "encode": lambda: model.encode({"pixels": pixels[None]}),
        "predict": lambda: model.predict(latents[None], model.action_encoder(actions[:1, :3])),
        "step": lambda: model.rollout(dict(begun), actions[None, :1]),
    }


def ours(asked: argparse.Namespace) -> Calls:
    """Synapse, with one slot and with a slot a plan."""
    from synapse_model_lewm.world_model import WorldModel

    weight_format = None if asked.serve == "f32" else asked.serve
    alone, many = (
        WorldModel.open(
            asked.folder, slots=slots, backend="cpu", threads=asked.threads, format=weight_format
        )
        for slots in (1, PLANS)
    )
    pixels, latents, actions = inputs()
    plans = actions[:, :HORIZON]
    return {
        "encode": lambda: alone.encode_pixels(pixels),
        "predict": lambda: alone.predict(latents, actions[0, :3]),
        "step": lambda: alone.rollout(latents, actions[0]),
        "one_by_one": lambda: [alone.rollout(latents[:1], plan) for plan in plans[:ALONE]],
        "plan": lambda: many.rollout(latents[:1], plans),
    }


def measure(asked: argparse.Namespace, name: str, other: Engine) -> dict[str, float]:
    """Return milliseconds and ratios of one format."""
    figures = {}
    with Engine(asked, name) as engine:
        for what in ("encode", "predict", "step"):
            pairs = [(engine.time(what), other.time(what)) for _ in range(asked.pairs)]
            figures[f"{what}_ms"] = statistics.median(mine for mine, _ in pairs)
            figures |= spread(f"{what}_ratio", (theirs / mine for mine, theirs in pairs))
        pairs = [(engine.time("plan"), engine.time("one_by_one")) for _ in range(asked.pairs)]
        figures["plan_ms"] = statistics.median(mine for mine, _ in pairs)
        figures |= spread("plans_ratio", (single / mine for mine, single in pairs))
    return figures


def spread(name: str, ratios: Iterable[float]) -> dict[str, float]:
    """Return a ratio's median, least and most."""
    found = sorted(ratios)
    median = statistics.median(found)
    return {name: median, f"{name}_least": found[0], f"{name}_most": found[-1]}


if __name__ == "__main__":
    main()
