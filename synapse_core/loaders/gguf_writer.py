"""Writing a GGUF file a piece at a time: the container is the `gguf` package's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, cast

import attrs
import numpy as np

from synapse_core.loaders.gguf_metadata import ARRAY, BOOL, TEXT, GgufMetadata
from synapse_core.loaders.gguf_shards import SPLIT_KEYS
from synapse_core.loaders.gguf_tensors import ALIGNMENT_KEY, TYPES
from synapse_core.loaders.written import WrittenTensor, write_chunks

ARCHITECTURE_KEY = "general.architecture"
FILE_TYPE_KEY, LAYOUT_KEY = "general.file_type", "general.quantization_version"
# The layout of blocks since May 2023 (GGML_QNT_VERSION).
LAYOUT = 2
GGUF_FORMATS = frozenset(type.name for type in TYPES.values())
U32, I32, F32 = 4, 5, 6
# llama_ftype of a file that is mostly of a format; a guess by the tensors is 1024.
FILE_TYPES = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q8_0": 7,
    "q5_0": 8,
    "q5_1": 9,
    "q4_k": 14,
    "q5_k": 16,
    "q6_k": 18,
    "bf16": 32,
}
GUESSED = 1024


@attrs.frozen
class Key:
    """A key's value with the number of its type; `items` is that of an array's items."""

    value: Any
    kind: int
    items: int | None = None

    @classmethod
    def of(cls, value: Any) -> Key:
        """Take a value as llama.cpp's converters store it: u32, f32, bool, text, or such an array.

        An array of whole numbers is i32; whole numbers beneath zero are not meant.
        """
        if isinstance(value, list):
            first = value[0]
            whole = isinstance(first, int) and not isinstance(first, bool)
            return cls(value, ARRAY, I32 if whole else cls.of(first).kind)
        if isinstance(value, bool):
            return cls(value, BOOL)
        if isinstance(value, str):
            return cls(value, TEXT)
        return cls(value, U32 if isinstance(value, int) else F32)


def keys_of(metadata: GgufMetadata) -> tuple[dict[str, Key], tuple[str, ...]]:
    """Return all keys of a file, and the names of the empty arrays, which are left out.

    Those that say how it was cut in shards are left out too. The `gguf` package writes no empty
    array.
    """
    keys: dict[str, Key] = {}
    empty: list[str] = []
    for name, value in metadata.items():
        kind = metadata.kinds[name]
        if name in SPLIT_KEYS:
            continue
        if kind < 0 and not value:
            empty.append(name)
        else:
            keys[name] = Key(value, ARRAY, -1 - kind) if kind < 0 else Key(value, kind)
    return keys, tuple(empty)


def file_type(tensors: Iterable[WrittenTensor]) -> int:
    """Return the file type: that of the format which has the most bytes."""
    bytes: dict[str, int] = {}
    for tensor in tensors:
        bytes[tensor.format] = bytes.get(tensor.format, 0) + tensor.bytes
    most = max(bytes, key=lambda name: bytes[name])
    return FILE_TYPES.get(most, GUESSED)


def write_gguf(file: BinaryIO, keys: Mapping[str, Key], tensors: Sequence[WrittenTensor]) -> None:
    """Write a whole file with these keys, `general.architecture` among them.

    File type and layout of blocks are set by the tensors; the alignment is that of the keys.
    """
    from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter
    from gguf.gguf_writer import WriterState

    class Into(GGUFWriter):  # type: ignore[misc]
        """Writes into a file that is open: its own way of opening one is not atomic."""

        def open_output_file(self, path: Any = None) -> None:
            """Take the file."""
            self.fout = [cast(Any, file)]
            self.state = WriterState.EMPTY

    writer = Into(None, keys[ARCHITECTURE_KEY].value)
    all_keys = dict(keys)
    all_keys[FILE_TYPE_KEY] = Key(file_type(tensors), U32)
    all_keys[LAYOUT_KEY] = Key(LAYOUT, U32)
    if ALIGNMENT_KEY in all_keys:
        writer.data_alignment = int(all_keys[ALIGNMENT_KEY].value)
    del all_keys[ARCHITECTURE_KEY]  # the writer has set it, in the first place
    for name, key in all_keys.items():
        items = None if key.items is None else GGUFValueType(key.items)
        writer.add_key_value(name, key.value, GGUFValueType(key.kind), items)
    for tensor in tensors:
        type = GGMLQuantizationType[tensor.format.upper()]
        # Float32 tells the writer that the shape is in numbers; the type is the other one.
        writer.add_tensor_info(
            tensor.name, tensor.shape, np.dtype(np.float32), tensor.bytes, raw_dtype=type
        )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for tensor in tensors:
        file.write(bytes(-file.tell() % writer.data_alignment))
        write_chunks(file, tensor)
    file.write(bytes(-file.tell() % writer.data_alignment))
