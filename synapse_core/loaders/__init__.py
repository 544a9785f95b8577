"""Readers of checkpoint files."""

from synapse_core.loaders.contract import Checkpoint, FileTensor, WeightLoader
from synapse_core.loaders.json_file import read_json
from synapse_core.loaders.safetensors import SAFETENSORS, SafetensorsLoader

__all__ = [
    "SAFETENSORS",
    "Checkpoint",
    "FileTensor",
    "SafetensorsLoader",
    "WeightLoader",
    "read_json",
]
