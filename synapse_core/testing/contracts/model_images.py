"""A contract of families that take images: one alone is as one among others."""

from __future__ import annotations

import math

import numpy as np

from synapse_core.backends import NumpyBackend
from synapse_core.families import ENCODE_IMAGE, PIXELS, build_graph
from synapse_core.graph import Graph
from synapse_core.passes import optimise
from synapse_core.program import Limits
from synapse_core.testing.case import Case, fill_weights, rows
from synapse_core.testing.contracts.contract import Subject, contract, require
from synapse_core.testing.contracts.model_samples import read, samples

# Numpy's own products of one row and of many may round apart; a leak is as large as the numbers.
TOLERANCE = 1e-4
IMAGES = 3


@contract
def images_alone_equal_images_together(subject: Subject) -> None:
    """A model of the sample's size, with random weights, sees each image of a call by itself.

    `encode_image` takes `pixels`, a row an image, and every output is finite. A family that has no
    such function keeps this by having none.
    """
    for source, sample in samples(subject):
        config = read(subject.thing, source, sample)
        built = build_graph(subject.thing, config, subject.registry)
        if ENCODE_IMAGE in built.functions:
            _run_alone_and_together(optimise(fill_weights(built, 63)), subject)


def _run_alone_and_together(graph: Graph, subject: Subject) -> None:
    function = graph.functions[ENCODE_IMAGE]
    ports = {port.name: port.type for port in function.inputs}
    require(set(ports) == {PIXELS}, f"{ENCODE_IMAGE} takes {sorted(ports)}, not {PIXELS!r} alone")
    type = ports[PIXELS]
    require(type.space.is_base and type.space.rows, f"{PIXELS!r} is no base space with slots")
    used = {node.op for one in graph.functions.values() for node in one.nodes}
    ops = tuple(subject.registry.get("op", name) for name in sorted(used))
    space = type.space.name
    limits = Limits(rows={space: IMAGES}, slots=IMAGES, positions=64, kv="f32")
    case = Case(subject.name, graph, (), limits, ops)
    pixels = np.random.default_rng(64).standard_normal((IMAGES, type.cols), np.float32)

    def encode(first: int, count: int) -> dict[str, np.ndarray]:
        table = rows(*((slot, 0, 1) for slot in range(count)))
        with np.errstate(all="ignore"):
            session = NumpyBackend().open(case.executable())
            taken = {PIXELS: pixels[first : first + count]}
            made = session.run(ENCODE_IMAGE, taken, {space: table})
            session.close()
        return made

    together = encode(0, IMAGES)
    alone = [encode(number, 1) for number in range(IMAGES)]
    for name, numbers in together.items():
        require(bool(np.isfinite(numbers).all()), f"a number of {name!r} is not finite")
        apart = np.concatenate([one[name] for one in alone])
        require(
            apart.shape == numbers.shape,
            f"{name!r} is {apart.shape} one by one and {numbers.shape} together",
        )
        error = float(np.abs(apart - numbers).max()) / (float(numbers.std()) or 1.0)
        require(
            math.isfinite(error) and error <= TOLERANCE,
            f"{name!r} of images together and of each alone differ by {error:.2g}",
        )
