"""The image processors of transformers that are read, and what each does unless a file says it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from synapse_core.families import Fields

KIND_KEYS = ("image_processor_type", "feature_extractor_type")
# As its class is called: ViTImageProcessor, …Fast, …Pil, and before 2023 ViTFeatureExtractor.
_ENDS = ("ImageProcessorFast", "ImageProcessorPil", "ImageProcessor", "FeatureExtractor")

_COMMON: Mapping[str, Any] = MappingProxyType(
    {
        "do_resize": True,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
    }
)
# OpenAI's, of CLIP's training pictures.
_CLIP: Mapping[str, Any] = MappingProxyType(
    {
        **_COMMON,
        "resample": 3,
        "size": {"shortest_edge": 224},
        "do_center_crop": True,
        "crop_size": {"height": 224, "width": 224},
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
)
_VIT: Mapping[str, Any] = MappingProxyType(
    {
        **_COMMON,
        "resample": 2,
        "size": {"height": 224, "width": 224},
        "do_center_crop": False,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
)
DEFAULTS_OF: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"CLIP": _CLIP, "ViT": _VIT, "Bit": _CLIP}
)
# Of a file that names no processor: it must say what matters.
PLAIN: Mapping[str, Any] = MappingProxyType({**_VIT, "size": None})


def processor_name(fields: Fields) -> str:
    """Return the processor that a file names, "" where it names none.

    Raises: FileError for a name that is none.
    """
    return next((fields.text(key) for key in KIND_KEYS if fields.has(key)), "")


def core_kind(name: str) -> str | None:
    """Return which of the core's a processor is, "" for one without a name, None for a stranger."""
    if not name:
        return ""
    kinds = (name.removesuffix(end) for end in _ENDS if name.endswith(end))
    return next((kind for kind in kinds if kind in DEFAULTS_OF), None)


def kind_of(fields: Fields) -> str:
    """Return which processor a file names, "" where it names none.

    Raises: FileError for one that is not read, by name.
    """
    name = processor_name(fields)
    kind = core_kind(name)
    if kind is None:
        key = next(key for key in KIND_KEYS if fields.has(key))
        known = ", ".join(f"{kind}{_ENDS[2]}" for kind in ("CLIP", "ViT", "Bit"))
        raise fields.error(key, f"{name!r:.80} is not read; there are: {known}")
    return kind
