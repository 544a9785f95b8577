"""Which dictionary in a torch file is the model's, and which bytes are its tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np

from synapse_core.errors import FileError
from synapse_core.loaders.safetensors_header import MOST_AXES
from synapse_core.loaders.torch_file.container import TorchFile
from synapse_core.loaders.torch_file.inert import (
    DTYPE_BYTES,
    UNTYPED,
    PickledTensor,
    item_bytes,
    kind_of,
)

# Where training scripts put a model's tensors beside other things.
COMMON_KEYS = ("state_dict", "model", "model_state_dict", "module", "params")
DTYPE_OF = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
# What PyTorch's batch norms count, as int64; nothing but training reads it.
COUNTERS = ("*.num_batches_tracked",)
MOST_NAME = 512
# Names that share numbers are written each with its own; more than this is a bomb, not a model.
MOST_GROWTH = 8
_CHUNK = 1 << 20


@attrs.frozen(eq=False)
class TensorView:
    """A tensor: name, safetensors dtype, shape, and `numbers`, a view into the mapped file.

    `numbers` are unsigned integers of the dtype's size, of that shape and of any strides.
    `place` is the storage and the first and last byte in it, which tied tensors share.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    numbers: np.ndarray
    place: tuple[str, int, int]

    def of_shard(self, shard: str) -> TensorView:
        """Return it with a place that no tensor of another shard has."""
        storage, first, last = self.place
        return attrs.evolve(self, place=(f"{shard}:{storage}", first, last))

    @property
    def contiguous(self) -> bool:
        """Whether its numbers lie one after the other."""
        return self.numbers.flags.c_contiguous

    def chunks(self) -> Iterator[memoryview]:
        """Yield its bytes in order, a bounded part at a time."""
        if self.numbers.size == 0:
            return
        if self.contiguous:
            plain = self.numbers.reshape(-1).view(np.uint8)
            for at in range(0, plain.size, _CHUNK):
                yield plain[at : at + _CHUNK].data
            return
        walk = np.nditer(
            self.numbers, ("external_loop", "buffered"), order="C", buffersize=_CHUNK // 4
        )
        for part in walk:
            yield np.ascontiguousarray(part).view(np.uint8).data  # type: ignore[arg-type]


@attrs.frozen(eq=False)
class StateDict:
    """The tensors of a torch file. `key` is where they lay, None at the top.

    `left_out` are the names that were asked to be left out; `tied` groups of names that share one
    place in the file.
    """

    tensors: tuple[TensorView, ...]
    key: str | None
    left_out: tuple[str, ...]

    @property
    def tied(self) -> tuple[tuple[str, ...], ...]:
        """Groups of names that look at the same bytes."""
        groups: dict[tuple[str, int, int], list[str]] = {}
        for tensor in self.tensors:
            if tensor.numbers.size:
                groups.setdefault(tensor.place, []).append(tensor.name)
        return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def read_state_dict(
    found: TorchFile,
    *,
    key: str | None = None,
    without: tuple[str, ...] = (),
    empty: bool = False,
) -> StateDict:
    """Return the model's tensors, each checked against its storage.

    `key` says which dictionary where there are several; names that match a pattern of `without`
    are left out, and so are the counters of batch norms. `empty`: nothing may be left, as in a
    shard of a model.

    Raises: FileError naming the tensor.
    """
    chosen, entries = _choose(found.path, found.value, key)
    tensors: list[TensorView] = []
    left_out: list[str] = []
    total, most = 0, MOST_GROWTH * len(found.data)
    for name, value in entries.items():
        _check_name(found.path, name)
        if any(fnmatchcase(name, pattern) for pattern in (*without, *COUNTERS)):
            left_out.append(name)
            continue
        if type(value) is not PickledTensor:
            problem = f"is a {kind_of(value)}, expected a tensor; leave it out with --without"
            raise FileError(found.path, problem, field=f"entry {name!r}")
        tensor = _view(found, name, value)
        total += tensor.numbers.size * tensor.numbers.itemsize
        if total > most:
            problem = f"with it the tensors have {total} bytes, {MOST_GROWTH} times the file's"
            raise FileError(found.path, problem, field=f"tensor {name!r}")
        tensors.append(tensor)
    if not tensors and not empty:
        raise FileError(found.path, "holds no tensor")
    return StateDict(tuple(tensors), chosen, tuple(left_out))


def _choose(path: Path, value: Any, key: str | None) -> tuple[str | None, dict[Any, Any]]:
    if type(value) is not dict:
        raise FileError(path, f"holds a {kind_of(value)}, expected a dictionary of tensors")
    if key is not None:
        inner = value.get(key)
        if type(inner) is not dict:
            raise FileError(path, "is no dictionary", field=f"entry {key!r}")
        return key, inner
    nested = [name for name in COMMON_KEYS if _has_tensors(value.get(name))]
    if not nested and _has_tensors(value):
        return None, value
    # The state of a random generator (uint8) beside a model is no part of it; weights would be.
    if any(type(entry) is PickledTensor and entry.dtype in DTYPE_OF for entry in value.values()):
        nested.insert(0, "its top")
    if len(nested) == 1:
        return nested[0], value[nested[0]]
    others = [repr(name)[:40] for name, entry in value.items() if _has_tensors(entry)][:8]
    if nested or others:
        places = ", ".join(nested or others)
        raise FileError(path, f"has tensors under {places}; choose one with --key")
    raise FileError(path, "holds no dictionary of tensors")


def _has_tensors(value: Any) -> bool:
    return type(value) is dict and any(type(entry) is PickledTensor for entry in value.values())


def _check_name(path: Path, name: Any) -> None:
    good = type(name) is str and 0 < len(name) <= MOST_NAME and name.isprintable()
    if not good or name == "__metadata__":
        shown = repr(name[:80]) if type(name) is str else f"a {kind_of(name)}"
        raise FileError(path, "is no name for a tensor", field=f"entry {shown}")


def _view(found: TorchFile, name: str, tensor: PickledTensor) -> TensorView:
    storage = tensor.storage
    begin, size = found.places[storage.key]

    def bad(problem: str) -> NoReturn:
        raise FileError(found.path, problem, field=f"tensor {name!r}", offset=begin)

    if tensor.dtype not in DTYPE_OF:
        known = ", ".join(DTYPE_OF)
        bad(f"is {tensor.dtype}; {known} are imported; leave it out with --without")
    if storage.dtype not in (tensor.dtype, UNTYPED):
        bad(f"is {tensor.dtype} in a storage of {storage.dtype}")
    if len(tensor.shape) > MOST_AXES:
        bad(f"has {len(tensor.shape)} axes; at most {MOST_AXES} are read")
    item = DTYPE_BYTES[tensor.dtype]
    count, held = math.prod(tensor.shape), size // item
    steps = zip(tensor.shape, tensor.strides, strict=True)
    last = tensor.offset + (sum((n - 1) * step for n, step in steps) if count else 0)
    if last >= held and count:
        bad(f"ends at number {last} of its storage, which has {size // item_bytes(storage)}")
    if count > held - tensor.offset and count:
        bad("repeats numbers of its storage (an expanded view); save a clone of it")
    if count >> 48 or any(n >> 48 for n in tensor.shape):
        bad("has a shape that no file holds")
    if count == 0:
        numbers = np.zeros(tensor.shape, dtype=f"<u{item}")
        return TensorView(name, DTYPE_OF[tensor.dtype], tensor.shape, numbers, (storage.key, 0, 0))
    # An axis of one number is never stepped along: its stride may say anything.
    strides = [
        item * s if n > 1 else item for n, s in zip(tensor.shape, tensor.strides, strict=True)
    ]
    numbers = np.ndarray(
        tensor.shape,
        dtype=f"<u{item}",
        buffer=found.data[begin : begin + size].data,
        offset=tensor.offset * item,
        strides=strides,
    )
    place = (storage.key, tensor.offset * item, (last + 1) * item)
    return TensorView(name, DTYPE_OF[tensor.dtype], tensor.shape, numbers, place)
