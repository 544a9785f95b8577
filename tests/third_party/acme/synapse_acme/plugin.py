"""What this distribution provides."""

from synapse_core.hookspecs import Provides, hookimpl


@hookimpl
def synapse_ops():
    factory, sample = "synapse_acme.scan:SCAN", "synapse_acme.sample:SCAN"
    return (Provides("op", "acme.scan", factory, "s = decay · s + x.", sample),)


@hookimpl
def synapse_attention():
    factory = "synapse_acme.attention:DecayAttention"
    return (Provides("attention", "acme_decay", factory, "Remembers by decay, not by keys."),)
