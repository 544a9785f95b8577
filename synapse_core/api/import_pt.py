"""From a torch pickle to safetensors, without running the pickle."""

from __future__ import annotations

from pathlib import Path

import attrs

from synapse_core.errors import UsageError
from synapse_core.files import write_whole
from synapse_core.loaders.safetensors import SUFFIX
from synapse_core.loaders.safetensors_writer import write_tensors
from synapse_core.loaders.torch_file import open_torch_file, read_state_dict


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

    `key` chooses among several dictionaries of tensors; `without` are patterns of names to leave
    out. Tied tensors are written once under each of their names.

    Raises: FileError for what the file is; UsageError for the names.
    """
    if output.suffix != SUFFIX:
        raise UsageError(f"-o {output}: the name must end in {SUFFIX}")
    if output.exists() and path.exists() and output.samefile(path):
        raise UsageError(f"-o {output}: is the input itself")
    found = read_state_dict(open_torch_file(path), key=key, without=without)
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
