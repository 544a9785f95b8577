"""What this plugin provides: families that take images."""

from synapse_core.hookspecs import Provided, Provides, hookimpl

PACKAGE = "synapse_model_vision"


def _family(name: str, factory: str, summary: str) -> Provides:
    sample = f"{PACKAGE}.samples:{name.upper()}"
    return Provides("model", name, f"{PACKAGE}.{factory}", summary, sample)


@hookimpl
def synapse_models() -> Provided:
    """ViT in three forms, DINOv2 and CLIP."""
    return (
        _family("vit", "vit:CLASSIFIER", "ViT with a head of classes."),
        _family("vit_features", "vit:FEATURES", "ViT without a head."),
        _family("vit_timm", "timm:FAMILY", "ViT in timm's form."),
        _family("dinov2", "dinov2:FAMILY", "DINOv2, with and without registers and classes."),
        _family("clip", "clip:FAMILY", "CLIP, both of its towers or one."),
    )


@hookimpl
def synapse_norm() -> Provided:
    """What DINOv2 has where other models may have a norm behind a sublayer."""
    factory = f"{PACKAGE}.layer_scale:LayerScale"
    return (Provides("norm", "layer_scale", factory, "A learned factor for each column."),)
