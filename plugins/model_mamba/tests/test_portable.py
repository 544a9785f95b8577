"""The ops on wasm32 and rv32, with the bits of the plain table, and on aarch64: one C file each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from synapse_model_mamba import samples
from synapse_model_mamba.conv1d_causal import CONV1D_CAUSAL
from synapse_model_mamba.gated_rmsnorm import GATED_RMSNORM
from synapse_model_mamba.selective_scan import SELECTIVE_SCAN
from synapse_model_mamba.ssd_scan import SSD_SCAN

from synapse_core.backends import NumpyBackend
from synapse_core.plugins import default_host
from synapse_core.testing import Case, same_bits, worst_error

pytestmark = pytest.mark.portable

# Of the backend cpu's tests, which know these machines.
MACHINES = Path(__file__).parents[2] / "backend_cpu" / "tests"
SAMPLES = (
    (CONV1D_CAUSAL, samples.CONV1D_CAUSAL),
    (SELECTIVE_SCAN, samples.SELECTIVE_SCAN),
    (SSD_SCAN, samples.SSD_SCAN),
    (GATED_RMSNORM, samples.GATED_RMSNORM),
)
CASES = [
    pytest.param(sample.case(op), id=f"{op.name} {n}")
    for op, many in SAMPLES
    for n, sample in enumerate(many)
]


@pytest.fixture(scope="module", params=["wasm", "rv32", "aarch64"])
def emulated(request: pytest.FixtureRequest) -> Any:
    """Return an emulated machine as a backend."""
    if not MACHINES.is_dir():
        pytest.skip("plugins/backend_cpu, whose tests have the machines, is not beside this plugin")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(MACHINES), *sys.path])
        from machines.aarch64 import Aarch64Machine
        from machines.backend import EmulatedBackend
        from machines.rv32 import Rv32Machine
        from machines.wasm import WasmMachine

        known = {"wasm": WasmMachine, "rv32": Rv32Machine, "aarch64": Aarch64Machine}
        machine = known[request.param]
        missing = machine.missing()
        if missing:
            pytest.skip(missing)
        yield EmulatedBackend(request.param, machine)


@pytest.mark.parametrize("case", CASES)
def test_an_op_is_the_same_elsewhere(
    emulated: Any, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    assert worst_error(case, emulated, NumpyBackend(truth=False)) <= 1e-5
    if emulated.name != "aarch64":  # whose vectors multiply and add with one rounding
        monkeypatch.setenv("SYNAPSE_CPU", "plain")
        native = case.run(default_host().get("backend", "cpu")(), threads=1)
        assert same_bits(case.run(emulated), native)
