"""From a checkpoint to a copy of it in other formats: where it goes and what goes along."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import attrs

from synapse_core.api.carry import beside, carried_files, check_beside, copy_files
from synapse_core.api.gguf_folder import files_of_gguf
from synapse_core.api.gguf_form import GgufPlan, plan_gguf
from synapse_core.api.quantize import Requantized, plan_tensors, usable_threads, written
from synapse_core.api.source import is_program, open_checkpoint
from synapse_core.errors import FileError, UsageError
from synapse_core.families import bind_weights, build_graph, choose_family, model_config
from synapse_core.files import write_folder, write_whole
from synapse_core.formats import Formats
from synapse_core.hookspecs import Registry
from synapse_core.loaders import Checkpoint
from synapse_core.loaders.gguf_writer import write_gguf
from synapse_core.loaders.safetensors import SINGLE
from synapse_core.loaders.safetensors_writer import write_formats
from synapse_core.loaders.written import WrittenTensor
from synapse_core.passes import check_plan, plan_for, read_plan

GGUF_SUFFIX, SAFETENSORS_SUFFIX = ".gguf", ".safetensors"


@attrs.frozen
class Copy:
    """What was written: the tensors, the file's bytes, and what is to be known about it."""

    output: Path
    family: str
    bytes: int
    tensors: tuple[Requantized, ...]
    notes: tuple[str, ...]


def requantize(
    source: Path,
    output: Path,
    registry: Registry,
    *,
    format: str | None = None,
    plan_file: Path | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Copy:
    """Write a checkpoint with its matrices in other formats; it appears whole or not at all.

    `output` ending in .gguf is a GGUF file, in .safetensors such a file with its config beside it,
    else a new folder. The first pattern of the plan that a weight's name matches says its format,
    then `format`; what neither means keeps its own. `report` hears of bytes read, and of all.

    Raises: UsageError for what is asked; FileError for the files, the plan's patterns among them;
    Unavailable for a family that has no GGUF form.
    """
    if format is None and plan_file is None:
        raise UsageError("nothing is asked: give --format, --plan, or both")
    if is_program(source) or is_program(output):
        raise UsageError("a .syn file is made by `synapse compile --format`; name checkpoints")
    formats = Formats(registry)
    rules = read_plan(plan_file, formats) if plan_file is not None else ()
    checkpoint = open_checkpoint(source, registry)
    _check_place(checkpoint, output)
    family = choose_family(checkpoint, registry)
    config = model_config(family, checkpoint)
    graph = bind_weights(build_graph(family, config, registry), family, checkpoint, formats)
    if plan_file is not None:
        matrices = (name for name, weight in graph.weights.items() if weight.rows > 1)
        check_plan(plan_file, rules, matrices)
    plan = (*rules, *plan_for(format, family.kept(config)))
    tensors = plan_tensors(checkpoint, graph, family, plan, formats)
    notes: tuple[str, ...] = ()
    gguf: GgufPlan | None = None
    files: Mapping[str, bytes] = {}
    if output.suffix == GGUF_SUFFIX:
        gguf = plan_gguf(checkpoint, family, config, tensors)
        notes = gguf.notes
    elif checkpoint.source == "gguf" and not checkpoint.has_files:
        files, notes = files_of_gguf(checkpoint, tensors)
    else:
        files = carried_files(checkpoint.folder, registry)
    total = sum(tensor.source.data.size for tensor in tensors)
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        report(done, total)

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(usable_threads()) as pool:
        put = partial(written, pool=pool, report=progress)
        if gguf is not None:
            with write_whole(output) as file:
                write_gguf(file, gguf.keys, gguf.written(put))
            size = output.stat().st_size
        else:
            made = [put(tensor) for tensor in tensors]
            size = _write_safetensors(files, output, made, registry, formats)
    return Copy(output, family.name, size, tuple(tensors), notes)


def _write_safetensors(
    files: Mapping[str, bytes],
    output: Path,
    tensors: Sequence[WrittenTensor],
    registry: Registry,
    formats: Formats,
) -> int:
    if output.suffix == SAFETENSORS_SUFFIX:
        check_beside(files, output, registry)
        with beside(files, output.parent), write_whole(output) as file:
            write_formats(file, tensors, formats)
        return output.stat().st_size
    with write_folder(output) as folder:
        copy_files(files, folder)
        with write_whole(folder / SINGLE) as file:
            write_formats(file, tensors, formats)
    return (output / SINGLE).stat().st_size


def _check_place(checkpoint: Checkpoint, output: Path) -> None:
    """Refuse an output that is the input or one of its files, or has no folder."""
    inputs = {checkpoint.path, *(tensor.file for tensor in checkpoint.tensors.values())}
    for path in inputs:
        if output.resolve() == path.resolve() or (output.exists() and output.samefile(path)):
            raise UsageError(f"{output} is the input itself; name another place to write")
    if not output.absolute().parent.is_dir():
        raise FileError(output, f"cannot be written: there is no folder {output.parent}")
