"""Graph to graph rewrites: fold, fuse, remove, assign formats and arithmetic."""

from synapse_core.passes.dead import remove_dead
from synapse_core.passes.fold import fold_constants
from synapse_core.passes.formats import Choice, Rule, assign_arithmetic, assign_formats
from synapse_core.passes.fuse import expand, fuse_add_norm, fuse_gate, fuse_linears
from synapse_core.passes.pipeline import FUSIONS, Pass, installed_passes, optimise, stages
from synapse_core.passes.show import as_diff, as_dot, as_text
from synapse_core.passes.svg import as_svg

__all__ = [
    "FUSIONS",
    "Choice",
    "Pass",
    "Rule",
    "as_diff",
    "as_dot",
    "as_svg",
    "as_text",
    "assign_arithmetic",
    "assign_formats",
    "expand",
    "fold_constants",
    "fuse_add_norm",
    "fuse_gate",
    "fuse_linears",
    "installed_passes",
    "optimise",
    "remove_dead",
    "stages",
]
