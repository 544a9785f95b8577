"""What the globals in a torch pickle become: plain data that does nothing.

Source: torch/_utils.py (`_rebuild_*`) and torch/serialization.py (`persistent_id`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs


class NotATensorDictionary(Exception):
    """A value is not what a dictionary of tensors has there; the machine adds file and byte."""


@attrs.frozen(eq=False)
class Global:
    """A global that the allow-list has, by its full name. It stands for nothing that runs."""

    name: str


@attrs.frozen(eq=False)
class Storage:
    """Numbers that tensors look into: `count` of `dtype` (bytes where that is untyped)."""

    key: str
    dtype: str
    count: int


@attrs.frozen(eq=False)
class PickledTensor:
    """A tensor as its pickle says it, unchecked: a view into a storage, in elements."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


# torch's dtypes by the name of the global, and the bytes of a number. Storages say one of them.
DTYPE_BYTES = {
    **dict.fromkeys(("float32", "int32", "uint32", "qint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("float64", "int64", "uint64", "complex64"), 8),
    **dict.fromkeys(("bool", "int8", "uint8", "qint8", "quint8"), 1),
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2"), 1),
    "complex128": 16,
}
UNTYPED = "untyped"
_STORAGES = {
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.DoubleStorage": "float64",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
    "torch.ComplexFloatStorage": "complex64",
    "torch.ComplexDoubleStorage": "complex128",
    "torch.QInt8Storage": "qint8",
    "torch.QUInt8Storage": "quint8",
    "torch.QInt32Storage": "qint32",
    "torch.storage.UntypedStorage": UNTYPED,
}
_DTYPES = {f"torch.{name}": name for name in DTYPE_BYTES}


def item_bytes(storage: Storage) -> int:
    """Return the bytes of one element of a storage."""
    return DTYPE_BYTES.get(storage.dtype, 1)


def find_global(name: str) -> Global:
    """Return the inert value of a global.

    Raises: NotATensorDictionary quoting one that is not on the list.
    """
    if name not in _CALLS and name not in _STORAGES and name not in _DTYPES:
        raise NotATensorDictionary(
            f"refers to {name[:80]!r}, which no dictionary of tensors needs; it was not run"
        )
    return Global(name)


def call(target: Any, arguments: Any) -> Any:
    """Return what a global gives for its arguments.

    Raises: NotATensorDictionary when it is none that gives anything, or they do not fit it.
    """
    if type(target) is not Global or target.name not in _CALLS:
        found = target.name if type(target) is Global else f"a {kind_of(target)}"
        raise NotATensorDictionary(f"calls {found}, which is nothing to call")
    if type(arguments) is not tuple:
        raise NotATensorDictionary(f"calls {target.name} with a {kind_of(arguments)}")
    result = _CALLS[target.name](*arguments[:MOST_ARGUMENTS])
    if result is None or len(arguments) > MOST_ARGUMENTS:
        raise NotATensorDictionary(f"calls {target.name} with what it does not take")
    return result


def storage_of(identity: Any) -> Storage:
    """Return the storage of a persistent id: ("storage", type, key, device, count[, None]).

    Raises: NotATensorDictionary.
    """
    known = type(identity) is tuple and len(identity) in (5, 6) and identity[0] == "storage"
    if not known or (len(identity) == 6 and identity[5] is not None):
        raise NotATensorDictionary("has a persistent id that is no storage")
    kind, key, count = identity[1], identity[2], identity[4]
    if type(kind) is not Global or kind.name not in _STORAGES:
        raise NotATensorDictionary("has a storage of an unknown type")
    if type(key) is not str or len(key) > MOST_KEY or not _is_size(count):
        raise NotATensorDictionary("has a storage whose key or size is none")
    return Storage(key, _STORAGES[kind.name], count)


def set_item(target: dict[Any, Any], key: Any, value: Any) -> None:
    """Put a value under a key that may be text or a small number.

    Other keys are refused unhashed: hashing a nested tuple can take for ever, and large numbers
    can be chosen to collide.

    Raises: NotATensorDictionary.
    """
    if type(key) is not str and not (type(key) is int and 0 <= key < 1 << 31):
        raise NotATensorDictionary(f"has a {kind_of(key)} for a key, expected text")
    target[key] = value


def kind_of(value: Any) -> str:
    """Name the kind of a value; never writes the value itself, which may be without end."""
    return value.name if type(value) is Global else type(value).__name__


MOST_ARGUMENTS = 8
MOST_KEY = 64


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def _sizes(value: Any) -> bool:
    return type(value) is tuple and len(value) <= 64 and all(map(_is_size, value))


def _rebuild(
    storage: Any = None,
    offset: Any = None,
    shape: Any = None,
    strides: Any = None,
    *rest: Any,
) -> PickledTensor | None:
    fits = type(storage) is Storage and _is_size(offset) and _sizes(shape) and _sizes(strides)
    if not fits or len(shape) != len(strides):
        return None
    return PickledTensor(storage, storage.dtype, offset, shape, strides)


def _rebuild_with_dtype(*arguments: Any) -> PickledTensor | None:
    tensor = _rebuild(*arguments)
    dtype = arguments[6] if len(arguments) > 6 else None
    if tensor is None or type(dtype) is not Global or dtype.name not in _DTYPES:
        return None
    return attrs.evolve(tensor, dtype=_DTYPES[dtype.name])


def _parameter(tensor: Any = None, *rest: Any) -> Any:
    return tensor if type(tensor) is PickledTensor else None


def _ordered(*arguments: Any) -> dict[Any, Any] | None:
    pairs = arguments[0] if arguments else []
    if len(arguments) > 1 or type(pairs) is not list:
        return None
    made: dict[Any, Any] = {}
    for pair in pairs:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            return None
        set_item(made, pair[0], pair[1])
    return made


def _size(shape: Any = None, *rest: Any) -> Any:
    return shape if _sizes(shape) else None


def _device(name: Any = None, *rest: Any) -> Any:
    return name if type(name) is str else None


_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered,
    "torch._utils._rebuild_tensor": _rebuild,
    "torch._utils._rebuild_tensor_v2": _rebuild,
    "torch._utils._rebuild_tensor_v3": _rebuild_with_dtype,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _device,
}
