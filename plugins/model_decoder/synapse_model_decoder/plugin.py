"""The families of this plugin; each is imported when a checkpoint asks for it."""

from synapse_core.hookspecs import Provided, Provides, hookimpl

PACKAGE = "synapse_model_decoder"


@hookimpl
def synapse_models() -> Provided:
    """LLaMA, Mistral, Qwen, Phi and Gemma."""
    return (
        Provides("model", "llama", f"{PACKAGE}.llama:FAMILY", "LLaMA 1 to 3.2, dense."),
        Provides("model", "mistral", f"{PACKAGE}.mistral:FAMILY", "Mistral, dense."),
        Provides("model", "qwen2", f"{PACKAGE}.qwen2:FAMILY", "Qwen2 and Qwen2.5, dense."),
        Provides("model", "qwen3", f"{PACKAGE}.qwen3:FAMILY", "Qwen3, dense."),
        Provides("model", "phi3", f"{PACKAGE}.phi3:FAMILY", "Phi-3, Phi-3.5 and Phi-4, dense."),
        Provides("model", "gemma", f"{PACKAGE}.gemma:FAMILY", "Gemma, the first."),
        Provides("model", "gemma2", f"{PACKAGE}.gemma2:FAMILY", "Gemma 2."),
        Provides("model", "gemma3", f"{PACKAGE}.gemma3:FAMILY", "Gemma 3, text only."),
    )
