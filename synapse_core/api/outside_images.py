"""What transformers makes of images, from the user's own installation of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from synapse_core.api.outside import imported
from synapse_core.errors import FileError, UsageError
from synapse_core.loaders import read_json

# Its names of what we call otherwise.
OUTPUTS = {
    "logits": "logits",
    "image_embeds": "embedding",
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
        if not (inspect.isclass(kind) and issubclass(kind, transformers.PreTrainedModel)):
            raise FileError(config, f"transformers has no model {name!r}", field="architectures")
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        try:
            self._model, found = kind.from_pretrained(
                str(self.path),
                attn_implementation="eager",
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                dtype=self._torch.float32,
            )
        except Exception as error:  # it raises anything, by whatever the file is
            raise FileError(self.path, f"transformers: {error}") from error
        missing = sorted(name for name in found["missing_keys"] if "pooler" not in name)
        if missing:
            raise FileError(self.path, f"transformers finds no weight {missing[0]!r}")
        self._model.eval()

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
        return {
            ours: found[theirs].float().numpy()
            for theirs, ours in OUTPUTS.items()
            if theirs in found
        }
