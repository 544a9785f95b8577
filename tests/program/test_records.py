"""Python's records and the runtime's header describe the same bytes."""

import re
from pathlib import Path

import cffi
import pytest

from synapse_core.formats import HELD_FORMATS, format_named
from synapse_core.program import records

HEADER = Path(__file__).parents[2] / "plugins/backend_cpu/synapse_backend_cpu/runtime/syn.h"
STRUCTS = {
    "syn_header": records.HEADER,
    "syn_kernel_name": records.KERNEL,
    "syn_segment": records.SEGMENT,
    "syn_weight": records.WEIGHT_RECORD,
    "syn_space": records.SPACE,
    "syn_tensor": records.TENSOR_RECORD,
    "syn_state": records.STATE_RECORD,
    "syn_group": records.GROUP,
    "syn_function": records.FUNCTION,
    "syn_port": records.PORT,
    "syn_record": records.RECORD,
}
pytestmark = pytest.mark.skipif(not HEADER.exists(), reason="plugins/backend_cpu is not here")


@pytest.fixture(scope="module")
def ffi():
    text = HEADER.read_text()
    declared = text.split("/* CDEF */")[1].split("/* END CDEF */")[0]
    ffi = cffi.FFI()
    ffi.cdef(re.sub(r"/\*.*?\*/", "", declared, flags=re.S).replace("0xffffffffu", "0xffffffff"))
    return ffi


@pytest.mark.parametrize("name", STRUCTS)
def test_record_has_the_fields_of_its_struct(ffi, name):
    dtype = STRUCTS[name]
    fields = {key: field.offset for key, field in ffi.typeof(name).fields}
    assert ffi.sizeof(name) == dtype.itemsize
    assert fields == {key: dtype.fields[key][1] for key in dtype.names}


def test_constants_agree(ffi):
    constants = ffi.dlopen(None)
    assert constants.SYN_FORMAT_MAJOR == records.FORMAT_MAJOR
    assert constants.SYN_FORMAT_MINOR == records.FORMAT_MINOR
    assert constants.SYN_NAME == records.NAME_BYTES
    assert constants.SYN_PAGE_ROWS == records.PAGE_ROWS
    for name in ("OPERANDS", "ATTRIBUTES", "KERNELS", "SEGMENTS", "SPACES", "GROUPS"):
        assert getattr(constants, f"SYN_MAX_{name}") == getattr(records, f"MAX_{name}")
    for kind in ("NONE", "TENSOR", "WEIGHT", "STATE", "STATE_KV", "STATE_RECURRENT", "SPACE_ROWS"):
        assert getattr(constants, f"SYN_{kind}") == getattr(records, kind)
    for dtype, code in records.DTYPE_CODES.items():
        assert getattr(constants, f"SYN_{dtype.upper()}") == code


def test_sections_are_in_the_same_order(ffi):
    constants = ffi.dlopen(None)
    for number, name in enumerate(records.SECTIONS):
        assert getattr(constants, f"SYN_SEC_{name.upper()}") == number
    assert len(records.SECTIONS) == constants.SYN_SECTIONS


@pytest.mark.parametrize("name", HELD_FORMATS)
def test_formats_have_the_runtime_s_codes(ffi, name):
    assert getattr(ffi.dlopen(None), f"SYN_{name.upper()}") == format_named(name).code
