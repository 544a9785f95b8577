"""What a loaded model makes of pictures, pixels and captions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from synapse_core.api.build import Built
from synapse_core.backends import Session
from synapse_core.errors import FileError, UsageError
from synapse_core.generate import Preprocessor, Tokenizer
from synapse_core.images import (
    Encoder,
    ImagePorts,
    check_pixels,
    natural_output,
    preprocessing_of,
    read_image,
    until_end,
)

# A path, or the samples of a picture, uint8 (H, W, channels).
Picture = str | Path | np.ndarray
Report = Callable[[int], None]
LOGITS = "logits"
# What a model of images and texts compares, and by what name each side gives it.
DIRECTION, QUERY = "direction", "query"


@attrs.frozen
class Label:
    """A class of a picture: its number, name and share of the softmax over all classes."""

    index: int
    label: str
    share: float
    logit: float


@attrs.frozen(eq=False)
class ImageModel:
    """A model as an encoder: preprocessing, calls that fit, names of classes."""

    built: Built
    encoder: Encoder

    @classmethod
    def open(cls, built: Built, session: Session) -> ImageModel:
        """Return the encoder of a built model.

        Raises: UsageError for a model that takes neither images nor captions.
        """
        return cls(built, Encoder.open(session, built.program))

    def preprocessor(self) -> Preprocessor:
        """Return what makes pixels of a picture: as the model's file says, else its family.

        Raises: FileError naming the key; UsageError for a model that says nothing.
        """
        built = self.built
        shape = self.encoder.image_ports().shape
        made = preprocessing_of(built.assets, built.config, built.path, shape, built.registry)
        cols = int(np.prod(shape))
        if made.cols != cols:
            raise UsageError(f"the preprocessor makes rows of {made.cols}, the model takes {cols}")
        return made

    def rows(self, pictures: Iterable[Picture]) -> Iterator[np.ndarray]:
        """Yield a row of pixels for each picture, float32 (1, channels·H·W).

        Raises: FileError naming a file that is no picture, UsageError for samples that are none.
        """
        preprocessor = self.preprocessor()
        channels = self.encoder.image_ports().shape[0]
        for picture in pictures:
            if isinstance(picture, np.ndarray):
                yield preprocessor.rows(picture)
                continue
            samples = read_image(Path(picture), channels)
            try:
                yield preprocessor.rows(samples)
            except UsageError as error:
                raise FileError(picture, str(error)) from None

    def encode(
        self,
        pictures: Iterable[Picture] | None,
        pixels: np.ndarray | None,
        outputs: Sequence[str] | None,
        report: Report,
    ) -> dict[str, np.ndarray]:
        """Return outputs of pictures, or of pixels (B, channels, H, W)."""
        ports = self.encoder.image_ports()
        names = [natural_output(ports.outputs, None)] if outputs is None else list(outputs)
        if pixels is not None:
            every = check_pixels(pixels, ports.shape, "pixels")
            return self.encoder.images((row[None] for row in every), names, report)
        return self.encoder.images(self.rows(pictures or ()), names, report)

    def encode_texts(
        self, texts: Sequence[str], tokenizer: Tokenizer, output: str | None, report: Report
    ) -> np.ndarray:
        """Return an output of captions, float32 (texts, C)."""
        ports = self.encoder.text_ports()
        ids = [
            until_end(tokenizer.encode(text, special=True), self.built.config, f"text {number}")
            for number, text in enumerate(texts)
        ]
        name = natural_output(ports.outputs, output)
        return self.encoder.texts(ids, [name], report)[name]

    def labels(self, logits: np.ndarray, top: int) -> list[list[Label]]:
        """Return the `top` likeliest classes of each row of logits, the likeliest first."""
        return [_likeliest(row, self.built.config, top) for row in logits]

    def check_classes(self) -> None:
        """Check that the model names classes.

        Raises: UsageError saying what to use.
        """
        outputs: ImagePorts = self.encoder.image_ports()
        if LOGITS not in outputs.outputs:
            can = "similarity" if self.encoder.text is not None else "encode"
            raise UsageError(
                f"{self.built.path} has no classes; it gives {', '.join(outputs.outputs)}:"
                f" use `synapse {can}`"
            )

    def check_similarity(self) -> None:
        """Check that the model compares images with texts.

        Raises: UsageError saying what it lacks.
        """
        image, text = self.encoder.image, self.encoder.text
        if image is None or text is None:
            lacks = "texts" if text is None else "images"
            raise UsageError(f"{self.built.path} takes no {lacks}; similarity needs both")
        if DIRECTION not in image.outputs or QUERY not in text.outputs:
            raise UsageError(f"{self.built.path} does not compare images with texts")


def _likeliest(row: np.ndarray, config: Mapping[str, Any], top: int) -> list[Label]:
    shares = np.exp(row.astype(np.float64) - row.max())
    shares /= shares.sum()
    best = (-row).argsort(kind="stable")[:top]
    return [Label(int(n), label_of(config, int(n)), float(shares[n]), float(row[n])) for n in best]


def label_of(config: Mapping[str, Any], index: int) -> str:
    """Return the name of a class: the config's, else its number."""
    labels = config.get("labels")
    if isinstance(labels, list | tuple) and index < len(labels):
        return str(labels[index])
    return f"class {index}"
