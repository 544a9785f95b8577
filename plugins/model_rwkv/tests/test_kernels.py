"""The two kernels: the same bits in any cut and on any threads, on every table and machine."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_rwkv import samples
from synapse_model_rwkv.token_shift import TOKEN_SHIFT
from synapse_model_rwkv.wkv7 import WKV7

from synapse_core.backends import NumpyBackend
from synapse_core.errors import ProgramError, Unavailable
from synapse_core.plugins import default_host
from synapse_core.program import records as r
from synapse_core.program.image import aligned_zeros, seal, section_of
from synapse_core.testing import Case
from synapse_core.testing.agreement import worst_error
from tests.outside.runner import open_runner

from . import checkpoints as made

TABLES = ("plain", "avx2", "avx512", "amx", "neon", "dotprod", "i8mm")
LENGTH = 50
CASES = {
    f"{op.name} {number}": (op, sample)
    for op, group in ((TOKEN_SHIFT, samples.TOKEN_SHIFT), (WKV7, samples.WKV7))
    for number, sample in enumerate(group)
}


def cpu() -> Any:
    """Return the native backend; skips the test where it is not installed."""
    host = default_host()
    if "cpu" not in host.names("backend"):
        pytest.skip("backend 'cpu' is not installed")
    made = host.get("backend", "cpu")
    return made() if isinstance(made, type) else made


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A table of kernels, where this machine has it."""
    monkeypatch.setenv("SYNAPSE_CPU", request.param)
    op, sample = CASES["rwkv.token_shift 0"]
    backend = cpu()
    try:
        backend.open(sample.case(op).executable()).close()
    except Exception as error:
        if not isinstance(error, Unavailable) and "SYNAPSE_CPU" not in str(error):
            raise
        pytest.skip(f"table {request.param!r} is not this machine's")
    return str(request.param)


@pytest.fixture(scope="module", params=["odd", "usual"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = made.SHAPES[request.param]
    tensors = made.random_tensors(shape, 31)
    return made.write_folder(tmp_path_factory.mktemp("kernels"), tensors, made.config_of(shape))


@pytest.mark.parametrize("name", CASES)
def test_a_kernel_agrees_with_its_reference(table: str, name: str) -> None:
    op, sample = CASES[name]
    case = sample.case(op)
    assert worst_error(case, cpu(), NumpyBackend(truth=False)) <= 1e-5


def test_any_cut_any_threads_and_company_give_the_same_bits(table: str, checkpoint: Path) -> None:
    rng = np.random.default_rng(32)
    ids, others = rng.integers(0, 71, (2, LENGTH)).tolist()
    whole = open_runner(checkpoint, backend="cpu", threads=1).in_chunks(ids, [LENGTH])
    for threads, sizes in ((1, [1]), (2, [LENGTH]), (2, [17, 1, 20, 12]), (3, [1, 40, 2, 7])):
        found = open_runner(checkpoint, backend="cpu", threads=threads).in_chunks(ids, sizes)
        assert found.tobytes() == whole.tobytes(), (threads, sizes)
    beside = open_runner(checkpoint, backend="cpu", threads=2)
    parts = []
    for first, end in ((0, 20), (20, 21), (21, LENGTH)):
        runs = [(2, first, others[first:end]), (0, first, ids[first:end])]
        parts.append(beside.logits(*runs)[1])
    assert np.concatenate(parts).tobytes() == whole.tobytes()


Change = Callable[[np.ndarray], None]


def attribute(index: int, value: int) -> Change:
    def change(image: np.ndarray) -> None:
        section_of(image, "ops")[0]["attributes"][index] = value

    return change


def operand(number: int, word: int) -> Change:
    def change(image: np.ndarray) -> None:
        first = int(section_of(image, "ops")[0]["first_operand"])
        section_of(image, "operands")[first + number] = word

    return change


def state_width(width: int) -> Change:
    def change(image: np.ndarray) -> None:
        section_of(image, "states")[0]["width"] = width

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("rwkv.wkv7 0", attribute(0, 0)),
        ("rwkv.wkv7 0", attribute(0, 3)),
        ("rwkv.wkv7 0", attribute(0, 21)),
        ("rwkv.wkv7 0", attribute(0, 4)),
        ("rwkv.wkv7 0", attribute(0, 1 << 31)),
        ("rwkv.wkv7 0", operand(6, 0)),
        ("rwkv.wkv7 0", operand(7, 0)),
        ("rwkv.wkv7 1", operand(6, r.TENSOR << r.OPERAND_SHIFT)),
        ("rwkv.wkv7 0", operand(11, r.WEIGHT << r.OPERAND_SHIFT)),
        ("rwkv.wkv7 0", state_width(20)),
        ("rwkv.token_shift 0", state_width(19)),
        ("rwkv.token_shift 0", operand(7, 0)),
    ],
)
def test_a_record_that_could_not_run_safely_is_refused(name: str, change: Change) -> None:
    op, sample = CASES[name]
    executable = sample.case(op).executable()
    image = aligned_zeros(executable.program.image.size)
    image[:] = executable.program.image
    change(image)
    program = attrs.evolve(executable.program, image=seal(image))
    backend = cpu()
    with pytest.raises(ProgramError):
        backend.open(attrs.evolve(executable, program=program)).close()


@pytest.mark.portable
@pytest.mark.parametrize("name", CASES)
def test_plain_c_gives_the_same_bits_on_wasm32_and_rv32(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNAPSE_CPU", "plain")
    machines = Path(__file__).parents[2] / "backend_cpu" / "tests"
    monkeypatch.setattr(sys, "path", [str(machines), *sys.path])
    from machines.backend import EmulatedBackend
    from machines.rv32 import Rv32Machine
    from machines.wasm import WasmMachine

    op, sample = CASES[name]
    case: Case = sample.case(op)
    digests = {}
    emulated = {"wasm32": WasmMachine, "rv32": Rv32Machine}
    for where, backend in {
        "here": cpu(),
        **{where: EmulatedBackend(where, kind) for where, kind in emulated.items()},
    }.items():
        reason = backend.unavailable()
        if reason and os.environ.get("CI") != "true":
            pytest.skip(f"{where}: {reason}")
        assert not reason, reason
        numbers = [call[key].tobytes() for call in case.run(backend) for key in sorted(call)]
        digests[where] = hashlib.sha256(b"".join(numbers)).hexdigest()
    assert len(set(digests.values())) == 1, digests
