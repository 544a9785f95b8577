"""Binding a checkpoint's tensors to a graph's weights: all of them, or an error by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

import attrs
import numpy as np

from synapse_core.errors import ShapeError, WeightError
from synapse_core.families.contract import Entry, Family, Made, Part
from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.graph import Constant, Encoded, Graph, Weight, WeightSource
from synapse_core.loaders import Checkpoint, FileTensor

_NUMBER = re.compile(r"(?<=\.)(0|[1-9][0-9]*)(?=\.)")
# How much of a tensor is compared at a time, so that a mapped file is never held as a whole.
COMPARE_BYTES = 1 << 24
WeightMap = Mapping[str, Entry]
# What a tensor may be stored in that a weight is made of.
FLOATS = ("f32", "f16", "bf16")


def bind_weights(
    graph: Graph, family: Family, checkpoint: Checkpoint, formats: Formats = CORE_FORMATS
) -> Graph:
    """Return the graph with every weight's source in the checkpoint; only what is made is copied.

    Raises: WeightError naming the tensor: missing, of another shape or format, or used by nothing;
    a tied head that is present and differs, naming both.
    """
    names = family.weights[checkpoint.source]
    weights: dict[str, Weight] = {}
    used: set[str] = set()
    for name, weight in graph.weights.items():
        if weight.source is None:
            tensor, entry = _tensor_of(name, family, graph, checkpoint)
            used.add(tensor.name)
            weight = attrs.evolve(weight, source=_source_of(weight, tensor, entry, formats))
        weights[name] = weight
    for alias, name in family.aliases.items():
        if alias not in weights and name in weights:
            used |= _check_alias(alias, name, names, checkpoint)
    _check_unused(set(checkpoint.tensors) - used, family, checkpoint)
    return attrs.evolve(graph, weights=weights)


def ignored_tensors(family: Family, checkpoint: Checkpoint) -> dict[str, str]:
    """Return the tensors that the family leaves aside, with the reason."""
    reasons = ((name, _reason(name, family)) for name in sorted(checkpoint.tensors))
    return {name: reason for name, reason in reasons if reason is not None}


def made_tensors(graph: Graph, family: Family, checkpoint: Checkpoint) -> dict[str, str]:
    """Return the tensors that weights are made of, each with its weight's name."""
    made: dict[str, str] = {}
    for name, weight in graph.weights.items():
        entry = map_entry(name, family.weights[checkpoint.source])
        if isinstance(entry, Made):
            made[entry.tensor] = name
        elif weight.make is not None and isinstance(entry, str):
            made[entry] = name
    return made


def map_entry(name: str, names: WeightMap) -> Entry | None:
    """Return the map's entry for a canonical weight, None where there is none.

    `{n}` of the map stands for the layer's number, the first number between dots.
    """
    if name in names:
        return names[name]
    found = _NUMBER.search(name)
    if found is None:
        return None
    entry = names.get(f"{name[: found.start()]}{{n}}{name[found.end() :]}")
    if isinstance(entry, Part | Made):
        return entry.numbered(found[0])
    return None if entry is None else entry.replace("{n}", found[0])


def _tensor_of(
    name: str, family: Family, graph: Graph, checkpoint: Checkpoint
) -> tuple[FileTensor, Entry]:
    entry = map_entry(name, family.weights[checkpoint.source])
    if entry is None:
        raise WeightError(checkpoint.path, f"the family's map has no tensor for weight {name!r}")
    theirs = _spelled(_tensor_name(entry), family, checkpoint)
    fused = map_entry(name, family.fused.get(checkpoint.source, {}))
    if fused is not None and _tensor_name(fused) in checkpoint.tensors:
        if theirs in checkpoint.tensors:
            problem = f"is there, and tensor {_tensor_name(fused)!r} holds {name!r} too"
            raise WeightError(checkpoint.path, problem, field=f"tensor {theirs!r}")
        entry, theirs = fused, _tensor_name(fused)
    tensor = checkpoint.tensors.get(theirs)
    if tensor is None:
        raise WeightError(
            checkpoint.path,
            f"is missing; the config asks for it as {name!r}",
            field=f"tensor {theirs!r}",
        )
    part = _part_of(tensor, name, entry, graph) if isinstance(entry, Part) else tensor
    return part, entry


def _spelled(name: str, family: Family, checkpoint: Checkpoint) -> str:
    """Return the name that a file has for a tensor, the map's own where it has neither."""
    other = family.other_name(name)
    if other == name or other not in checkpoint.tensors:
        return name
    if name in checkpoint.tensors:
        problem = f"is there, and so is {other!r}, which is the same under another name"
        raise WeightError(checkpoint.path, problem, field=f"tensor {name!r}")
    return other


def _tensor_name(entry: Entry) -> str:
    return entry if isinstance(entry, str) else entry.tensor


def _part_of(tensor: FileTensor, name: str, entry: Part, graph: Graph) -> FileTensor:
    """Return the rows of a tensor that are one of its weights; together they must be all of it."""
    missing = [part for part in entry.parts if part not in graph.weights]
    if missing:
        problem = f"holds {name!r} and {missing[0]!r}, and the model has no such weight"
        raise WeightError(tensor.file, problem, field=f"tensor {tensor.name!r}")
    weights = [graph.weights[part] for part in entry.parts]
    flat = len(tensor.shape) == 1
    sizes = [weight.cols if flat else weight.rows for weight in weights]
    asked = (sum(sizes),) if flat else (sum(sizes), weights[0].cols)
    if _long_axes(tensor.shape) != _long_axes(asked) or tensor.shape[0] != asked[0]:
        raise WeightError(
            tensor.file, f"tensor {tensor.name!r} is {tensor.shape}, the config says {asked}"
        )
    place = entry.parts.index(name)
    return tensor.part(sum(sizes[:place]), sizes[place])


def _source_of(weight: Weight, tensor: FileTensor, entry: Entry, formats: Formats) -> WeightSource:
    if weight.make is not None and weight.stored is not None:
        return _reshaped(weight, weight.stored, weight.make, tensor, entry, formats)
    if isinstance(entry, Made):
        return _made_of(weight, tensor, entry, formats)
    tensor = flattened(weight, tensor)
    _check(weight, tensor, formats)
    return tensor


def _reshaped(
    weight: Weight,
    stored: tuple[int, int],
    make: Callable[[np.ndarray], np.ndarray],
    tensor: FileTensor,
    entry: Entry,
    formats: Formats,
) -> Constant:
    """Return the weight that the graph makes of a tensor of another shape."""
    if not isinstance(entry, str):
        problem = f"weight {weight.name!r} is made of a whole tensor, the family's map says a part"
        raise WeightError(tensor.file, problem, field=f"tensor {tensor.name!r}")
    asked = (stored[1],) if stored[0] == 1 else stored
    same = _long_axes(tensor.shape) == _long_axes(asked)
    if not same or (tensor.rows, tensor.cols) != stored:
        raise WeightError(
            tensor.file, f"tensor {tensor.name!r} is {tensor.shape}, the config says {asked}"
        )
    _check_format(tensor, formats)
    numbers = formats.named(tensor.format).decode(tensor.raw(), tensor.cols)
    made = Constant.of(make(numbers.reshape(stored)))
    if (made.rows, made.cols) != (weight.rows, weight.cols):
        raise ShapeError(
            f"weight {weight.name!r} is declared as ({weight.rows}, {weight.cols})"
            f" and made as ({made.rows}, {made.cols})"
        )
    return made


def flattened(weight: Weight, tensor: FileTensor) -> FileTensor:
    """Return a convolution's weight (N, C, h, w) as the matrix (N, C·h·w) that it is in memory.

    Only of floats: a row of blocks is as long as the last axis. One that lies as its weight does,
    (N, 1, w), is returned as it is.
    """
    asked = (weight.rows, weight.cols)
    if len(tensor.shape) < 3 or tensor.format not in FLOATS or (tensor.rows, tensor.cols) == asked:
        return tensor
    if (tensor.shape[0], math.prod(tensor.shape[1:])) != asked:
        return tensor
    return attrs.evolve(tensor, shape=asked)


def _made_of(weight: Weight, tensor: FileTensor, entry: Made, formats: Formats) -> WeightSource:
    """Return the weight that is made of a tensor's numbers.

    The file's size bounds what is decoded: floats take at most twice their bytes.
    """
    asked = _long_axes(entry.shape(weight.rows, weight.cols))
    if _long_axes(tensor.shape) != asked:
        raise WeightError(
            tensor.file, f"tensor {tensor.name!r} is {tensor.shape}, the config says {asked}"
        )
    if tensor.format not in FLOATS:
        raise WeightError(
            tensor.file,
            f"is stored as {tensor.format}; weight {weight.name!r} is made of it,"
            f" and it can be {', '.join(FLOATS)}",
            field=f"tensor {tensor.name!r}",
            offset=tensor.offset,
        )
    stored = formats.named(tensor.format)
    numbers = stored.decode(tensor.raw(), tensor.cols).reshape(asked)
    made = Constant.of(entry.make(numbers).reshape(weight.rows, weight.cols))
    return Encoded.encode(made.values, stored) if entry.moves else made


def _long_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its axes of one number: the bytes lie the same."""
    return tuple(size for size in shape if size != 1)


def _check(weight: Weight, tensor: FileTensor, formats: Formats) -> None:
    asked = (weight.cols,) if weight.rows == 1 else (weight.rows, weight.cols)
    same = _long_axes(tensor.shape) == _long_axes(asked)
    if not same or (tensor.rows, tensor.cols) != (weight.rows, weight.cols):
        raise WeightError(
            tensor.file, f"tensor {tensor.name!r} is {tensor.shape}, the config says {asked}"
        )
    _check_format(tensor, formats)


def _check_format(tensor: FileTensor, formats: Formats) -> None:
    if not formats.knows(tensor.format):
        known = ", ".join(formats.names())
        raise WeightError(
            tensor.file,
            f"is stored as {tensor.format}; a weight can be {known}",
            field=f"tensor {tensor.name!r}",
            offset=tensor.offset,
        )


def _check_alias(alias: str, name: str, names: WeightMap, checkpoint: Checkpoint) -> set[str]:
    """Check that a tensor which stands for another equals it; return its name if it is there."""
    theirs, original = map_entry(alias, names), map_entry(name, names)
    if not (isinstance(theirs, str) and isinstance(original, str)):
        return set()
    if theirs not in checkpoint.tensors or original not in checkpoint.tensors:
        return set()
    copy, table = checkpoint.tensors[theirs], checkpoint.tensors[original]
    if (copy.shape, copy.format) != (table.shape, table.format) or not _equal(copy, table):
        raise WeightError(
            copy.file,
            f"tensor {theirs!r} differs from {original!r}, the config says that they are tied",
        )
    return {theirs}


def _equal(a: FileTensor, b: FileTensor) -> bool:
    return all(
        np.array_equal(a.data[start : start + COMPARE_BYTES], b.data[start : start + COMPARE_BYTES])
        for start in range(0, len(a.data), COMPARE_BYTES)
    )


def _check_unused(unused: set[str], family: Family, checkpoint: Checkpoint) -> None:
    stray = sorted(name for name in unused if _reason(name, family) is None)
    if stray:
        more = f" and {len(stray) - 1} more" if len(stray) > 1 else ""
        tensor = checkpoint.tensors[stray[0]]
        raise WeightError(
            tensor.file,
            f"tensor {stray[0]!r} {tensor.shape}{more}: nothing in the {family.name} model that the"
            " config describes uses it",
        )


def _reason(name: str, family: Family) -> str | None:
    for ignore in family.ignores:
        if fnmatchcase(name, ignore.pattern):
            return ignore.reason
    return None
