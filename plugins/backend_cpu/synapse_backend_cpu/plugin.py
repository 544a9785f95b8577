"""What this distribution provides."""

from synapse_core.hookspecs import Provided, Provides, hookimpl


@hookimpl
def synapse_backends() -> Provided:
    """The backend `cpu`."""
    factory = "synapse_backend_cpu.backend:CpuBackend"
    return (Provides("backend", "cpu", factory, "The C runtime with plain-C kernels."),)


@hookimpl
def synapse_commands() -> Provided:
    """The verb `kernels`."""
    factory = "synapse_backend_cpu.command:kernels"
    return (Provides("command", "kernels", factory, "Compile plugins' kernels ahead of time."),)
