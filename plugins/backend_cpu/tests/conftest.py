"""What the tests of the backend share."""

from __future__ import annotations

import pytest
from synapse_backend_cpu.native import recipe
from synapse_backend_cpu.native.compiler import target
from synapse_backend_cpu.native.library import FORCED, features

from .kernel_harness import table
from .machines.aarch64 import Aarch64Machine
from .machines.backend import EmulatedBackend
from .machines.rv32 import Rv32Machine
from .machines.tools import demand
from .machines.wasm import WasmMachine

MACHINES = {"wasm32": WasmMachine, "rv32": Rv32Machine, "aarch64": Aarch64Machine}


@pytest.fixture(autouse=True)
def _plain_where_bits_are_compared(request, monkeypatch) -> None:
    """The same bits on every machine are what the plain-C kernels promise."""
    if request.node.get_closest_marker("portable"):
        monkeypatch.setenv(FORCED, "plain")


@pytest.fixture(scope="session")
def machine_of():
    """A function from a machine's name to a backend on it.

    Without its tools the test is skipped by their name; where CI is true it fails.
    """

    def find(name: str) -> EmulatedBackend:
        backend = EmulatedBackend(name, MACHINES[name])
        demand(backend.unavailable())
        return backend

    return find


@pytest.fixture(params=MACHINES)
def emulated(request, machine_of) -> EmulatedBackend:
    """Each emulated machine in turn."""
    return machine_of(request.param)


@pytest.fixture(params=recipe.tiers_of(target()), ids=lambda tier: tier.name)
def tier(request) -> recipe.Tier:
    """Each table of kernels in turn; those that this machine cannot run are skipped by name."""
    if request.param.feature & ~features():
        pytest.skip(f"this processor cannot run {request.param.name}")
    with table(request.param):
        yield request.param
