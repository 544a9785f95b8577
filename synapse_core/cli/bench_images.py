"""`synapse bench` of a model of images: loading, and encoding one and several at a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synapse_core.api import Model

# The first call touches every weight for the first time.
WARM_CALLS, CALLS = 1, 5


def image_sizes(model: Model) -> dict[str, Any]:
    """Return what is measured on."""
    from synapse_core.api import choose_backend, estimate
    from synapse_core.plugins import default_host

    ports = model.images.encoder.image_ports()
    backend = choose_backend(model.backend, default_host())
    memory = estimate(model.program, model.graph, backend=backend)
    return {
        "model": str(model.built.path),
        "family": model.built.family,
        "parameters": model.program.host.get("parameters"),
        "weights_bytes": memory.weights,
        "copies_bytes": memory.copies,
        "arena_bytes": memory.arena,
        "image": list(ports.shape),
        "batches": sorted({1, ports.most}),
    }


def measure_images(model: Model) -> dict[str, float]:
    """Return the speed of encoding in calls of one image and of as many as fit.

    Units: `encode_<n>_ms` milliseconds a call of n images, the median of some.
    """
    import numpy as np

    ports = model.images.encoder.image_ports()
    rng = np.random.Generator(np.random.PCG64(0))
    found: dict[str, float] = {}
    for count in sorted({1, ports.most}):
        pixels = rng.standard_normal((count, *ports.shape), dtype=np.float32)
        rows = list(pixels.reshape(count, 1, -1))
        encode = _encoder(model, rows, ports.outputs[:1])
        for _ in range(WARM_CALLS):
            encode()
        times = []
        for _ in range(CALLS):
            begun = time.perf_counter()
            encode()
            times.append(1e3 * (time.perf_counter() - begun))
        found[f"encode_{count}_ms"] = statistics.median(times)
    return found


def _encoder(model: Model, rows: list[Any], outputs: tuple[str, ...]) -> Callable[[], object]:
    return lambda: model.images.encoder.images(rows, outputs)
