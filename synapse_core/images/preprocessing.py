"""What becomes of a picture before it is pixels: resize, crop, rescale, normalise.

As Hugging Face's image processors do it, read from `preprocessor_config.json`. Pillow resizes, on
bytes as they do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import FileError, UsageError
from synapse_core.families import MOST_CHANNELS, MOST_PIXELS, Fields
from synapse_core.generate import Preprocessor
from synapse_core.generate.model_files import Files, text_of
from synapse_core.hookspecs import Registry
from synapse_core.images.decoding import MOST_IMAGE_PIXELS, check_samples, import_pillow
from synapse_core.images.processors import DEFAULTS_OF, PLAIN, core_kind, kind_of, processor_name

PREPROCESSOR_JSON = "preprocessor_config.json"
# Pillow's numbers: nearest, lanczos, bilinear, bicubic, box, hamming.
RESAMPLES = 5
MOST_NUMBER = 1e6


@attrs.frozen(kw_only=True)
class Preprocessing:
    """Pictures to rows of float32 pixels, channel-major, of height × width.

    `short` is the length that the shorter side is resized to, `resized` (height, width) to which
    both are; neither: pictures stay as they are. `cropped` cuts the middle out, and puts zeros
    around what is smaller. Then pixel · `factor`, − `mean`, / `std`, the last two by channel.
    """

    channels: int
    height: int
    width: int
    short: int | None = None
    resized: tuple[int, int] | None = None
    cropped: tuple[int, int] | None = None
    resample: int = 2
    factor: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def cols(self) -> int:
        """How many numbers a row has."""
        return self.channels * self.height * self.width

    def rows(self, samples: np.ndarray) -> np.ndarray:
        """Return the row of a picture, float32 (1, channels·height·width).

        Shapes: samples uint8 (H, W, channels).
        Raises: UsageError for other samples, or where the picture does not get the model's size.
        """
        picture = self._crop(self._resize(check_samples(samples, self.channels)))
        if picture.shape[:2] != (self.height, self.width):
            raise UsageError(
                f"a picture becomes {picture.shape[0]} × {picture.shape[1]} pixels, the model takes"
                f" {self.height} × {self.width}; resize it, or give --size"
            )
        pixels = picture.astype(np.float32)
        if self.factor is not None:
            pixels *= np.float32(self.factor)
        if self.mean is not None and self.std is not None:
            pixels -= np.array(self.mean, dtype=np.float32)
            pixels /= np.array(self.std, dtype=np.float32)
        return np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(1, -1)

    def _resize(self, samples: np.ndarray) -> np.ndarray:
        height, width = samples.shape[:2]
        target = self.resized
        if self.short is not None:
            # The longer side is cut to a whole number, as HF has it.
            long = int(self.short * max(height, width) / min(height, width))
            target = (self.short, long) if height <= width else (long, self.short)
        if target is None or target == (height, width):
            return samples
        if target[0] * target[1] > MOST_IMAGE_PIXELS:
            raise UsageError(
                f"a picture of {height} × {width} pixels would be resized to"
                f" {target[0]} × {target[1]}; at most {MOST_IMAGE_PIXELS} are taken"
            )
        pillow = import_pillow()
        flat = samples[:, :, 0] if self.channels == 1 else samples
        made = pillow.fromarray(flat).resize((target[1], target[0]), resample=self.resample)
        return np.array(made, dtype=np.uint8).reshape(*target, self.channels)

    def _crop(self, samples: np.ndarray) -> np.ndarray:
        if self.cropped is None:
            return samples
        height, width = self.cropped
        made = np.zeros((height, width, samples.shape[2]), dtype=np.uint8)
        spans = [
            _middle(have, want) for have, want in zip(samples.shape, self.cropped, strict=False)
        ]
        (top, above, high), (left, before, wide) = spans
        made[above : above + high, before : before + wide] = samples[
            top : top + high, left : left + wide
        ]
        return made


def _middle(have: int, want: int) -> tuple[int, int, int]:
    """Return where the middle begins in what there is, where it goes, and how long it is."""
    if have >= want:
        return (have - want) // 2, 0, want
    return 0, (want - have + 1) // 2, have


def preprocessing_of(
    assets: Files,
    config: Mapping[str, Any],
    file: object,
    shape: tuple[int, int, int],
    registry: Registry,
) -> Preprocessor:
    """Return a model's preprocessing for pictures of (channels, height, width).

    Its `preprocessor_config.json` says it, else `preprocessing` of its family's config. A processor
    of another name than the core's is the plugin's that provides a preprocessor of that name.

    Raises: FileError naming the key; UsageError for a model that says nothing.
    """
    fields = _fields_of(assets, file)
    named = processor_name(fields) if fields else ""
    if core_kind(named) is None and named in registry.names("preprocessor"):
        found = registry.get("preprocessor", named)
        made: Preprocessor = found() if isinstance(found, type) else found
        return made
    if fields is None:
        given = config.get("preprocessing")
        if not isinstance(given, dict):
            raise UsageError(
                f"{file} has no {PREPROCESSOR_JSON}, and its family says nothing of pictures;"
                " give --pixels"
            )
        fields = Fields(f"{file} (preprocessing)", given)
    return read_preprocessing(fields, shape)


def size_of_file(assets: Files, file: object) -> tuple[int, int] | None:
    """Return height and width that a model's file makes of every picture, None where it is silent.

    Raises: FileError naming the key.
    """
    fields = _fields_of(assets, file)
    if fields is None or core_kind(processor_name(fields)) is None:
        return None
    size, crop = _sizes(fields)
    if crop is not None:
        return crop
    return size if isinstance(size, tuple) else None


def read_preprocessing(fields: Fields, shape: tuple[int, int, int]) -> Preprocessing:
    """Read a preprocessor's keys for a model of pictures of (channels, height, width).

    Where the model takes another size than the file's, resizing and cropping grow with it.

    Raises: FileError naming the key.
    """
    said = _complete(fields)
    channels, height, width = shape
    size, crop = _sizes(fields)
    short: int | None = None
    resized: tuple[int, int] | None = None
    if said.flag("do_resize"):
        if crop is None and not isinstance(size, int):
            resized = (height, width)
        else:
            side = min(size) if isinstance(size, tuple) else size
            base = crop or (side or height, side or width)
            grown = max(height / base[0], width / base[1])
            if isinstance(size, tuple):
                resized = (round(size[0] * grown), round(size[1] * grown))
            else:
                short = round((size or min(height, width)) * grown)
    normalised = said.flag("do_normalize")
    return Preprocessing(
        channels=channels,
        height=height,
        width=width,
        short=short,
        resized=resized,
        cropped=(height, width) if crop is not None else None,
        resample=said.whole("resample", least=0, most=RESAMPLES),
        factor=said.number("rescale_factor", least=0, most=MOST_NUMBER)
        if said.flag("do_rescale")
        else None,
        mean=_by_channel(said, "image_mean", channels, -MOST_NUMBER) if normalised else None,
        std=_by_channel(said, "image_std", channels, 1e-6) if normalised else None,
    )


def _fields_of(assets: Files, file: object) -> Fields | None:
    if PREPROCESSOR_JSON not in assets:
        return None
    name = f"{file}: {PREPROCESSOR_JSON}"
    try:
        found = json.loads(text_of(assets, PREPROCESSOR_JSON))
    except (ValueError, RecursionError) as error:
        raise FileError(name, f"is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise FileError(name, f"holds a {type(found).__name__}, expected an object")
    return Fields(name, found)


def _complete(fields: Fields) -> Fields:
    """Return the keys with the processor's defaults where the file is silent."""
    named = kind_of(fields)
    defaults = DEFAULTS_OF[named] if named else PLAIN
    given = {key: value for key, value in fields.values.items() if value is not None}
    return Fields(fields.file, {**defaults, **given}, fields.path)


def _sizes(fields: Fields) -> tuple[int | tuple[int, int] | None, tuple[int, int] | None]:
    """Return what is resized to, the shorter side or (height, width), and what is cropped to."""
    said = _complete(fields)
    crop = None
    if said.has("do_center_crop") and said.flag("do_center_crop"):
        crop = _height_width(said, "crop_size")
    size = said.values.get("size")
    if size is None or not said.flag("do_resize"):
        return None, crop
    if isinstance(size, dict) and "shortest_edge" in size:
        edges = said.object("size")
        edges.only(("shortest_edge",))
        return edges.whole("shortest_edge", most=MOST_PIXELS), crop
    if isinstance(size, int) and crop is not None:
        return said.whole("size", most=MOST_PIXELS), crop
    return _height_width(said, "size"), crop


def _height_width(said: Fields, key: str) -> tuple[int, int]:
    if isinstance(said.values.get(key), dict):
        sides = said.object(key)
        sides.only(("height", "width"))
        return sides.whole("height", most=MOST_PIXELS), sides.whole("width", most=MOST_PIXELS)
    side: int = said.whole(key, most=MOST_PIXELS)
    return side, side


def _by_channel(said: Fields, key: str, channels: int, least: float) -> tuple[float, ...]:
    """Read a number for each channel; one number stands for all."""
    found = said.values.get(key)
    if not isinstance(found, list):
        return (said.number(key, least=least, most=MOST_NUMBER),) * channels
    if len(found) != channels or channels > MOST_CHANNELS:
        raise said.error(key, f"has {len(found)} numbers, the model takes {channels} channels")
    named = {f"{key}[{number}]": value for number, value in enumerate(found)}
    each = Fields(said.file, named, said.path)
    return tuple(each.number(name, least=least, most=MOST_NUMBER) for name in named)
