"""What transformers makes of images and texts, from the user's own installation of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from synapse_core.api.outside import from_pretrained, imported
from synapse_core.errors import FileError, UsageError
from synapse_core.loaders import read_json

# Its names of what we call otherwise.
OUTPUTS = {
    "logits": "logits",
    "image_embeds": "embedding",
    "text_embeds": "embedding",
    "query": "query",
    "pooler_output": "pooled",
    "last_hidden_state": "last_hidden_state",
}


@attrs.define(eq=False)
class TransformersImages:
    """A Hugging Face folder of a model of images as transformers runs it, in float32.

    Raises: Unavailable without torch and transformers; UsageError for what is no folder; FileError
    when transformers refuses it, or would make up a weight that it does not find.
    """

    path: Path
    _torch: Any = attrs.field(default=None, init=False)
    _model: Any = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        needs = "pip install torch 'transformers>=4.56'"
        self._torch = imported("torch", "transformers", needs)
        transformers = imported("transformers", "transformers", needs)
        config = self.path / "config.json"
        if not config.is_file():
            raise UsageError(f"{self.path}: transformers reads a folder with config.json only")
        named = read_json(config).get("architectures")
        name = named[0] if isinstance(named, list) and named else ""
        kind: Any = getattr(transformers, str(name), None)
        if not _is_model(kind, transformers.PreTrainedModel):
            raise FileError(config, f"transformers has no model {name!r}", field="architectures")
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self._model = from_pretrained(kind, self.path, "pooler", dtype=self._torch.float32)

    def images(self, pixels: np.ndarray) -> Mapping[str, np.ndarray]:
        """Return its outputs under our names, for pixels (B, channels, H, W)."""
        model = self._model
        joint = hasattr(model, "get_image_features")  # both towers of CLIP
        run = model.vision_model if joint else model
        options: dict[str, Any] = {}
        if "interpolate_pos_encoding" in inspect.signature(run.forward).parameters:
            options["interpolate_pos_encoding"] = True
        with self._torch.no_grad():
            found = dict(run(pixel_values=self._torch.from_numpy(pixels), **options).items())
            if joint:
                found["image_embeds"] = model.visual_projection(found["pooler_output"])
        return _ours(found)

    def texts(self, texts: Sequence[Sequence[int]]) -> Mapping[str, np.ndarray]:
        """Return its outputs under our names that have a row for each text of ids."""
        rows = [self._text(ids) for ids in texts]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}

    def _text(self, ids: Sequence[int]) -> dict[str, np.ndarray]:
        model = self._model
        joint = hasattr(model, "get_text_features")  # both towers of CLIP
        run = model.text_model if joint else model
        with self._torch.no_grad():
            found = dict(run(input_ids=self._torch.tensor([list(ids)])).items())
            if joint:
                made = found["text_embeds"] = model.text_projection(found["pooler_output"])
                length = made.norm(dim=-1, keepdim=True)
                found["query"] = made / length * model.logit_scale.exp()
        del found["last_hidden_state"]
        return _ours(found)


def _ours(found: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {
        ours: found[theirs].float().numpy() for theirs, ours in OUTPUTS.items() if theirs in found
    }


def _is_model(kind: Any, base: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, base)
