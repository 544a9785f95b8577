"""A picture of latents on their way: the two directions in which they move most."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from synapse_core.files import write_whole

SIDE, MARGIN = 640, 48
PAPER, GRID = (255, 255, 255), (228, 232, 238)
SEEN, IMAGINED, GOAL, INK = (38, 84, 164), (214, 102, 44), (46, 140, 78), (60, 66, 76)


def principal_plane(latents: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean (D,), two directions (2, D), and their shares of the variance (2,)."""
    mean = latents.mean(axis=0)
    _, sizes, directions = np.linalg.svd(latents - mean, full_matrices=False)
    plane = np.zeros((2, latents.shape[1]))
    plane[: len(directions[:2])] = directions[:2]
    # A singular vector's sign is arbitrary: the largest number is to be positive.
    signs = np.sign(plane[np.arange(2), np.abs(plane).argmax(axis=1)])
    shares = np.zeros(2)
    power = np.square(sizes)
    shares[: len(power[:2])] = power[:2] / max(float(power.sum()), 1e-30)
    return mean, plane * np.where(signs == 0, 1, signs)[:, None], shares


def draw(path: Path, latents: np.ndarray, seen: int, goal: np.ndarray | None = None) -> None:
    """Write a PNG: the first `seen` latents, the imagined ones, and the goal where there is one.

    Shapes: latents (T, D), goal (D,). The file appears whole or not at all.
    """
    from PIL import Image, ImageDraw

    points = latents if goal is None else np.concatenate([latents, goal[None]])
    mean, plane, shares = principal_plane(points.astype(np.float64))
    places = _places((points - mean) @ plane.T)
    image = Image.new("RGB", (SIDE, SIDE), PAPER)
    pen = ImageDraw.Draw(image)
    for line in np.linspace(MARGIN, SIDE - MARGIN, 9):
        pen.line([(line, MARGIN), (line, SIDE - MARGIN)], GRID)
        pen.line([(MARGIN, line), (SIDE - MARGIN, line)], GRID)
    path_ = [tuple(place) for place in places[: len(latents)]]
    for number in range(len(latents) - 1):
        pen.line(path_[number : number + 2], SEEN if number + 1 < seen else IMAGINED, 3)
    for number, place in enumerate(path_):
        _dot(pen, place, 6, SEEN if number < seen else IMAGINED)
        pen.text((place[0] + 8, place[1] - 14), str(number), INK)
    if goal is not None:
        x, y = places[-1]
        pen.polygon([(x, y - 10), (x + 10, y), (x, y + 10), (x - 10, y)], GOAL)
        pen.text((x + 12, y - 6), "goal", INK)
    legend = f"latents: {seen} seen (blue), {len(latents) - seen} imagined (orange)"
    pen.text((MARGIN, 16), legend, INK)
    pen.text((MARGIN, SIDE - 30), f"x, y: {shares[0]:.0%}, {shares[1]:.0%} of the variance", INK)
    with write_whole(path) as file:
        image.save(file, "PNG")


def _places(points: np.ndarray) -> np.ndarray:
    """Return points of the picture, one scale for both axes: (T, 2) → (T, 2)."""
    low, high = points.min(axis=0), points.max(axis=0)
    scale = (SIDE - 2 * MARGIN) / max(float((high - low).max()), 1e-12)
    centred = (points - (low + high) / 2) * scale
    return np.stack([SIDE / 2 + centred[:, 0], SIDE / 2 - centred[:, 1]], axis=1)


def _dot(pen, place, radius, colour) -> None:  # type: ignore[no-untyped-def]
    x, y = place
    pen.ellipse([x - radius, y - radius, x + radius, y + radius], colour)
