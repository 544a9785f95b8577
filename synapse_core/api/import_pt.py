"""From torch pickles to safetensors, without running them."""

from __future__ import annotations

from pathlib import Path

import attrs

from synapse_core.errors import FileError, UsageError
from synapse_core.files import write_whole
from synapse_core.loaders.safetensors import SUFFIX
from synapse_core.loaders.safetensors_writer import write_tensors
from synapse_core.loaders.torch_file import (
    INDEX,
    index_of,
    open_torch_file,
    read_shards,
    read_state_dict,
)


@attrs.frozen
class Imported:
    """What was written.

    `key` is where in the file the tensors lay, None at the top. `tied` are groups of names that
    shared their numbers, `copied` names of views that were made contiguous, `left_out` names that
    were asked to be. Units: `bytes` of the written file.
    """

    output: Path
    bytes: int
    tensors: int
    key: str | None
    tied: tuple[tuple[str, ...], ...]
    copied: tuple[str, ...]
    left_out: tuple[str, ...]


def import_pt(
    path: Path, output: Path, *, key: str | None = None, without: tuple[str, ...] = ()
) -> Imported:
    """Write the tensors of a torch file as safetensors; the file appears whole or not at all.

    A model in shards is named by its index, or by the folder that has it: one file comes of it.
    `key` chooses among several dictionaries of tensors; `without` are patterns of names to leave
    out. Tied tensors are written once under each of their names.

    Raises: FileError for what the file is; UsageError for the names.
    """
    if output.suffix != SUFFIX:
        raise UsageError(f"-o {output}: the name must end in {SUFFIX}")
    index = index_of(path)
    if index is not None:
        found, inputs = read_shards(index, key=key, without=without)
    elif path.is_dir():
        raise FileError(path, f"is a folder without {INDEX}; name a file in it")
    else:
        found, inputs = read_state_dict(open_torch_file(path), key=key, without=without), (path,)
    if output.exists() and any(output.samefile(file) for file in inputs):
        raise UsageError(f"-o {output}: is the input itself")
    with write_whole(output) as file:
        write_tensors(file, found.tensors, {"format": "pt"})
    return Imported(
        output=output,
        bytes=output.stat().st_size,
        tensors=len(found.tensors),
        key=found.key,
        tied=found.tied,
        copied=tuple(tensor.name for tensor in found.tensors if not tensor.contiguous),
        left_out=found.left_out,
    )
