"""Synapse from Python: load a model, ask it for logits or text, compile it."""

from synapse_core.api.build import Built, build, host_of
from synapse_core.api.choose import choose_backend
from synapse_core.api.images import ImageModel, Label, label_of
from synapse_core.api.load import load
from synapse_core.api.memory import Memory, estimate
from synapse_core.api.model import Model
from synapse_core.api.outside import LlamaCpp, Transformers
from synapse_core.api.outside_images import TransformersImages
from synapse_core.api.perplexity import Perplexity, perplexity
from synapse_core.api.requantize import Copy, requantize
from synapse_core.api.source import default_model, open_checkpoint
from synapse_core.api.stages import graph_stages, ignored_of
from synapse_core.api.tokenize import tokenizer_of
from synapse_core.api.verify import (
    Agreement,
    Reference,
    compare,
    probe_tokens,
    reencodes,
    rounds,
    verify,
)
from synapse_core.api.verify_images import (
    ImageReference,
    ModelOfImages,
    probe_pixels,
    verify_images,
)
from synapse_core.api.verify_texts import ModelOfTexts, TextReference, probe_texts, verify_texts

__all__ = [
    "Agreement",
    "Built",
    "Copy",
    "ImageModel",
    "ImageReference",
    "Label",
    "LlamaCpp",
    "Memory",
    "Model",
    "ModelOfImages",
    "ModelOfTexts",
    "Perplexity",
    "Reference",
    "TextReference",
    "Transformers",
    "TransformersImages",
    "build",
    "choose_backend",
    "compare",
    "default_model",
    "estimate",
    "graph_stages",
    "host_of",
    "ignored_of",
    "label_of",
    "load",
    "open_checkpoint",
    "perplexity",
    "probe_pixels",
    "probe_texts",
    "probe_tokens",
    "reencodes",
    "requantize",
    "rounds",
    "tokenizer_of",
    "verify",
    "verify_images",
    "verify_texts",
]
