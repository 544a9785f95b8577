"""From a checkpoint's metadata to a config, and from a config to a graph."""

from __future__ import annotations

from functools import partial

from synapse_core.errors import Unavailable
from synapse_core.families.choose import config_file
from synapse_core.families.contract import BuildGraph, Config, Family
from synapse_core.families.fields import Fields
from synapse_core.families.stack import build_token_stack
from synapse_core.graph import Graph, GraphBuilder
from synapse_core.hookspecs import Registry
from synapse_core.loaders import Checkpoint


def model_config(family: Family, checkpoint: Checkpoint) -> Config:
    """Return the config of a checkpoint, every number checked.

    Raises: FileError naming the key; Unavailable when the family does not read such files.
    """
    read = family.config.get(checkpoint.source)
    if read is None:
        known = ", ".join(family.config)
        raise Unavailable(
            f"{checkpoint.path}: family {family.name!r} reads {known}, not {checkpoint.source}"
        )
    fields = Fields(config_file(checkpoint), checkpoint.metadata, tensors=checkpoint.tensors)
    return read(fields)


def build_graph(
    family: Family,
    config: Config,
    registry: Registry,
    context: int | None = None,
    image_size: tuple[int, int] | None = None,
) -> Graph:
    """Return the graph of a config: weights are declared, not bound.

    `context` is how many positions it will serve, the model's own unless given. Rope scalings that
    depend on it (`dynamic`, `longrope`) choose their frequencies by it, once. `image_size` is the
    height and width of images in pixels, those that the model was trained on unless given.

    Raises: UsageError or ShapeError where components, options or sizes do not go together.
    """
    positions = config.context if context is None else context
    builder = GraphBuilder(partial(registry.get, "op"), context=positions, image_size=image_size)
    build: BuildGraph = family.build or build_token_stack
    build(builder, config, registry)
    return builder.finish()
