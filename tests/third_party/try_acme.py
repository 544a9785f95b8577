"""Use the installed plugin `acme` as a stranger would, on every machine; print what came out.

    python tests/third_party/try_acme.py MACHINES

Runs in an environment of its own, where the distributions are installed and nothing else of the
checkout is seen but MACHINES, the folder that holds the emulated machines.
"""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np

import synapse_core as synapse
from synapse_core.backends import Backend
from synapse_core.families import ComponentConfig, make_component
from synapse_core.graph import GraphBuilder, WeightScope
from synapse_core.ops import TensorType
from synapse_core.passes import optimise
from synapse_core.program import Limits
from synapse_core.testing import Call, Case, fill_weights, rows

WIDTH, INNER = 24, 20


def model() -> Case:
    """A residual block with the attention of the plugin, by its name; two slots in turn."""
    host = synapse.registry()
    g = GraphBuilder(lambda name: host.get("op", name))
    f = g.function("forward")
    x = f.input("x", TensorType(f.space("tokens"), WIDTH))
    attention = make_component(host, ComponentConfig("attention", "acme_decay", {"width": INNER}))
    f.output("y", f.op("add", x, attention.build(f, x, WeightScope(g) / "attention")))
    rng = np.random.default_rng(7)

    def call(*runs: tuple[int, int, int]) -> Call:
        table = rows(*runs)
        inputs = {"x": rng.standard_normal((len(table), WIDTH), np.float32)}
        return Call("forward", inputs, {"tokens": table})

    calls = (call((0, 0, 4)), call((1, 0, 2), (0, 4, 3)), call((0, 7, 1), (1, 2, 5)))
    limits = Limits(rows={"tokens": 8}, slots=2, positions=64)
    ops = (host.get("op", "acme.scan"),)
    return Case("acme", optimise(fill_weights(g.finish(), 3)), calls, limits, ops)


def machines(folder: str) -> dict[str, Backend]:
    """Return numpy, the native backend, and the emulated machines."""
    sys.path.insert(0, folder)
    from machines.backend import EmulatedBackend
    from machines.rv32 import Rv32Machine
    from machines.wasm import WasmMachine

    found = {name: synapse.registry().get("backend", name)() for name in ("numpy", "cpu")}
    emulated = {"wasm32": WasmMachine, "rv32": Rv32Machine}
    return found | {name: EmulatedBackend(name, kind) for name, kind in emulated.items()}


def main(folder: str) -> None:
    """Run everywhere; print a digest of the outputs and the distance to numpy for each."""
    case = model()
    found = {name: case.run(backend) for name, backend in machines(folder).items()}
    report = {}
    for name, outputs in found.items():
        digest = hashlib.sha256(b"".join(call["y"].tobytes() for call in outputs)).hexdigest()
        pairs = zip(outputs, found["numpy"], strict=True)
        error = max(float(np.abs(a["y"] - b["y"]).max()) for a, b in pairs)
        report[name] = {"sha256": digest, "error": error}
    print(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1])
