"""The kernels on vectors where they run elsewhere: on wasm with vectors, on aarch64 with NEON.

All with a fused multiply-add have one order of sums and so the bits of AVX2; without one the bits
are those of four plain lanes.
"""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import attrs
import cffi
import pytest
from synapse_backend_cpu.native import recipe
from synapse_backend_cpu.native.library import features

from synapse_core.testing import BackendContract

from .kernel_harness import compile_c
from .machines.aarch64 import Aarch64Machine
from .machines.backend import EmulatedBackend
from .machines.tools import demand, no_module, no_program
from .machines.wasm import WasmMachine

HERE = Path(__file__).parent
WAY = 37  # words of the digest: some rows of x, one, and both again on packed weights
WORDS = 4 * WAY
FUSED = {tier.name: tier for tier in recipe.TIERS["aarch64"] if tier.folder}
AVX2 = next(tier for tier in recipe.TIERS["x86_64"] if tier.name == "avx2")
WASM = {tier.name: tier for tier in recipe.TIERS["wasm32"] if tier.folder}
# Processors without a table's own instructions.
LACKING = {"i8mm": "neoverse-n1", "dotprod": "cortex-a57"}
# Four lanes by the compiler alone.
FOUR_LANES = recipe.Tier("four", 0, ("-mcpu=baseline",), "simd")

pytestmark = pytest.mark.portable


def sources(tier: recipe.Tier) -> list[Path]:
    """The digest, a table of kernels, and what packs for it."""
    kernels = recipe.kernel_sources(tier)
    packing = [path for path in recipe.host_sources(tier) if path.name == "pack.c"]
    return [HERE / "kernel_digest.c", *kernels, *packing]


def native(tier: recipe.Tier, folder: Path) -> list[int]:
    """What this machine makes of the numbers by a table."""
    if tier.feature & ~features():
        pytest.skip(f"this processor has no {tier.name} to compare with")
    to = folder / f"{tier.name}.so"
    compile_c(sources(tier), to, "-shared", "-fPIC", *tier.flags)
    ffi = cffi.FFI()
    ffi.cdef("uint32_t digest(uint32_t);")
    library = ffi.dlopen(str(to))
    words = [library.digest(word) for word in range(WORDS)]
    assert min(words) > 1, "a kernel refused its op"
    assert len(set(words[:WAY])) == WAY
    assert words[2 * WAY :] == words[: 2 * WAY], "packed weights have other bits"
    return words


@pytest.mark.parametrize("name", FUSED)
def test_neon_has_the_bits_of_avx2(tmp_path, name):
    demand(no_program("qemu-aarch64"))
    expected = native(AVX2, tmp_path)
    to = tmp_path / "digest"
    compile_c(
        [*sources(FUSED[name]), HERE / "machines" / "bare.c"], to, "-target",
        "aarch64-linux-musl", "-nostdlib", "-static", "-DENTRY", "-Wl,-e,start",
        *FUSED[name].flags,
    )  # fmt: skip
    done = subprocess.run(["qemu-aarch64", str(to)], capture_output=True, check=True)
    found = [int.from_bytes(done.stdout[i : i + 4], "little") for i in range(0, 4 * WORDS, 4)]
    assert found == expected
    if name in LACKING:  # the comparison is of the instructions that the table is for
        lacks = subprocess.run(["qemu-aarch64", "-cpu", LACKING[name], str(to)], check=False)
        assert lacks.returncode == -signal.SIGILL


@pytest.mark.parametrize(
    ("processor", "usable"),
    [("cortex-a57", {"neon"}), ("neoverse-n1", {"neon", "dotprod"}), ("max", set(FUSED))],
)
def test_aarch64_says_what_it_has(tmp_path, processor, usable):
    """Linux's answer, as each processor has it: the tables that `library.tier` may take."""
    demand(no_program("qemu-aarch64"))
    asks, to = tmp_path / "asks.c", tmp_path / "asks"
    asks.write_text(
        '#include "instructions.h"\nint main(void) { return (int)syn_instructions(); }\n'
    )
    source = recipe.HOST / "instructions.c"
    recipe.build(
        [asks, source], ["-target", "aarch64-linux-musl", "-static", f"-I{recipe.HOST}"], to
    )
    found = subprocess.run(["qemu-aarch64", "-cpu", processor, str(to)], check=False).returncode
    assert {name for name, tier in FUSED.items() if not tier.feature & ~found} == usable


@pytest.mark.parametrize("name", WASM)
def test_wasm_has_the_bits_of_four_plain_lanes(tmp_path, name):
    """Relaxed instructions as this processor has them, and as the specification's own choice is."""
    demand(no_module("wasmtime"))
    import wasmtime

    expected = native(FOUR_LANES, tmp_path)
    to = tmp_path / "digest.wasm"
    compile_c(
        sources(WASM[name]), to, "-target", "wasm32-freestanding", "-nostdlib", "-Wl,--no-entry",
        "-Wl,--export=digest", *WASM[name].flags,
    )  # fmt: skip
    for fixed in (False, True):
        config = wasmtime.Config()
        config.wasm_relaxed_simd_deterministic = fixed
        store = wasmtime.Store(wasmtime.Engine(config))
        module = wasmtime.Module(store.engine, to.read_bytes())
        digest = wasmtime.Instance(store, module, []).exports(store)["digest"]
        assert [digest(store, word) & 0xFFFFFFFF for word in range(WORDS)] == expected


@pytest.mark.parametrize("source", recipe.runtime_sources(WASM["relaxed"]), ids=lambda p: p.name)
def test_no_relaxed_instruction_but_the_dot_product(tmp_path, source):
    """Compilers take relaxed minima, whose results differ, where they are let."""
    to = tmp_path / "kernel.s"
    target = ("-S", "-g0", "-target", "wasm32-freestanding", "-Wno-unused-command-line-argument")
    compile_c([source], to, *target, *WASM["relaxed"].flags)
    found = set(re.findall(rb"[a-z0-9]+\.relaxed_\w+", to.read_bytes()))
    product = {b"i32x4.relaxed_dot_i8x16_i7x16_add_s"}
    multiplies = source.parent.name == "simd" and source.name in ("linear.c", "stream.c")
    assert found == (product if multiplies else set())


def of_tier(machine: type, tier: recipe.Tier) -> type:
    """A machine whose guest has another table of kernels."""
    name = f"{machine.guest.name}-{tier.name}"
    guest = attrs.evolve(machine.guest, name=name, tier=tier)
    return type(machine.__name__, (machine,), {"guest": guest})


MACHINES = [
    *((WasmMachine, tier) for tier in WASM.values()),
    *((Aarch64Machine, tier) for tier in FUSED.values()),
]


class TestVectorBackend(BackendContract):
    @pytest.fixture(params=MACHINES, ids=lambda pair: pair[1].name)
    def backend(self, request):
        machine, tier = request.param
        backend = EmulatedBackend(tier.name, of_tier(machine, tier))
        demand(backend.unavailable())
        return backend
