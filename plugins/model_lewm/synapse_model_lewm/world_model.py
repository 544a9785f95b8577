"""A world model from Python: images to latents, latents and actions to what comes next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import numpy as np

import synapse_core as synapse
from synapse_core.backends import Loop, Unroller
from synapse_core.errors import FileError, UsageError
from synapse_core.families import ENCODE_IMAGE, IMAGES, Config
from synapse_core.generate import Preprocessor
from synapse_core.images import check_pixels, read_image
from synapse_core.ops import RowTable
from synapse_core.program import Limits, functions_of, header_of
from synapse_model_lewm.arrays import check_frames, check_numbers
from synapse_model_lewm.config import LewmConfig
from synapse_model_lewm.graph import PREDICT, WINDOW

IMAGES_AT_ONCE = 4
PROGRAM = ".syn"


@attrs.frozen(eq=False)
class WorldModel:
    """An opened world model; close it or use it as a context manager.

    Frames are uint8 (T, 3, H, W), of another size than the model's resized; `shape` is that of an
    image as the encoder takes it. A latent has `width` numbers, an action `actions`. `images` are
    encoded in one call. What is wrong with an
    array is a FileError.
    """

    model: synapse.Model
    config: LewmConfig
    shape: tuple[int, int, int]
    images: int
    unroller: Unroller
    preprocessor: Preprocessor

    @classmethod
    def open(
        cls,
        path: str | Path | None = None,
        *,
        slots: int = 1,
        images: int = IMAGES_AT_ONCE,
        **options: Any,
    ) -> Self:
        """Open a model: a folder, a .safetensors or .syn file, None for the shipped one.

        `slots` rollouts run side by side, `images` are encoded in one call; a .syn file has both
        fixed. `options` are those of `synapse_core.load`: backend, format, arith, threads.

        Raises: UsageError where it is no world model, or one of the numbers is not 1 or more.
        """
        for name, number in (("slots", slots), ("images", images)):
            if number < 1:
                raise UsageError(f"{name} {number}; must be 1 or more")

        def limits(config: Config) -> Limits:
            rows = {IMAGES: images, WINDOW: slots * config.context}
            most = max(slots, images)
            return Limits(rows=rows, slots=most, positions=config.context, kv="f32")

        compiled = path is not None and Path(path).suffix == PROGRAM
        named = "lewm" if path is None else path
        model = synapse.load(named, limits=None if compiled else limits, **options)
        try:
            return cls._of(model)
        except Exception:
            model.close()
            raise

    @classmethod
    def _of(cls, model: synapse.Model) -> Self:
        functions = functions_of(model.program)
        if not {ENCODE_IMAGE, PREDICT} <= set(functions) or model.built.family != "lewm":
            there = ", ".join(functions)
            raise UsageError(f"{model.built.path} is no world model; its functions are {there}")
        config = LewmConfig.from_json(dict(model.config))
        loop = Loop(PREDICT, "latents", "prediction", config.predictor.frames)
        unroller = Unroller.open(model.session, model.program, loop)
        slots = int(header_of(model.program.image)["max_slots"])
        images = min(functions[ENCODE_IMAGE].max_rows[IMAGES], slots)
        shape = model.images.encoder.image_ports().shape
        return cls(model, config, shape, images, unroller, model.images.preprocessor())

    @property
    def side(self) -> int:
        """How many pixels an image is high and, where it is square, wide."""
        return self.shape[1]

    @property
    def width(self) -> int:
        """How many numbers a latent has."""
        return self.config.predictor.input

    @property
    def actions(self) -> int:
        """How many numbers an action has."""
        return self.config.actions.input

    @property
    def window(self) -> int:
        """How many latents it looks back at."""
        return self.config.predictor.frames

    def encode(self, frames: np.ndarray) -> np.ndarray:
        """Return the latents of frames: uint8 (T, 3, H, W) → float32 (T, D)."""
        frames = check_frames(np.asarray(frames))
        return self._encode([np.moveaxis(frame, 0, 2) for frame in frames], self._pixels)

    def encode_images(self, paths: Sequence[Path]) -> np.ndarray:
        """Return the latents of picture files, one or more: float32 (T, D)."""
        if not paths:
            raise FileError("images", "there are none")
        return self._encode(paths, lambda path: self._pixels(read_image(path), path))

    def encode_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return the latents of normalised pixels: float32 (T, *shape) → (T, D)."""
        return self._encode(check_pixels(np.asarray(pixels), self.shape, "pixels"), np.atleast_2d)

    def predict(self, latents: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Return what follows each row of a window: (T, D), (T, A) → (T, D), T at most `window`."""
        latents = check_numbers(np.asarray(latents), self.width, "latents", "latents")
        actions = check_numbers(np.asarray(actions), self.actions, "actions", "actions")
        if latents.ndim != 2 or actions.shape[:-1] != latents.shape[:-1]:
            problem = f"found {actions.shape} for latents {latents.shape}, expected an action each"
            raise FileError("actions", problem)
        count = len(latents)
        if count > self.window:
            raise FileError("latents", f"has {count} rows, a window has at most {self.window}")
        table = RowTable(np.zeros(count, np.int64), np.arange(count))
        inputs = {"latents": latents, "actions": actions}
        return self.model.session.run(PREDICT, inputs, {WINDOW: table})["prediction"]

    def rollout(
        self, start: np.ndarray, actions: np.ndarray, where: object = "actions"
    ) -> np.ndarray:
        """Imagine: latents of the start, then one behind each action from the last seen one on.

        `start` are frames, uint8 (n, 3, H, W), or latents (n, D) or (S, n, D); actions (T, A) or
        (S, T, A), T ≥ n. The first n actions were between what has been seen.

        Shapes: → (T + 1, D) or (S, T + 1, D), the first n are the start's.
        """
        start = np.asarray(start)
        begun = self.encode(start) if start.dtype == np.uint8 else start
        begun = check_numbers(begun, self.width, "latents", "latents")
        given = check_numbers(np.asarray(actions), self.actions, where, "actions")
        if given.shape[-2] < begun.shape[-2]:
            problem = f"has {given.shape[-2]} actions, {begun.shape[-2]} images need as many"
            raise FileError(where, problem)
        if given.ndim > 3 or begun.ndim > 3:
            raise FileError(where, f"is {given.shape}, expected (T, {self.actions}) or (S, T, …)")
        single = given.ndim == 2 and begun.ndim == 2
        sequences = max(len(part) for part in (given, begun) if part.ndim == 3) if not single else 1
        begun, given = (
            part if part.ndim == 3 else np.broadcast_to(part, (sequences, *part.shape))
            for part in (begun, given)
        )
        if len(begun) != len(given):
            raise FileError(where, f"has {len(given)} sequences, the start has {len(begun)}")
        series = self.unroller.run(begun, {"actions": given})
        return series[0] if single else series

    def close(self) -> None:
        """Free the model's memory."""
        self.model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _pixels(self, samples: np.ndarray, where: object = "frames") -> np.ndarray:
        """Return a picture, uint8 (H, W, 3), as a row of pixels."""
        try:
            return self.preprocessor.rows(samples)
        except UsageError as error:
            raise FileError(where, str(error)) from None

    def _encode(self, given: Sequence[Any], row_of: Callable[[Any], np.ndarray]) -> np.ndarray:
        made = []
        for start in range(0, len(given), self.images):
            pixels = np.concatenate([row_of(one) for one in given[start : start + self.images]])
            table = RowTable(np.arange(len(pixels)), np.zeros(len(pixels), np.int64))
            inputs = {"pixels": pixels}
            out = self.model.session.run(ENCODE_IMAGE, inputs, {IMAGES: table})
            made.append(out["embedding"])
        return np.concatenate(made)
