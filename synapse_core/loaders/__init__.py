"""Readers of checkpoint files."""

from synapse_core.loaders.contract import Checkpoint, FileTensor, WeightLoader
from synapse_core.loaders.gguf import GGUF, GgufLoader
from synapse_core.loaders.gguf_metadata import count_texts
from synapse_core.loaders.json_file import read_json
from synapse_core.loaders.safetensors import SAFETENSORS, SafetensorsLoader

__all__ = [
    "GGUF",
    "SAFETENSORS",
    "Checkpoint",
    "FileTensor",
    "GgufLoader",
    "SafetensorsLoader",
    "WeightLoader",
    "count_texts",
    "read_json",
]
