"""A damaged program and a bad call are refused on every machine with the same words."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np
import pytest
from synapse_backend_cpu.backend import CpuBackend
from synapse_backend_cpu.calls import HostCall
from synapse_backend_cpu.native.declarations import declarations
from synapse_backend_cpu.native.kernels import kernel_pointers
from synapse_backend_cpu.native.library import runtime

from synapse_core.backends import Session
from synapse_core.errors import UsageError
from synapse_core.program import NO_PAGE, Program
from synapse_core.program.image import header_of, seal
from synapse_core.testing import Call, Case, causal_decoder

from .machines.backend import GuestFile, GuestMemory, RuntimeFault

pytestmark = pytest.mark.portable
# A word of the tables is a count, an offset, an index, or half of one of 64 bits.
DAMAGES = (lambda word: word ^ 1, lambda word: word ^ 0x80000000, lambda word: 0xFFFFFFFF - word)


def native_fault(program: Program, image: np.ndarray) -> RuntimeFault | None:
    """What syn_open says of an image on this machine."""
    ffi = declarations()
    external = ffi.new("syn_bytes[]", max(1, len(program.external)))
    for number, data in enumerate(program.external):
        external[number].data = ffi.from_buffer("uint8_t *", data)
        external[number].bytes = data.size
    kernels = kernel_pointers([])
    error = ffi.new("syn_error *")
    code = runtime().syn_open(
        ffi.new("syn_program *"), ffi.from_buffer("uint8_t *", image), image.size, external,
        len(program.external), ffi.new("const syn_kernel *[]", kernels), len(kernels), error,
    )  # fmt: skip
    return RuntimeFault(error.code, error.section, error.index, error.detail) if code else None


def damaged(image: np.ndarray) -> Iterator[np.ndarray]:
    """Images with one word of the tables changed, under a checksum that fits where it can."""
    host = int(header_of(image)["section"][-1]["offset"])
    for number in range(host // 4):
        for damage in DAMAGES:
            other = image.copy()
            words = other[:host].view("<u4")
            words[number] = damage(int(words[number]))
            if int(header_of(other)["meta_bytes"]) <= other.size:
                seal(other)
            yield other
    unsealed = image.copy()
    unsealed[host] ^= 1
    yield unsealed


def test_damaged_program_is_refused_alike(emulated):
    program = causal_decoder("q8_0").executable().program
    memory = GuestMemory(emulated.machine.start(emulated.machine.guest.build(None)))
    file = GuestFile(memory, program)
    assert file.open() is None
    codes = set()
    for image in damaged(program.image):
        file.replace(image)
        expected = native_fault(program, image)
        assert file.open() == expected
        codes.add(expected.code if expected else 0)
    memory.machine.close()
    assert codes == set(range(18))  # SYN_OK, and all that syn_open may say


def wrong_calls(call: Call) -> Iterator[Call]:
    """A call with one number changed: a slot, a position, an id."""
    table = call.rows["tokens"]
    for row in range(len(table)):
        for change in (1, -1, 1000):
            for field in ("slot", "position"):
                values = getattr(table, field).copy()
                values[row] += change
                yield attrs.evolve(call, rows={"tokens": attrs.evolve(table, **{field: values})})
            for name in ("ids", "select"):
                values = call.inputs[name].copy()
                values[row] += 100 * change
                yield attrs.evolve(call, inputs={**call.inputs, name: values})


def opened(emulated, case: Case) -> list[Session]:
    """A session there and one here."""
    return [backend.open(case.executable(), threads=1) for backend in (emulated, CpuBackend())]


def assert_refused_alike(sessions: list[Session], call: Call, words: str) -> None:
    found, expected = (outcome(session, call) for session in sessions)
    assert found == expected
    assert words in expected


def outcome(session: Session, call: Call) -> str | bytes:
    """A call's refusal, or its logits."""
    try:
        return session.run(call.function, call.inputs, call.rows)["logits"].tobytes()
    except UsageError as error:
        return str(error)


def test_bad_call_is_refused_alike(emulated):
    case = causal_decoder()
    sessions = opened(emulated, case)
    outcomes = set()
    for call in case.calls[:3]:
        for wrong in wrong_calls(call):
            found, expected = (outcome(session, wrong) for session in sessions)
            assert found == expected
            outcomes.add(expected)
        assert len({outcome(session, call) for session in sessions}) == 1
    for session in sessions:
        session.close()
    said = {words.split("(row")[0] for words in outcomes if isinstance(words, str)}
    assert len(said) == 3, "slots, positions and ids were each to be refused"


def test_bad_memory_is_refused_alike(emulated, monkeypatch):
    """What only a careless host does: pages that are not there, a page in two slots, no scratch."""
    case = causal_decoder()
    begin, call = case.calls[:2]
    sessions = opened(emulated, case)
    for session in sessions:
        for good in (begin, call):
            session.run(good.function, good.inputs, good.rows)
        session.groups[0].table[1, 0] = 10_000
    monkeypatch.setattr(HostCall, "reserve_pages", lambda *arguments: None)
    assert_refused_alike(sessions, call, "no KV page")
    for session in sessions:
        session.groups[0].table[1, 0] = session.groups[0].table[0, 0]
    assert_refused_alike(sessions, call, "no KV page for a position, or shares one")
    there, here = sessions
    for session in sessions:
        session.groups[0].table[1, 0] = NO_PAGE
    there.call["scratch"] = 0
    here.scratch[0] = here.scratch[0][:0]
    assert_refused_alike(sessions, call, "too little memory")
    for session in sessions:
        session.close()
