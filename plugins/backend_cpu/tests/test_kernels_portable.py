"""The same bits from every kernel on x86-64, aarch64, wasm32 and rv32, at -O3 and at -Os."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cffi
import pytest

from .kernel_harness import RUNTIME, compile_c
from .machines.tools import demand, no_module, no_program

SOURCES = [
    Path(__file__).with_name("kernel_digest.c"),
    *sorted((RUNTIME / "kernels").glob("*.c")),
    RUNTIME.with_name("host") / "pack.c",
]
BARE = Path(__file__).with_name("machines") / "bare.c"
WORDS = 4 * 37  # ways of products
LINUX = ("-nostdlib", "-static", "-DENTRY", "-Wl,-e,start")
TARGETS = {
    "riscv32": (
        ["-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m+a+f+c+zicsr", "-mabi=ilp32f"]
    ),
    "aarch64": ["-target", "aarch64-linux-musl"],
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> list[int]:
    """What this machine makes of the numbers."""
    to = tmp_path_factory.mktemp("digest") / "here.so"
    compile_c(SOURCES, to, "-shared", "-fPIC", "-nostdlib", "-mcpu=baseline")
    ffi = cffi.FFI()
    ffi.cdef("uint32_t digest(uint32_t);")
    library = ffi.dlopen(str(to))
    words = [library.digest(word) for word in range(WORDS)]
    assert min(words) > 1, "a kernel refused its op"
    assert len(set(words[:36])) == 36
    return words


@pytest.mark.portable
@pytest.mark.parametrize("flag", ["-O3", "-Os"])
def test_wasm(tmp_path, expected, flag):
    demand(no_module("wasmtime"))
    import wasmtime

    to = tmp_path / "digest.wasm"
    compile_c(
        SOURCES, to, "-target", "wasm32-freestanding", "-mcpu=generic+bulk_memory", "-nostdlib",
        "-Wl,--no-entry", "-Wl,--export=digest", flag,
    )  # fmt: skip
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, to.read_bytes())
    digest = wasmtime.Instance(store, module, []).exports(store)["digest"]
    assert [digest(store, word) & 0xFFFFFFFF for word in range(WORDS)] == expected


@pytest.mark.portable
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("flag", ["-O3", "-Os"])
def test_emulated(tmp_path, expected, target, flag):
    emulator = f"qemu-{target}"
    demand(no_program(emulator))
    to = tmp_path / "digest"
    compile_c([*SOURCES, BARE], to, *TARGETS[target], *LINUX, flag)
    done = subprocess.run([emulator, str(to)], capture_output=True, check=True)
    found = [int.from_bytes(done.stdout[i : i + 4], "little") for i in range(0, 4 * WORDS, 4)]
    assert found == expected
