"""Checkpoints that torch pickled, read without running them.

A pickle is a program. The machine here knows the few opcodes that build dictionaries, and the few
globals that a dictionary of tensors needs, as inert values; all else is refused by its name.
"""

from synapse_core.loaders.torch_file.container import TorchFile, open_torch_file
from synapse_core.loaders.torch_file.shards import INDEX, index_of, read_shards
from synapse_core.loaders.torch_file.state_dict import StateDict, TensorView, read_state_dict

__all__ = [
    "INDEX",
    "StateDict",
    "TensorView",
    "TorchFile",
    "index_of",
    "open_torch_file",
    "read_shards",
    "read_state_dict",
]
