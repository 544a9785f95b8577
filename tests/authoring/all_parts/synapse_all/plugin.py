"""What this distribution provides."""

from synapse_core.hookspecs import Provided, Provides, hookimpl


@hookimpl
def synapse_ffn() -> Provided:
    """A feed-forward around the op `mine`."""
    return (Provides("ffn", "all_slopes", "synapse_all.family:Slopes", "The op, then a linear."),)


@hookimpl
def synapse_models() -> Provided:
    """A family of the parts `mine`."""
    return (Provides("model", "all", "synapse_all.family:FAMILY", "Every part `mine`."),)
