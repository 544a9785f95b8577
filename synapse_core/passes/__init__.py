"""Graph to graph rewrites: fold, fuse, remove, assign formats and arithmetic."""

from synapse_core.passes.batchnorm import fold_batchnorm
from synapse_core.passes.dead import remove_dead
from synapse_core.passes.fold import fold_constants
from synapse_core.passes.formats import (
    Choice,
    Rule,
    asked_format,
    assign_arithmetic,
    assign_formats,
    given_format,
    holding_of,
)
from synapse_core.passes.fuse import expand, fuse_add_norm, fuse_gate, fuse_linears
from synapse_core.passes.pipeline import FUSIONS, Pass, installed_passes, optimise, stages
from synapse_core.passes.plan import check_plan, plan_for, read_plan
from synapse_core.passes.reencode import Reencoded, reencode, relative_error
from synapse_core.passes.show import as_diff, as_dot, as_text
from synapse_core.passes.svg import as_svg

__all__ = [
    "FUSIONS",
    "Choice",
    "Pass",
    "Reencoded",
    "Rule",
    "as_diff",
    "as_dot",
    "as_svg",
    "as_text",
    "asked_format",
    "assign_arithmetic",
    "assign_formats",
    "check_plan",
    "expand",
    "fold_batchnorm",
    "fold_constants",
    "fuse_add_norm",
    "fuse_gate",
    "fuse_linears",
    "given_format",
    "holding_of",
    "installed_passes",
    "optimise",
    "plan_for",
    "read_plan",
    "reencode",
    "relative_error",
    "remove_dead",
    "stages",
]
