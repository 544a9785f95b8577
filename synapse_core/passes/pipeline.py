"""The order of passes, and the stages that `synapse graph --stage` can show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import attrs

from synapse_core.errors import GraphError
from synapse_core.formats import CORE_FORMATS, Formats
from synapse_core.graph import Graph
from synapse_core.hookspecs import Registry
from synapse_core.passes.batchnorm import fold_batchnorm
from synapse_core.passes.dead import remove_dead
from synapse_core.passes.fold import fold_constants
from synapse_core.passes.formats import Choice, Rule, assign_arithmetic, assign_formats
from synapse_core.passes.fuse import fuse_add_norm, fuse_gate, fuse_linears


@attrs.frozen
class Pass:
    """A graph to graph rewrite: what a plugin's `pass` provides.

    `makes` are the ops it may introduce; it is skipped on a backend that lacks one of them.
    """

    name: str
    run: Callable[[Graph], Graph]
    makes: tuple[str, ...] = ()


FUSIONS = (
    Pass("fuse_linears", fuse_linears, ("linear",)),
    Pass("fuse_gate", fuse_gate, ("gated_activation",)),
    Pass("fuse_add_norm", fuse_add_norm, ("add_rmsnorm", "add_layernorm")),
)


def stages(
    graph: Graph,
    *,
    plan: Sequence[Rule] = (),
    arith: str | None = None,
    declared: Collection[str] | None = None,
    extra: Sequence[Pass] = (),
    report: Callable[[Choice], None] | None = None,
    formats: Formats = CORE_FORMATS,
) -> Iterator[tuple[str, Graph]]:
    """Yield (stage, graph) after every pass, beginning with ("built", graph).

    `declared` names the ops that the chosen backend has, None for all; `extra` are plugins' passes,
    run before the fusions. `formats` are those that weights are stored or asked in.
    """
    passes = [
        Pass("fold_batchnorm", lambda g: fold_batchnorm(g, formats)),
        Pass("remove_dead", remove_dead),
        Pass("assign_formats", lambda g: assign_formats(g, plan, report, formats)),
        Pass("fold_constants", lambda g: fold_constants(g, formats)),
        Pass("assign_arithmetic", lambda g: assign_arithmetic(g, arith)),
        *extra,
        *FUSIONS,
    ]
    yield "built", graph
    for step in passes:
        if declared is not None and not set(step.makes) <= set(declared):
            continue
        graph = step.run(graph)
        yield step.name, graph


def installed_passes(registry: Registry) -> tuple[Pass, ...]:
    """Return the passes that plugins bring, in the order of their names."""
    return tuple(registry.get("pass", name) for name in registry.names("pass"))


def optimise(
    graph: Graph,
    *,
    plan: Sequence[Rule] = (),
    arith: str | None = None,
    declared: Collection[str] | None = None,
    extra: Sequence[Pass] = (),
    report: Callable[[Choice], None] | None = None,
    formats: Formats = CORE_FORMATS,
) -> Graph:
    """Run all passes; arguments as of `stages`.

    Raises: GraphError naming an op that the backend does not declare.
    """
    for _, changed in stages(
        graph,
        plan=plan,
        arith=arith,
        declared=declared,
        extra=extra,
        report=report,
        formats=formats,
    ):
        graph = changed
    if declared is not None:
        used = {node.op for function in graph.functions.values() for node in function.nodes}
        missing = sorted(used - set(declared))
        if missing:
            raise GraphError(f"the chosen backend has no op {missing[0]!r}, which the model needs")
    return graph
