"""The command line."""

from synapse_core.cli.frame import main

__all__ = ["main"]
