"""What a GGUF file of a checkpoint has: its keys, the names of its tensors, the order of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from synapse_core.api.quantize import Order, Requantized
from synapse_core.errors import Unavailable, UsageError
from synapse_core.families import Family, ModelConfig
from synapse_core.loaders import Checkpoint
from synapse_core.loaders.gguf_metadata import GgufMetadata
from synapse_core.loaders.gguf_writer import GGUF_FORMATS, Key, keys_of
from synapse_core.loaders.written import WrittenTensor

Put = Callable[..., WrittenTensor]


@attrs.frozen(kw_only=True, eq=False)
class GgufPlan:
    """Keys, then the tensors, each with its name and the order of its rows."""

    keys: Mapping[str, Key]
    tensors: Sequence[tuple[Requantized, str, Order]]
    notes: tuple[str, ...] = ()

    def written(self, put: Put) -> list[WrittenTensor]:
        """Return the tensors in the order of the file."""
        return [put(tensor, name=name, order=order) for tensor, name, order in self.tensors]


def plan_gguf(
    checkpoint: Checkpoint, family: Family, config: ModelConfig, tensors: Sequence[Requantized]
) -> GgufPlan:
    """Return the plan of a file; one that was GGUF keeps all its keys and names.

    Raises: UsageError for a format that GGUF has no type for; Unavailable for a family that has no
    GGUF form.
    """
    for tensor in tensors:
        if tensor.given not in GGUF_FORMATS:
            name = tensor.weights[0] if tensor.weights else tensor.source.name
            raise UsageError(
                f"{name!r} would be held in {tensor.given}, which GGUF has no type for; ask"
                " another format, or let the output's name not end in .gguf"
            )
    if isinstance(checkpoint.metadata, GgufMetadata):
        keys, empty = keys_of(checkpoint.metadata)
        notes = tuple(f"key {name!r} is an empty array and left out" for name in empty)
        kept = [(tensor, tensor.source.name, None) for tensor in tensors]
        return GgufPlan(keys=keys, tensors=kept, notes=notes)
    raise Unavailable(f"family {family.name!r} does not say how its models are written as GGUF")
