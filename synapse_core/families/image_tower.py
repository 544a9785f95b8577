"""The image tower: patches, a class row, positions, residual sublayers. Most encoders are one."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import UsageError
from synapse_core.families.config import ComponentConfig, LayerConfig, SublayerConfig
from synapse_core.families.fields import MOST_LAYERS, MOST_WIDTH, Fields
from synapse_core.families.position_grid import interpolate_positions
from synapse_core.families.stack import build_layers, make_component
from synapse_core.graph import FunctionBuilder, Tensor, WeightRef, WeightScope
from synapse_core.hookspecs import Registry
from synapse_core.ops import TensorType

# Channels × height × width stays far below 2^31 columns.
MOST_CHANNELS = 64
MOST_PIXELS = 1 << 14
# Published models have four.
MOST_REGISTERS = 64
ENCODE_IMAGE = "encode_image"
IMAGES = "images"
PIXELS = "pixels"


@attrs.frozen(kw_only=True)
class ImageShape:
    """What a row of pixels is: channels × height × width, cut into patches of patch × patch."""

    channels: int
    height: int
    width: int
    patch: int

    @property
    def grid(self) -> tuple[int, int]:
        """How many patches lie below and beside each other."""
        return self.height // self.patch, self.width // self.patch

    @property
    def patches(self) -> int:
        """How many patches an image has."""
        rows, cols = self.grid
        return rows * cols

    @property
    def cols(self) -> int:
        """How many numbers a row of pixels has."""
        return self.channels * self.height * self.width

    def at(self, size: tuple[int, int] | None) -> ImageShape:
        """Return it at another height and width, None for its own.

        Raises: UsageError for a size that is no multiple of the patch.
        """
        height, width = (self.height, self.width) if size is None else size
        for name, pixels in (("height", height), ("width", width)):
            if not 1 <= pixels <= MOST_PIXELS or pixels % self.patch:
                raise UsageError(
                    f"image {name} {pixels}: must be a multiple of the patch, {self.patch},"
                    f" up to {MOST_PIXELS}"
                )
        return attrs.evolve(self, height=height, width=width)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return attrs.asdict(self)

    @classmethod
    def from_json(cls, fields: Fields) -> ImageShape:
        """Read it back.

        Raises: FileError naming the key.
        """
        fields.only([field.name for field in attrs.fields(cls)])
        return cls(
            channels=fields.whole("channels", most=MOST_CHANNELS),
            height=fields.whole("height", most=MOST_PIXELS),
            width=fields.whole("width", most=MOST_PIXELS),
            patch=fields.whole("patch", most=MOST_PIXELS),
        )


@attrs.frozen(kw_only=True)
class ImageTower:
    """An image encoder: patches · W, a class row before them, positions, residual sublayers.

    `image` is what it was trained on. `first_norm` stands before the layers, `norm` behind them; it
    is the caller's to build, since some norm all rows and some the class row only. `registers` rows
    stand between the class row and the patches, and have no position. `antialias` says how the
    positions of another size of images are interpolated.
    """

    image: ImageShape
    width: int
    layers: tuple[LayerConfig, ...]
    norm: ComponentConfig
    first_norm: ComponentConfig | None = None
    patch_bias: bool = True
    registers: int = 0
    antialias: bool = False

    @property
    def first_patch(self) -> int:
        """How many rows of an image stand before its patches."""
        return 1 + self.registers

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "image": self.image.to_json(),
            "width": self.width,
            "layers": [layer.to_json() for layer in self.layers],
            "norm": self.norm.to_json(),
            "first_norm": self.first_norm.to_json() if self.first_norm else None,
            "patch_bias": self.patch_bias,
            "registers": self.registers,
            "antialias": self.antialias,
        }

    @classmethod
    def from_json(cls, fields: Fields) -> ImageTower:
        """Read it back.

        Raises: FileError naming the key.
        """
        fields.only([field.name for field in attrs.fields(cls)])
        first = fields.object("first_norm") if fields.has("first_norm") else None
        return cls(
            image=ImageShape.from_json(fields.object("image")),
            width=fields.whole("width", most=MOST_WIDTH),
            layers=tuple(
                LayerConfig.from_json(layer) for layer in fields.objects("layers", most=MOST_LAYERS)
            ),
            norm=ComponentConfig.from_json(fields.object("norm"), "norm"),
            first_norm=ComponentConfig.from_json(first, "norm") if first else None,
            patch_bias=fields.flag("patch_bias"),
            registers=fields.whole("registers", least=0, most=MOST_REGISTERS),
            antialias=fields.flag("antialias"),
        )


def image_input(g: FunctionBuilder, image: ImageShape) -> Tensor:
    """Declare the base space `images` and its input `pixels`: a row is an image, channel-major."""
    return g.input(PIXELS, TensorType(g.space(IMAGES), image.cols))


def build_image_tower(
    g: FunctionBuilder, w: WeightScope, tower: ImageTower, registry: Registry
) -> Tensor:
    """Add an image tower at the graph's image size, up to its last norm.

    Weights: `patch.weight` (C × channels·patch·patch), `patch.bias`, `class`, a
    `registers.<n>.weight` each (stored together, R × C), `positions` (stored 1 + trained patches
    × C), `first_norm`, `layers.<n>`. Positions are interpolated for another size than
    the trained one.

    Shapes: pixels (B, channels·H·W) → (B · (1 + R + patches), C).
    """
    image = tower.image.at(g.graph.image_size)
    pixels = image_input(g, image)
    x = g.op(
        "patches",
        pixels,
        channels=image.channels,
        height=image.height,
        width=image.width,
        patch=image.patch,
    )
    bias = w.vector("patch.bias", tower.width) if tower.patch_bias else None
    x = g.linear(x, w.matrix("patch.weight", tower.width, x.type.cols), bias)  # (B·patches, C)
    for number in reversed(range(tower.registers)):
        x = g.op("append_row", x, _register(w, tower, number), where="front")
    x = g.op("append_row", x, w.vector("class", tower.width), where="front")
    x = g.op("add_positions", x, _positions(w, tower, image))
    if tower.first_norm is not None:
        x = make_component(registry, tower.first_norm).build(g, x, w / "first_norm")
    return build_layers(g, x, w, tower.layers, registry)


def _register(w: WeightScope, tower: ImageTower, number: int) -> WeightRef:
    stored = (tower.registers, tower.width)
    row = partial(_one_row, number=number)
    return w.made(f"registers.{number}.weight", 1, tower.width, stored=stored, make=row)


def _one_row(rows: np.ndarray, *, number: int) -> np.ndarray:
    row: np.ndarray = rows[number]
    return row


def _positions(w: WeightScope, tower: ImageTower, image: ImageShape) -> WeightRef:
    """Return the table of positions for images of this size; those of registers are zeros."""
    trained = tower.image
    stored = (1 + trained.patches, tower.width)
    if image.grid == trained.grid and not tower.registers:
        return w.matrix("positions", *stored)
    make = partial(_resized, tower=tower, grid=image.grid)
    rows = tower.first_patch + image.patches
    return w.made("positions", rows, tower.width, stored=stored, make=make)


def _resized(table: np.ndarray, *, tower: ImageTower, grid: tuple[int, int]) -> np.ndarray:
    """Return the table (1 + trained patches, C) as (1 + R + patches, C)."""
    resized = interpolate_positions(table, tower.image.grid, grid, antialias=tower.antialias)
    return np.insert(resized, [1] * tower.registers, np.float32(0), axis=0)


def encoder_layer(
    *,
    width: int,
    heads: int,
    hidden: int,
    eps: float,
    activation: str = "gelu",
    biases: str = "qkvo",
    mask: str = "full",
) -> LayerConfig:
    """Return a layer of a transformer that sees its call only: norm, attention, norm, GELU network.

    Raises: UsageError where the width is no multiple of the heads.
    """
    if width % heads:
        raise UsageError(f"{width} columns in {heads} heads; the width must be a multiple of them")
    norm = ComponentConfig("norm", "layernorm", {"eps": eps})
    attention = ComponentConfig(
        "attention",
        "mha",
        {
            "heads": heads,
            "head_dim": width // heads,
            "biases": biases,
            "mask": mask,
            "source": "call",
        },
    )
    ffn = ComponentConfig("ffn", "gelu", {"hidden": hidden, "activation": activation})
    return LayerConfig(
        (SublayerConfig("attention", norm, attention), SublayerConfig("ffn", norm, ffn))
    )
