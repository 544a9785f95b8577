"""The .syn file: what comes back, and what is refused."""

import numpy as np
import pytest

from synapse_core.backends import Executable, NumpyBackend
from synapse_core.errors import FileError, ProgramError
from synapse_core.program import (
    damaged_segments,
    functions_of,
    lower,
    open_program,
    write_program,
)
from synapse_core.testing import causal_decoder, finder, image_encoder, two_towers, window_predictor

CASES = (causal_decoder("q8_0"), image_encoder(), window_predictor(), two_towers())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "toy.syn"
    write_program(causal_decoder().executable().program, path)
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("truth", [True, False])
def test_program_from_a_file_computes_what_the_graph_does(tmp_path, case, truth):
    executable = case.executable()
    write_program(executable.program, tmp_path / "toy.syn")
    program = open_program(tmp_path / "toy.syn")
    session = NumpyBackend(truth).open(Executable(program, executable.find_op))
    expected = case.run(NumpyBackend(truth))
    for call, outputs in zip(case.calls, expected, strict=True):
        got = session.run(call.function, call.inputs, call.rows)
        assert {n: a.tobytes() for n, a in got.items()} == {
            n: a.tobytes() for n, a in outputs.items()
        }


def test_function_table_names_spaces_and_ports():
    function = functions_of(two_towers().executable().program)["encode_text"]
    assert [space.name for space in function.base_spaces] == ["tokens", "texts"]
    assert [port.name for port in function.inputs] == ["ids", "ends"]
    assert function.inputs[0].type.limit == 41
    assert function.inputs[1].type.limit_space == "tokens"
    assert [port.name for port in function.outputs] == ["embedding"]


def test_lowering_twice_gives_the_same_bytes():
    case = causal_decoder()
    a, b = (lower(case.graph, case.limits, finder()).image for _ in range(2))
    assert a.tobytes() == b.tobytes()


def test_every_cut_is_refused(file):
    whole = file.read_bytes()
    for size in [*range(0, 200, 7), *range(200, len(whole), 997)]:
        file.write_bytes(whole[:size])
        with pytest.raises(ProgramError, match=r"toy\.syn"):
            open_program(file)


def test_every_damaged_table_byte_is_refused(file):
    whole = bytearray(file.read_bytes())
    for offset in range(0, 3000, 13):
        damaged = whole.copy()
        damaged[offset] ^= 0x10
        file.write_bytes(damaged)
        with pytest.raises(ProgramError):
            open_program(file)


def test_damaged_weights_are_found_by_their_digest(file):
    whole = bytearray(file.read_bytes())
    assert damaged_segments(open_program(file)) == []
    whole[-5] ^= 1
    file.write_bytes(whole)
    assert damaged_segments(open_program(file)) == ["constants"]


def test_other_file_is_named(tmp_path):
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(500))
    with pytest.raises(ProgramError, match=r"model\.gguf: magic at byte 0: found b'GGUF'"):
        open_program(path)


def test_failed_write_leaves_the_old_file(file, monkeypatch):
    before = file.read_bytes()
    monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(FileError, match="disk full"):
        write_program(causal_decoder().executable().program, file)
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["toy.syn"]


def test_alignment_of_segments_is_kept(file):
    program = open_program(file)
    assert program.image.ctypes.data % 8 == 0
    assert all(int(s["offset"]) % 64 == 0 for s in np.atleast_1d(_segments(program)))


def _segments(program):
    from synapse_core.program import Tables

    return Tables.of(program.image).segments
