"""Train a small LeWorldModel in the plugin's two worlds.

    python tools/train_lewm.py OUT --steps 6000
    python tools/train_lewm.py OUT --steps 6000 --resume

MODEL_CARD.md beside the shipped weights has the commands they were trained with. Needs
torch==2.13.0. It runs on one thread; the same seed, number of steps and machine give the same
model. OUT gets config.json and model.safetensors in the published names, and training.pt, by
which `--resume` goes on after an interruption and `--from` starts another round.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import click
import numpy as np
import torch
from safetensors.torch import save_file
from synapse_model_lewm.worlds import WORLDS, Search

sys.path.insert(0, str(Path(__file__).parent))

from lewm.measure import latents_of, planning
from lewm.model import Lewm, sigreg
from lewm.policies import batch, windows
from lewm.shape import collapse, fit_places
from lewm.sizes import Sizes

STATE = "training.pt"
# Episodes to look at on the way, none of those that are published (seeds 0 to 49).
TRIAL, TRIAL_SEARCH = range(1000, 1008), Search(samples=100, elites=10, iterations=6)


@attrs.frozen
class Task:
    """What a step is taken on."""

    size: int
    weight: float
    share: float
    span: int
    noise: float
    own: float


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", default=1)
@click.option("--steps", default=6000, help="How many steps to train.")
@click.option("--rate", default=1e-3, help="Highest learning rate.")
@click.option("--hold", default=0.3, help="Share of the steps before the rate falls.")
@click.option("--size", default=128, help="Windows a step.")
@click.option("--weight", default=0.09, help="Weight of SIGReg.")
@click.option("--share", default=0.5, help="Share of windows that are of pushing.")
@click.option("--latent", default=32, help="Width of a latent.")
@click.option("--span", default=3, help="Actions of a window.")
@click.option("--noise", default=0.0, help="Deviation of what is added to seen latents.")
@click.option("--own", default=0.0, help="Weight of the error of going on from own predictions.")
@click.option("--from", "first", type=click.Path(path_type=Path), help="Go on from this model.")
@click.option("--resume", is_flag=True, help="Go on where OUT was interrupted.")
@click.option("--every", default=250, help="Steps from one checkpoint to the next.")
@click.option("--trial", default=1000, help="Steps from one trial of planning to the next.")
def train(
    out: Path,
    seed: int,
    steps: int,
    rate: float,
    hold: float,
    size: int,
    weight: float,
    share: float,
    latent: int,
    span: int,
    noise: float,
    own: float,
    first: Path | None,
    resume: bool,
    every: int,
    trial: int,
) -> None:
    """Train a LeWM and write it to OUT."""
    task = Task(size=size, weight=weight, share=share, span=span, noise=noise, own=own)
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    out.mkdir(parents=True, exist_ok=True)
    model = Lewm(Sizes(latent=latent))
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.95), weight_decay=1e-3)
    begin = 0
    if resume or first:
        state = torch.load((out if resume else first or out) / STATE, weights_only=True)
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        begin = state["step"] if resume else 0
    parameters = sum(weights.numel() for weights in model.parameters())
    print(f"{parameters:,} parameters", flush=True)
    started, losses = time.monotonic(), []
    for step in range(begin, steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * schedule(step, steps, hold)
        losses.append(learn(model, optimiser, [seed, 100, step], task))
        done = step + 1
        if done % every == 0 or done == steps:
            told = {"step": done, "s": round(time.monotonic() - started)}
            told |= dict(
                zip(("mse", "own", "sigreg"), np.mean(losses, axis=0).round(4), strict=True)
            )
            losses = []
            save(model, optimiser, done, out)
            report(model, told, done % trial == 0 or done == steps)


def schedule(step: int, steps: int, hold: float) -> float:
    """Return the share of the highest rate: a short rise, then held, then down as a cosine."""
    rise, rest = min(1.0, (step + 1) / 100), max(0.0, step / steps - hold) / max(1e-9, 1 - hold)
    return rise * (0.02 + 0.98 * (1 + math.cos(math.pi * rest)) / 2)


def learn(
    model: Lewm, optimiser: torch.optim.Optimizer, seed: list[int], task: Task
) -> tuple[float, float, float]:
    """Take a step; return the errors of prediction, seen and own, and SIGReg's figure."""
    draws = np.random.default_rng(seed)
    chance = torch.Generator().manual_seed(seed[0] * 1_000_003 + seed[-1])
    pictures, played = batch(draws, task.size, task.span, model.sizes.image, task.share)
    actions = torch.from_numpy(played)
    latents = model.encode(torch.from_numpy(pictures).flatten(0, 1))
    latents = latents.unflatten(0, (-1, task.span + 1))
    shape = sigreg(latents.transpose(0, 1), chance)
    seen = latents + task.noise * torch.randn(latents.shape, generator=chance)
    errors = []
    for first in range(0, task.span, model.sizes.frames):
        end = min(task.span, first + model.sizes.frames)
        made = model.predict(seen[:, first:end], actions[:, first:end])
        errors.append(made - latents[:, first + 1 : end + 1])
    error = torch.cat(errors, dim=1).square().mean()
    alone = torch.zeros(())
    if task.own:
        alone = (model.rollout(seen[:, 0], actions) - latents[:, 1:]).square().mean()
    optimiser.zero_grad(set_to_none=True)
    (error + task.own * alone + task.weight * shape).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(error.detach()), float(alone.detach()), float(shape.detach())


def report(model: Lewm, told: dict[str, Any], plan: bool) -> None:
    """Print what the model has come to, one JSON a line."""
    model.eval()
    for world in WORLDS.values():
        states = world.draw(np.random.default_rng([8, 5]), 2048)
        latents = latents_of(model, world, states)
        figures = collapse(latents) | fit_places(latents, states)
        figures["after_5"] = drift(model, world)
        if plan:
            figures["planning"] = planning(model, world, TRIAL, 9, TRIAL_SEARCH)
        told[world.name] = {name: round(value, 4) for name, value in figures.items()}
    model.train()
    print(json.dumps(told, default=float), flush=True)


@torch.no_grad()
def drift(model: Lewm, world: Any) -> float:
    """Return the error of five predictions on end, as a share of the latents' variance."""
    states, actions = windows(world, np.random.default_rng([10, 5]), 256, 5)
    first, last = (latents_of(model, world, states[:, at]) for at in (0, -1))
    rolled = model.rollout(torch.from_numpy(first).float(), torch.from_numpy(actions).float())
    return float(np.square(rolled[:, -1].numpy() - last).mean() / last.var(axis=0).mean())


def save(model: Lewm, optimiser: torch.optim.Optimizer, step: int, out: Path) -> None:
    """Write the model as it would ship, and what training needs to go on."""
    stored = {
        name: value.half().contiguous() if value.is_floating_point() else value.clone()
        for name, value in model.state_dict().items()
    }
    save_file(stored, out / "model.safetensors.part")
    (out / "model.safetensors.part").replace(out / "model.safetensors")
    (out / "config.json").write_text(json.dumps(model.sizes.config(), indent=2) + "\n")
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step}
    torch.save(state, out / "training.part")
    (out / "training.part").replace(out / STATE)


if __name__ == "__main__":
    train()
