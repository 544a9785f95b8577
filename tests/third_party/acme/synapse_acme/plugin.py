"""What this distribution provides."""

from synapse_core.hookspecs import Provides, hookimpl


@hookimpl
def synapse_ops():
    return (Provides("op", "acme.scan", "synapse_acme.scan:SCAN", "s = decay · s + x."),)


@hookimpl
def synapse_attention():
    factory = "synapse_acme.attention:DecayAttention"
    return (Provides("attention", "acme_decay", factory, "Remembers by decay, not by keys."),)
