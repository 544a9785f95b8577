"""From a path to a program: loader, family, graph, passes, lowering."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import attrs

from synapse_core.api.limits import limits_of
from synapse_core.api.room import available_bytes, check_room
from synapse_core.api.source import is_program, open_checkpoint
from synapse_core.backends import Executable
from synapse_core.errors import UsageError
from synapse_core.families import (
    ENCODE_IMAGE,
    Config,
    Family,
    bind_weights,
    build_graph,
    choose_family,
    ignored_tensors,
    model_config,
)
from synapse_core.formats import Formats
from synapse_core.generate import (
    HOST_KEY,
    Tokenizer,
    assets_of_host,
    open_tokenizer,
    read_assets,
    read_named,
)
from synapse_core.generate.model_files import Files, text_of
from synapse_core.graph import Encoded, Graph, WeightSource
from synapse_core.hookspecs import Registry
from synapse_core.images import PREPROCESSOR_JSON, size_of_file
from synapse_core.loaders import Checkpoint
from synapse_core.ops import Op
from synapse_core.passes import Choice, installed_passes, optimise, plan_for
from synapse_core.program import Limits, Program, functions_of, lower, open_program

DEFAULT_CONTEXT = 2048
PREFILL_ROWS = 512
OUTPUT_ROWS = 16
DEFAULT_KV = "f16"
LimitsFor = Callable[[Config], Limits]


@attrs.frozen(eq=False)
class Built:
    """A model lowered and ready for a backend.

    `graph`, `checkpoint`, `definition` (the family) and `choices` (what each weight was re-encoded
    to) are there when it was built from a checkpoint; a `.syn` file has none of them.
    """

    path: Path
    family: str
    config: Mapping[str, Any]
    assets: Files
    program: Program
    registry: Registry
    graph: Graph | None = None
    checkpoint: Checkpoint | None = None
    definition: Family | None = None
    choices: tuple[Choice, ...] = ()

    @property
    def find_op(self) -> Callable[[str], Op]:
        """What resolves an op's name."""
        return _finder(self.registry)

    def executable(self) -> Executable:
        """Return what a backend opens and a target exports."""
        return Executable(self.program, self.find_op, self.graph)

    def tokenizer(self) -> Tokenizer:
        """Return the model's tokenizer, read anew.

        Raises: FileError when it has none or a bad one.
        """
        return open_tokenizer(self.assets, str(self.path), self.registry)


def build(
    path: Path,
    registry: Registry,
    *,
    limits: Limits | LimitsFor | None = None,
    format: str | None = None,
    arith: str | None = None,
    kv: str | None = None,
    context: int | None = None,
    slots: int = 1,
    rows: int = PREFILL_ROWS,
    output_rows: int = OUTPUT_ROWS,
    images: int | None = None,
    image_size: tuple[int, int] | None = None,
    apart: bool = False,
    complete: bool = False,
    declared: Collection[str] | None = None,
    tokenizer: str | None = None,
    memory_bytes: int | None = None,
) -> Built:
    """Open a model and lower it.

    `format` re-encodes its matrices, `arith` names the arithmetic of its products, `context` is
    how many positions memory is planned for (the model's own, at most 2048, unless said). `limits`
    says everything at once instead, or says it of the config that was read. `images` are how many
    go into one call, `image_size` is their height and width: what the file's preprocessor makes of
    them, else what the model was trained on. `tokenizer` names the reader of its files where
    several claim them. A `.syn` file has all this fixed. `apart` takes the weights out of the
    checkpoint's files, so that a program written of them holds nothing but its weights; `complete`
    puts tokenizer, settings and chat template into the program as a `.syn` has them.
    `memory_bytes` is what re-encoded matrices may take: what this machine has, unless said.

    Raises: FileError, WeightError and kin for the file; UsageError for the options; Unavailable
    where the matrices would not fit memory, before one is re-encoded.
    """
    if is_program(path):
        _refuse_options(
            path,
            limits=limits,
            format=format,
            arith=arith,
            kv=kv,
            context=context,
            images=images,
            image_size=image_size,
            tokenizer=tokenizer,
        )
        return _built_before(path, registry)
    checkpoint = open_checkpoint(path, registry)
    family = choose_family(checkpoint, registry)
    config = model_config(family, checkpoint)
    if limits is not None and not isinstance(limits, Limits):
        limits = limits(config)
    if limits is None:
        positions = planned_positions(context, config.context)
    elif kv is not None or context is not None or images is not None:
        raise UsageError("limits say kv, context and images already: give them or the options")
    else:
        positions = limits.positions
    built = declared_graph(family, config, registry, checkpoint, positions, image_size)
    if limits is None:
        limits = limits_of(
            built,
            positions=positions,
            rows=rows,
            output_rows=output_rows,
            slots=slots,
            images=images,
            kv=kv or DEFAULT_KV,
        )
    formats = Formats(registry)
    bound = bind_weights(built, family, checkpoint, formats)
    plan = plan_for(format, family.kept(config))
    room_bytes = available_bytes() if memory_bytes is None else memory_bytes
    check_room(path, bound, plan, room_bytes, formats)
    choices: list[Choice] = []
    graph = optimise(
        bound,
        plan=plan,
        arith=arith,
        declared=declared,
        extra=installed_passes(registry),
        report=choices.append,
        formats=formats,
    )
    if apart:
        graph = _apart(graph)
    assets = read_assets(checkpoint, registry, tokenizer)
    plain = config.to_json()
    carried = assets if complete else {}
    host = host_of(family.name, plain, carried, _parameters(family, checkpoint))
    program = lower(graph, limits, _finder(registry), host)
    return Built(
        path,
        family.name,
        plain,
        assets,
        program,
        registry,
        graph,
        checkpoint,
        family,
        tuple(choices),
    )


def declared_graph(
    family: Family,
    config: Config,
    registry: Registry,
    checkpoint: Checkpoint,
    positions: int,
    image_size: tuple[int, int] | None = None,
) -> Graph:
    """Return the graph of a checkpoint, its weights declared.

    Images have the size that is asked for, else what the file's preprocessor makes of them, else
    what the model was trained on.

    Raises: UsageError for an image size where the model takes no images.
    """
    graph = build_graph(family, config, registry, positions, image_size)
    if ENCODE_IMAGE not in graph.functions:
        if image_size is not None:
            raise UsageError(f"an image size of {image_size}: this model takes no images")
        return graph
    if image_size is None:
        files = read_named(checkpoint, PREPROCESSOR_JSON)
        size = size_of_file(files, checkpoint.path)
        if size is not None:
            return build_graph(family, config, registry, positions, size)
    return graph


def host_of(
    family: str, config: Mapping[str, Any], assets: Files, parameters: int
) -> dict[str, Any]:
    """Return what a program's JSON says of the model that it came from."""
    said = {"family": family, "config": dict(config), "parameters": parameters}
    return {**said, HOST_KEY: {name: text_of(assets, name) for name in assets}}


def _built_before(path: Path, registry: Registry) -> Built:
    program = open_program(path)
    functions_of(program)
    config = program.host.get("config", {})
    return Built(
        path,
        str(program.host.get("family", "unknown")),
        config if isinstance(config, dict) else {},
        assets_of_host(program.host, path),
        program,
        registry,
    )


def _apart(graph: Graph) -> Graph:
    """Return the graph with weights that no longer lie in a file."""
    weights = {
        name: attrs.evolve(weight, source=_copy(weight.source)) if weight.source else weight
        for name, weight in graph.weights.items()
    }
    return attrs.evolve(graph, weights=weights)


def _copy(source: WeightSource) -> WeightSource:
    if source.place is None:
        return source
    return Encoded(source.format, source.rows, source.cols, source.raw())


def _parameters(family: Family, checkpoint: Checkpoint) -> int:
    ignored = ignored_tensors(family, checkpoint)
    used = (
        tensor
        for name, tensor in checkpoint.tensors.items()
        if name not in ignored and not any(fnmatchcase(name, p) for p in family.buffers)
    )
    return sum(tensor.rows * tensor.cols for tensor in used)


def _refuse_options(path: Path, **options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{path} is compiled: {given[0]} is fixed in it; compile it again")


def planned_positions(asked: int | None, longest: int) -> int:
    """Return how many positions a model is built for: as asked, else its own, at most 2048.

    Raises: UsageError for fewer than one, or more than the model was made for.
    """
    if asked is None:
        return min(longest, DEFAULT_CONTEXT)
    if asked < 1:
        raise UsageError(f"context {asked}: must be 1 or more positions")
    if asked > longest:
        raise UsageError(f"context {asked}: this model was made for at most {longest} positions")
    return asked


def _finder(registry: Registry) -> Callable[[str], Op]:
    def find(name: str) -> Op:
        op: Op = registry.get("op", name)
        return op

    return find
