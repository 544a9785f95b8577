"""`synapse kernels build`: compile what plugins bring, before it is needed."""

from __future__ import annotations

import click

from synapse_backend_cpu.native.kernels import compile_kernel, kernel_source
from synapse_backend_cpu.native.library import library_path, tier
from synapse_core import registry


@click.group()
def kernels() -> None:
    """Native kernels of installed plugins."""


@kernels.command()
def build() -> None:
    """Compile the runtime and every plugin's C kernel into the cache."""
    found = registry()
    used = tier()
    click.echo(f"runtime, {used.name}: {library_path(used)}")
    for name in found.names("op"):
        op = found.get("op", name)
        source = kernel_source(op) if "c" in op.kernels else None
        if source is not None:
            click.echo(f"{name}: {compile_kernel(name, source, used)}")
