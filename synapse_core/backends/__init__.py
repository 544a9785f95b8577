"""Backends run programs here and now; targets are exported to."""

from synapse_core.backends.contract import Backend, Executable, Session, Target

__all__ = ["Backend", "Executable", "Session", "Target"]
