"""The runtime as a library, for this machine's instructions."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from synapse_backend_cpu.native.compiler import compiled, target
from synapse_backend_cpu.native.declarations import declarations
from synapse_backend_cpu.native.recipe import PLAIN, Tier, runtime_library, tiers_of
from synapse_core.errors import Unavailable, UsageError

FORCED = "SYNAPSE_CPU"


def runtime() -> Any:
    """Return the opened runtime: compiled before, or now.

    Raises: Unavailable without a library and without a compiler; `tier`'s errors.
    """
    return opened(tier())


@functools.cache
def opened(of: Tier) -> Any:
    """Return the runtime with one table of kernels."""
    return declarations().dlopen(str(library_path(of)))


def library_path(of: Tier) -> Path:
    """Return where the runtime's library is."""
    return compiled(runtime_library(target(), of))


def tier() -> Tier:
    """Return the table of kernels that is used: the fastest that runs here, or SYNAPSE_CPU's.

    Raises: UsageError when SYNAPSE_CPU names none; Unavailable when it cannot run here.
    """
    usable = [t for t in tiers_of(target()) if not t.feature or t.feature & features()]
    wanted = os.environ.get(FORCED)
    if not wanted:
        return usable[0]
    named = {t.name: t for t in tiers_of(target())}
    if wanted not in named:
        raise UsageError(f"{FORCED}={wanted}: there are {', '.join(sorted(named))}")
    if named[wanted] not in usable:
        raise Unavailable(f"{FORCED}={wanted}: this processor lacks its instructions")
    return named[wanted]


@functools.cache
def features() -> int:
    """Return what instructions there are, as `syn_instructions` says it."""
    return int(opened(PLAIN).syn_instructions())
