"""An encoder on a backend, with faults planted in its config or graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synapse_core.api.source import open_checkpoint
from synapse_core.backends import Executable, NumpyBackend, Session
from synapse_core.families import bind_weights, build_graph, choose_family, model_config
from synapse_core.graph import Graph
from synapse_core.ops import RowTable
from synapse_core.passes import optimise, plan_for
from synapse_core.plugins import default_host
from synapse_core.program import Limits, lower

Change = Callable[[Any], Any]
Rewrite = Callable[[Graph], Graph]


def open_encoder(
    folder: Path,
    backend: str = "numpy",
    *,
    size: tuple[int, int] | None = None,
    change: Change = lambda config: config,
    rewrite: Rewrite = lambda graph: graph,
    format: str | None = None,
    threads: int | None = None,
    rounds: bool = False,
) -> Session:
    """Open a checkpoint at a size of images; skips the test where the backend is not there.

    `rounds`: the backend is numpy in the program's own arithmetic, activations of 8 bits included.
    """
    host = default_host()
    if backend not in host.names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")
    checkpoint = open_checkpoint(folder, host)
    family = choose_family(checkpoint, host)
    config = change(model_config(family, checkpoint))
    built = build_graph(family, config, host, image_size=size)
    graph = rewrite(bind_weights(built, family, checkpoint))
    graph = optimise(graph, plan=plan_for(format, family.keeps))
    limits = Limits(rows={"images": 4, "tokens": 80, "texts": 5}, slots=5, positions=config.context)
    find_op = partial(host.get, "op")
    made = host.get("backend", backend)
    made = made() if isinstance(made, type) else made
    made = NumpyBackend(truth=False) if rounds else made
    reason = made.unavailable()
    if reason:
        pytest.skip(f"backend {backend!r} is unavailable: {reason}")
    executable = Executable(lower(graph, limits, find_op), find_op, graph)
    session: Session = made.open(executable, threads=threads)
    return session


def encode_images(session: Session, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Run images (B, channels, H, W) in one call, a slot each."""
    count = len(pixels)
    table = RowTable(np.arange(count), np.zeros(count, dtype=np.int64))
    found = session.run("encode_image", {"pixels": pixels.reshape(count, -1)}, {"images": table})
    return {name: rows.copy() for name, rows in found.items()}


def encode_texts(session: Session, ids: tuple[np.ndarray, ...], ends: Any) -> dict[str, np.ndarray]:
    """Run texts in one call, a slot each; `ends` are the places of their ends within them."""
    lengths = np.array([len(each) for each in ids])
    slots = np.repeat(np.arange(len(ids)), lengths)
    places = np.concatenate([np.arange(length) for length in lengths])
    inputs = {"ids": np.concatenate(ids), "ends": np.cumsum(lengths) - lengths + np.asarray(ends)}
    found = session.run("encode_text", inputs, {"tokens": RowTable(slots, places)})
    return {name: rows.copy() for name, rows in found.items()}
