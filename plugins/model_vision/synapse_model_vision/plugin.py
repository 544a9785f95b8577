"""What this plugin provides: families that take images."""

from synapse_core.hookspecs import Provided, Provides, hookimpl

PACKAGE = "synapse_model_vision"


def _family(name: str, factory: str, summary: str) -> Provides:
    sample = f"{PACKAGE}.samples:{name.upper()}"
    return Provides("model", name, f"{PACKAGE}.{factory}", summary, sample)


@hookimpl
def synapse_models() -> Provided:
    """ViT, in three forms."""
    return (
        _family("vit", "vit:CLASSIFIER", "ViT with a head of classes."),
        _family("vit_features", "vit:FEATURES", "ViT without a head."),
        _family("vit_timm", "timm:FAMILY", "ViT in timm's form."),
    )
