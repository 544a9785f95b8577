"""The families of this plugin; each is imported when a checkpoint asks for it."""

from synapse_core.hookspecs import Provided, Provides, hookimpl


@hookimpl
def synapse_models() -> Provided:
    """LLaMA and Qwen3."""
    return (
        Provides("model", "llama", "synapse_model_decoder.llama:FAMILY", "LLaMA 1 to 3.2, dense."),
        Provides("model", "qwen3", "synapse_model_decoder.qwen3:FAMILY", "Qwen3, dense."),
    )
