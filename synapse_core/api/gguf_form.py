"""What a GGUF file of a checkpoint has: its keys, the names of its tensors, the order of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import numpy as np

from synapse_core.api.quantize import Order, Requantized
from synapse_core.errors import Unavailable, UsageError
from synapse_core.families import (
    Config,
    Family,
    Fields,
    GgufForm,
    ModelConfig,
    Part,
    ignored_tensors,
    map_entry,
    side_by_side,
)
from synapse_core.formats import format_named
from synapse_core.generate import read_assets
from synapse_core.generate.assets import read_scores
from synapse_core.generate.gguf_tokenizer import gguf_tokenizer
from synapse_core.generate.gguf_vocabulary import KEY
from synapse_core.loaders import Checkpoint, FileTensor
from synapse_core.loaders.gguf_metadata import GgufMetadata
from synapse_core.loaders.gguf_writer import ARCHITECTURE_KEY, GGUF_FORMATS, Key, keys_of
from synapse_core.loaders.written import WrittenTensor

NAMELESS = "model"
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
    checkpoint: Checkpoint, family: Family, config: Config, tensors: Sequence[Requantized]
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
    if checkpoint.source == "gguf":
        raise UsageError(
            f"{checkpoint.path} was made of a GGUF file and lacks its tokenizer's keys; name that"
            " file, or let the output's name not end in .gguf"
        )
    if family.to_gguf is None or not isinstance(config, ModelConfig):
        raise Unavailable(
            f"family {family.name!r} does not say how its models are written as GGUF; let the"
            " output's name not end in .gguf"
        )
    return _plan_new(checkpoint, family, config, tensors, family.to_gguf(config))


def _plan_new(
    checkpoint: Checkpoint,
    family: Family,
    config: ModelConfig,
    tensors: Sequence[Requantized],
    form: GgufForm,
) -> GgufPlan:
    planned: list[tuple[Requantized, str, Order]] = []
    for tensor in tensors:
        if not tensor.weights:
            continue  # ignored: the keys say it
        shifted = _shifted(tensor, form)
        planned.append((shifted, _name_of(tensor, family), _order(tensor, form)))
    for name, vector in form.vectors.items():
        raw = np.ascontiguousarray(vector, dtype="<f4").view(np.uint8)
        made = FileTensor(name, vector.shape, "f32", checkpoint.path, 0, raw)
        planned.append((Requantized(made, (), None, "f32"), name, None))
    _check_same(checkpoint, family, form.said or config, form, planned)
    title = checkpoint.folder.resolve().name.encode("utf-8", "replace").decode() or NAMELESS
    # The last says nothing to a reader that knows models by their names.
    names = (title, f"{form.named} {title}" if form.named else title, NAMELESS)
    tokenizer, reason = gguf_tokenizer(
        read_assets(checkpoint),
        config.vocabulary,
        form.arch,
        str(checkpoint.path),
        names=names,
        pieces=read_scores(checkpoint.folder),
    )
    left_out = ignored_tensors(family, checkpoint)
    notes = [*form.notes, *(f"left out, as the keys say it: {name}" for name in left_out)]
    if reason is not None and not tokenizer:
        # Without these two llama.cpp would not open the file.
        tokenizer = {f"{KEY}model": "none", f"{form.arch}.vocab_size": config.vocabulary}
        notes.append(f"written without a tokenizer: {reason}; only token ids can be given to it")
    elif reason is not None:
        notes.append(reason)
    described = {ARCHITECTURE_KEY: form.arch, "general.type": "model", "general.name": title}
    said = {**described, **form.keys, **tokenizer}
    keys = {name: Key.of(value) for name, value in said.items()}
    return GgufPlan(keys=keys, tensors=planned, notes=tuple(notes))


def _name_of(tensor: Requantized, family: Family) -> str:
    """Return a tensor's name in GGUF; one that holds several weights must hold the same there.

    Raises: Unavailable where it has none of its own.
    """
    first = tensor.weights[0]
    theirs, ours = (map_entry(first, family.weights[source]) for source in ("gguf", "hf"))
    if isinstance(theirs, Part) and isinstance(ours, Part) and theirs.parts == ours.parts:
        return theirs.tensor
    if isinstance(theirs, str) and len(tensor.weights) == 1:
        return theirs
    raise Unavailable(f"weight {first!r} has no name of its own in GGUF")


def _shifted(tensor: Requantized, form: GgufForm) -> Requantized:
    """Return a vector with what is added to its numbers in the file."""
    found = (add for end, add in form.added.items() if tensor.weights[0].endswith(end))
    add = next(found, None)
    if add is None:
        return tensor
    source = tensor.source
    numbers = format_named(source.format).decode(source.raw(), source.cols) + np.float32(add)
    raw = np.ascontiguousarray(numbers, dtype="<f4").reshape(-1).view(np.uint8)
    made = FileTensor(source.name, source.shape, "f32", source.file, source.offset, raw)
    return Requantized(made, tensor.weights, None, "f32")


def _order(tensor: Requantized, form: GgufForm) -> Order:
    for end, heads in form.turned.items():
        if tensor.weights[0].rpartition(".")[0].endswith(end):
            return side_by_side(tensor.source.shape[0], heads)
    return None


def _check_same(
    checkpoint: Checkpoint,
    family: Family,
    config: ModelConfig,
    form: GgufForm,
    planned: Sequence[tuple[Requantized, str, Order]],
) -> None:
    """Read the keys back: what they do not say would be lost without a word.

    Raises: Unavailable naming the part of the config that differs.
    """
    tensors = {name: attrs.evolve(tensor.source, name=name) for tensor, name, _ in planned}
    fields = Fields(str(checkpoint.path), form.keys, tensors=tensors)
    again = dict(_leaves(family.config["gguf"](fields).to_json()))
    for place, value in _leaves(config.to_json()):
        if again.get(place) != value:
            raise Unavailable(
                f"{checkpoint.path}: its GGUF form would be another model: {place} is {value!r:.40}"
                f" here and {again.get(place)!r:.40} there"
            )


def _leaves(value: Any, place: str = "config") -> Iterator[tuple[str, Any]]:
    """Yield a config's values by their place, fractions as float32.

    Special ids belong to the tokenizer; how a rope is scaled and pairs are laid out is for the
    form to get right, which says them by other means.
    """
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in ("bos", "eos", "style", "scaling", "factors"):
                yield from _leaves(item, f"{place}.{key}")
    elif isinstance(value, list):
        yield f"{place} count", len(value)
        for number, item in enumerate(value):
            yield from _leaves(item, f"{place}[{number}]")
    else:
        yield place, float(np.float32(value)) if isinstance(value, float) else value
