"""What this distribution provides."""

from synapse_core.hookspecs import Provided, Provides, hookimpl

PACKAGE = "synapse_model_rwkv"
SAMPLES = f"{PACKAGE}.samples"


@hookimpl
def synapse_models() -> Provided:
    """RWKV-7 under the names of BlinkDL and of GGUF, and under those of fla-hub."""
    return (
        Provides("model", "rwkv7", f"{PACKAGE}.blinkdl:FAMILY", "RWKV-7.", f"{SAMPLES}:BLINKDL"),
        Provides(
            "model", "rwkv7_fla", f"{PACKAGE}.fla:FAMILY", "RWKV-7 of fla-hub.", f"{SAMPLES}:FLA"
        ),
    )


@hookimpl
def synapse_attention() -> Provided:
    """Time mix and channel mix."""
    return (
        Provides(
            "attention",
            "rwkv7_time_mix",
            f"{PACKAGE}.time_mix:TimeMix",
            "RWKV-7's state that learns.",
            f"{SAMPLES}:TIME_MIX",
        ),
        Provides(
            "attention",
            "rwkv7_channel_mix",
            f"{PACKAGE}.channel_mix:ChannelMix",
            "RWKV-7's squared ReLU, one row back.",
            f"{SAMPLES}:CHANNEL_MIX",
        ),
    )


@hookimpl
def synapse_ops() -> Provided:
    """The token shift and the state."""
    return (
        Provides(
            "op",
            "rwkv.token_shift",
            f"{PACKAGE}.token_shift:TOKEN_SHIFT",
            "Each row moved towards the one before it.",
            f"{SAMPLES}:TOKEN_SHIFT",
        ),
        Provides(
            "op",
            "rwkv.wkv7",
            f"{PACKAGE}.wkv7:WKV7",
            "RWKV-7's state, head by head.",
            f"{SAMPLES}:WKV7",
        ),
    )


@hookimpl
def synapse_tokenizers() -> Provided:
    """The tokenizer of RWKV World."""
    return (
        Provides(
            "tokenizer",
            "rwkv_world",
            f"{PACKAGE}.vocabulary:WorldReader",
            "The longest tokens of RWKV World's bytes.",
            f"{SAMPLES}:WORLD",
        ),
    )


@hookimpl
def synapse_commands() -> Provided:
    """`synapse import-rwkv`."""
    factory = f"{PACKAGE}.command:import_rwkv"
    return (Provides("command", "import-rwkv", factory, "A folder of a bare file of RWKV-7."),)
