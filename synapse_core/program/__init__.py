"""The graph lowered to records over planned memory; file form `.syn`."""

from synapse_core.program.contract import Limits, Program

__all__ = ["Limits", "Program"]
