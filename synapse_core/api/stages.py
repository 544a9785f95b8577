"""A model's graph after every pass, to be looked at."""

from __future__ import annotations

from pathlib import Path

from synapse_core.api.build import Built, declared_graph, planned_positions
from synapse_core.api.source import default_model, is_program, open_checkpoint
from synapse_core.errors import UsageError
from synapse_core.families import (
    bind_weights,
    choose_family,
    ignored_tensors,
    model_config,
)
from synapse_core.formats import Formats
from synapse_core.graph import Graph
from synapse_core.hookspecs import Registry
from synapse_core.passes import installed_passes, plan_for, stages
from synapse_core.plugins import default_host


def graph_stages(
    path: str | Path | None = None,
    *,
    format: str | None = None,
    arith: str | None = None,
    context: int | None = None,
    image_size: tuple[int, int] | None = None,
    registry: Registry | None = None,
) -> dict[str, Graph]:
    """Return the graph of a checkpoint after every pass, by the pass's name, "built" first.

    The options are those of `build`.

    Raises: UsageError for a `.syn` file, which has no graph.
    """
    registry = registry or default_host()
    place = Path(path) if path is not None else default_model(registry)
    if is_program(place):
        raise UsageError(f"{place} is compiled and has no graph; name the checkpoint it came from")
    checkpoint = open_checkpoint(place, registry)
    family = choose_family(checkpoint, registry)
    config = model_config(family, checkpoint)
    positions = planned_positions(context, config.context)
    graph = declared_graph(family, config, registry, checkpoint, positions, image_size)
    formats = Formats(registry)
    graph = bind_weights(graph, family, checkpoint, formats)
    plan = plan_for(format, family.kept(config))
    extra = installed_passes(registry)
    return dict(stages(graph, plan=plan, arith=arith, extra=extra, formats=formats))


def ignored_of(built: Built) -> dict[str, str]:
    """Return the file's tensors that a model's family leaves out, each with the reason."""
    if built.checkpoint is None or built.definition is None:
        return {}
    return ignored_tensors(built.definition, built.checkpoint)
