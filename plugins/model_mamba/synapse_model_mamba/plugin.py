"""What this plugin provides: two families in two forms, their mixers, and the ops of these."""

from synapse_core.hookspecs import Provided, Provides, hookimpl

PACKAGE = "synapse_model_mamba"


def _op(module: str, summary: str) -> Provides:
    name = module.upper()
    sample = f"{PACKAGE}.samples:{name}"
    return Provides("op", f"mamba.{module}", f"{PACKAGE}.{module}:{name}", summary, sample)


@hookimpl
def synapse_ops() -> Provided:
    """The filter, both recurrences, and the norm behind a gate."""
    return (
        _op("conv1d_causal", "A short filter over the rows of a slot."),
        _op("selective_scan", "Mamba's recurrence."),
        _op("ssd_scan", "Mamba-2's recurrence."),
        _op("gated_rmsnorm", "A gate, then a norm of each group of columns."),
    )


@hookimpl
def synapse_attention() -> Provided:
    """The mixers, which stand where attention does."""
    return (
        Provides(
            "attention",
            "mamba1",
            f"{PACKAGE}.mixer1:Mamba1Mixer",
            "Mamba: a selective state space.",
            f"{PACKAGE}.samples:MIXER1",
        ),
        Provides(
            "attention",
            "mamba2",
            f"{PACKAGE}.mixer2:Mamba2Mixer",
            "Mamba-2: a state space by heads.",
            f"{PACKAGE}.samples:MIXER2",
        ),
    )


@hookimpl
def synapse_models() -> Provided:
    """Mamba and Mamba-2."""
    return (
        Provides(
            "model",
            "mamba",
            f"{PACKAGE}.mamba:FAMILY",
            "Mamba, 130M to 2.8B.",
            f"{PACKAGE}.samples:MAMBA",
        ),
        Provides(
            "model",
            "mamba2",
            f"{PACKAGE}.mamba2:FAMILY",
            "Mamba-2, 130M to 7B.",
            f"{PACKAGE}.samples:MAMBA2",
        ),
        Provides(
            "model",
            "mamba_original",
            f"{PACKAGE}.original:MAMBA",
            "Mamba, in state-spaces' own form.",
            f"{PACKAGE}.samples:ORIGINAL",
        ),
        Provides(
            "model",
            "mamba2_original",
            f"{PACKAGE}.original:MAMBA2",
            "Mamba-2, in state-spaces' own form.",
            f"{PACKAGE}.samples:ORIGINAL2",
        ),
    )
