"""Readers of checkpoint files."""

from synapse_core.loaders.contract import Checkpoint, FileTensor, WeightLoader

__all__ = ["Checkpoint", "FileTensor", "WeightLoader"]
