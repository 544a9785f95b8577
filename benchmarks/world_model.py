"""A world model of the published size against its public implementation on PyTorch's CPU.

    python tools/fetch_lewm_reference.py build/lewm
    SYNAPSE_LEWM_REFERENCE=build/lewm python benchmarks/world_model.py build/model --pairs 9

Encoding an image of 224 × 224, one prediction from three latents, a step of a rollout, and 300
plans of five steps: side by side in slots, and one by one. Weights are random. What is compared is
timed in turn, so that a busy machine is busy for both; ratios are medians of pairs, the rest
medians. Needs torch, transformers and einops.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
TESTS = ROOT / "plugins" / "model_lewm" / "tests"
FORMATS = ("f32", "int8", "q8_0", "q4_0")
PLANS, HORIZON, STEPS, ALONE = 300, 5, 20, 8


def main() -> None:
    """Compare, and print a line a format, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the random model goes, once")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--format", action="append", choices=FORMATS)
    parser.add_argument("--json", type=Path, help="write what was measured")
    asked = parser.parse_args()
    peer = open_peer(asked.folder, asked.threads)
    found = {name: measure(asked, name, peer) for name in asked.format or FORMATS}
    for name, figures in found.items():
        print(name, *(f"{key} {value:.3g}" for key, value in figures.items()), sep="  ")
    if asked.json is not None:
        asked.json.write_text(json.dumps({"evidence": "run", "formats": found}, indent=1))


def open_peer(folder: Path, threads: int) -> Any:
    """Return the public model, and write its folder where there is none."""
    sys.path.insert(0, str(TESTS))
    import public
    import torch

    torch.set_num_threads(threads)
    config = json.loads((TESTS / "lewm-pusht.json").read_text())
    model = public.make_model(config)
    if not (folder / "config.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        public.save(model, config, folder)
    return model


def measure(asked: argparse.Namespace, format: str, peer: Any) -> dict[str, float]:
    """Return milliseconds and ratios of one format."""
    import torch
    from synapse_model_lewm.world_model import WorldModel

    rng = np.random.default_rng(1)
    pixels = rng.standard_normal((1, 3, 224, 224)).astype(np.float32)
    latents = rng.standard_normal((3, 192)).astype(np.float32)
    actions = rng.standard_normal((PLANS, STEPS + 2, 10)).astype(np.float32)
    options = {"threads": asked.threads, "format": None if format == "f32" else format}
    seen = {"pixels": torch.from_numpy(pixels)[None]}
    window = torch.from_numpy(latents)[None], torch.from_numpy(actions[:1, :3])

    def imagine() -> None:
        start = {"pixels": seen["pixels"][:, None], "emb": window[0][:, None]}
        given = torch.from_numpy(actions[None, :1])
        peer.rollout({**start, "pixels": torch.zeros(1, 1, 3, 1, 1, 1)}, given)

    alone, many = (
        WorldModel.open(asked.folder, slots=n, backend="cpu", **options) for n in (1, PLANS)
    )
    plans = actions[:, :HORIZON]
    with alone, many, torch.no_grad():
        encode = in_turn(
            asked.pairs, lambda: alone.encode_pixels(pixels), lambda: peer.encode(dict(seen))
        )
        predict = in_turn(
            asked.pairs,
            lambda: alone.predict(latents, actions[0, :3]),
            lambda: peer.predict(window[0], peer.action_encoder(window[1])),
        )
        roll = in_turn(asked.pairs, lambda: alone.rollout(latents, actions[0]), imagine)
        side_by_side = in_turn(
            max(3, asked.pairs // 3),
            lambda: many.rollout(latents[:1], plans),
            lambda: [alone.rollout(latents[:1], plan) for plan in plans[:ALONE]],
        )
    return {
        "encode_ms": encode[0],
        "encode_ratio": encode[2],
        "predict_ms": predict[0],
        "predict_ratio": predict[2],
        "step_ms": roll[0] / STEPS,
        "step_ratio": roll[2],
        "plan_ms": side_by_side[0] / PLANS,
        "plans_ratio": side_by_side[2] * PLANS / ALONE,
    }


def in_turn(
    pairs: int, ours: Callable[[], object], theirs: Callable[[], object]
) -> tuple[float, float, float]:
    """Return the medians of both in milliseconds, and of theirs / ours pair by pair."""
    ours(), theirs()
    times = [(timed(ours), timed(theirs)) for _ in range(pairs)]
    first, second = zip(*times, strict=True)
    ratio = statistics.median(b / a for a, b in times)
    return statistics.median(first), statistics.median(second), ratio


def timed(call: Callable[[], object]) -> float:
    """Return how many milliseconds a call takes."""
    begun = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - begun)


if __name__ == "__main__":
    main()
