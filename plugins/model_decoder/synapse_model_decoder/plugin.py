"""The families of this plugin; each is imported when a checkpoint asks for it."""

from synapse_core.hookspecs import Provided, Provides, hookimpl

PACKAGE = "synapse_model_decoder"


def _family(name: str, sample: str, summary: str) -> Provides:
    return Provides(
        "model", name, f"{PACKAGE}.{name}:FAMILY", summary, f"{PACKAGE}.samples:{sample}"
    )


@hookimpl
def synapse_models() -> Provided:
    """LLaMA, Mistral, Qwen, Phi and Gemma."""
    return (
        _family("llama", "LLAMA", "LLaMA 1 to 3.2, dense."),
        _family("mistral", "MISTRAL", "Mistral, dense."),
        _family("qwen2", "QWEN2", "Qwen2 and Qwen2.5, dense."),
        _family("qwen3", "QWEN3", "Qwen3, dense."),
        _family("phi3", "PHI3", "Phi-3, Phi-3.5 and Phi-4, dense."),
        _family("gemma", "GEMMA1", "Gemma, the first."),
        _family("gemma2", "GEMMA2", "Gemma 2."),
        _family("gemma3", "GEMMA3", "Gemma 3, text only."),
    )
