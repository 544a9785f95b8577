"""Hostile files of models of images: pictures, pixels and preprocessors, in a tiny ViT."""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import attrs
import numpy as np
from PIL import Image
from safetensors.numpy import save

PICTURE, PIXELS, PREPROCESSOR = "picture.png", "pixels.npy", "preprocessor_config.json"
WIDTH, HIDDEN, PATCH, SIDE = 8, 12, 4, 8
CONFIG = {
    "architectures": ["ViTForImageClassification"],
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": HIDDEN,
    "image_size": SIDE,
    "patch_size": PATCH,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "id2label": {"0": "a", "1": "b"},
}
SAID = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}}


@attrs.frozen
class ImageFile:
    """A file of a model of images; its refusal must name it and have `field` in it."""

    reader: str
    name: str
    file: str
    data: bytes
    field: str = ""


@cache
def sound_images() -> dict[str, bytes]:
    """Return the files of a sound model, with a picture and pixels for it."""
    return {
        "config.json": json.dumps(CONFIG).encode(),
        "model.safetensors": save(_tensors()),
        PREPROCESSOR: json.dumps(SAID).encode(),
        PICTURE: _picture("PNG"),
        PIXELS: _npy(np.zeros((2, 3, SIDE, SIDE), np.float32)),
    }


def good_images() -> Iterator[ImageFile]:
    """Yield sound files of each reader."""
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        yield ImageFile("picture", f"sound {kind}", PICTURE, _picture(kind))
    yield ImageFile("pixels", "sound", PIXELS, sound_images()[PIXELS])
    yield ImageFile("preprocessor", "sound", PREPROCESSOR, json.dumps(SAID).encode())


def image_lies() -> Iterator[ImageFile]:
    """Yield the small ones."""
    for name, data in _pictures():
        yield ImageFile("picture", name, PICTURE, data)
    for name, data in _pixels():
        yield ImageFile("pixels", name, PIXELS, data)
    for name, data, key in _preprocessors():
        yield ImageFile("preprocessor", name, PREPROCESSOR, data, key)


def heavy_images(reader: str) -> Iterator[ImageFile]:
    """Yield what would take much memory or time."""
    if reader == "picture":
        for side in (10_000, 60_000, 1 << 30):
            yield ImageFile("picture", f"heavy {side}", PICTURE, _png(side, side), "pixels")
    if reader == "pixels":
        header = "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 3, 8, 8)}"
        yield ImageFile("pixels", "heavy shape", PIXELS, _with_header(header))
        yield ImageFile("pixels", "heavy header", PIXELS, _with_header("(" * 60_000))
    if reader == "preprocessor":
        nested = b'{"size":' + b"[" * 900_000 + b"]" * 900_000 + b"}"
        yield ImageFile("preprocessor", "heavy nesting", PREPROCESSOR, nested)
        wide = json.dumps({**SAID, "image_mean": [0.5] * 200_000}).encode()
        yield ImageFile("preprocessor", "heavy list", PREPROCESSOR, wide, "")


def _pictures() -> Iterator[tuple[str, bytes]]:
    yield "nothing", b""
    yield "text", b"a picture of a cat"
    yield "a program", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run\n"
    yield "svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"
    yield "no rows", _png(0, 0)
    yield "more rows than data", _png(600, 600)
    yield "sides of a sign", _png((1 << 32) - 1, 7)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        whole = _picture(kind)
        for kept in (0.01, 0.1, 0.7):
            yield f"{kind} {kept}", whole[: int(kept * len(whole))]
        yield f"{kind} zeros", whole[:12] + bytes(len(whole) - 12)
    rng = np.random.default_rng(4)
    whole = _picture("PNG")
    for number in range(0, 24, 3):
        data = bytearray(whole)
        data[number + 8] ^= int(rng.integers(1, 256))  # the header, guarded by a checksum
        yield f"PNG byte {number + 8}", bytes(data)


def _pixels() -> Iterator[tuple[str, bytes]]:
    good = np.zeros((2, 3, SIDE, SIDE), np.float32)
    for name, array in {
        "bytes": good.astype(np.uint8),
        "whole numbers": good.astype(np.int64),
        "complex": good.astype(np.complex64),
        "flags": good.astype(bool),
        "texts": np.array(["x"]),
        "rows": good.reshape(2, -1),
        "last channels": good.transpose(0, 2, 3, 1),
        "one channel": good[:, :1],
        "larger": np.zeros((1, 3, SIDE + 1, SIDE), np.float32),
        "none": good[:0],
        "a number": np.float32(1),
        "not a number": np.full_like(good, np.nan),
        "infinite": np.full_like(good, np.inf),
        "too large": np.full(good.shape, 1e300),
    }.items():
        yield name, _npy(np.asarray(array))
    whole = _npy(good)
    for kept in (0, 4, 9, 60, 127, 128, 200, len(whole) - 1):
        yield f"the first {kept}", whole[:kept]
    for name, header in {
        "a call": "__import__('os').system('false')",
        "no keys": "{}",
        "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "less than none": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3, 8, 8)}",
    }.items():
        yield name, _with_header(header)


def _preprocessors() -> Iterator[tuple[str, bytes, str]]:
    for name, data in {
        "nothing": b"",
        "a list": b"[]",
        "half": b'{"size": ',
        "not text": b"\xff\xfe{}",
        "twice": b'{"size": NaN',
    }.items():
        yield name, data, ""
    for key, values in {
        "image_processor_type": (
            "LlavaImageProcessor",
            5,
            ["ViTImageProcessor"],
            "../x",
            "os.system",
        ),
        "feature_extractor_type": ("OwlViTFeatureExtractor",),
        "size": (
            "8",
            {},
            {"height": 8},
            {"shortest_edge": 0},
            {"longest_edge": 8},
            0,
            -8,
            8.5,
            1 << 40,
            [],
        ),
        "do_resize": ("yes", 1, [], {}),
        "resample": (-1, 6, "bicubic", 2.0, True, []),
        "do_rescale": ("no", 0, {}),
        "rescale_factor": (-1, 1e300, "x", [], True),
        "do_normalize": ("x", 2, []),
        "image_mean": (
            [],
            [0.5],
            [0.5] * 4,
            ["x"] * 3,
            [[0.5]] * 3,
            "x",
            {},
            [None] * 3,
            [1e300] * 3,
        ),
        "image_std": ([0, 1, 1], [-1, 1, 1], [], "x", [True] * 3, 0),
        "do_center_crop": ("x", 5, []),
        "crop_size": (0, -1, "8", {"height": 8}, {"height": 8, "width": 0}, [8, 8]),
    }.items():
        for value in values:
            said: dict[str, Any] = {**SAID, "do_center_crop": key == "crop_size", key: value}
            if key == "feature_extractor_type":
                del said["image_processor_type"]
            yield f"{key} {value}", json.dumps(said).encode(), key


def _picture(kind: str) -> bytes:
    samples = np.random.default_rng(1).integers(0, 256, (30, 41, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(samples).save(file, format=kind)
    return file.getvalue()


def _png(width: int, height: int) -> bytes:
    """Return a PNG that promises so many pixels and has none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b"\0" * 64))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _with_header(header: str) -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text


def _tensors() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    layer = "vit.encoder.layer.0"
    shapes: dict[str, tuple[int, ...]] = {
        "vit.embeddings.cls_token": (1, 1, WIDTH),
        "vit.embeddings.position_embeddings": (1, 5, WIDTH),
        "vit.embeddings.patch_embeddings.projection.weight": (WIDTH, 3, PATCH, PATCH),
        f"{layer}.intermediate.dense.weight": (HIDDEN, WIDTH),
        f"{layer}.intermediate.dense.bias": (HIDDEN,),
        f"{layer}.output.dense.weight": (WIDTH, HIDDEN),
        "classifier.weight": (2, WIDTH),
        "classifier.bias": (2,),
    }
    for name in ("query", "key", "value"):
        shapes[f"{layer}.attention.attention.{name}.weight"] = (WIDTH, WIDTH)
        shapes[f"{layer}.attention.attention.{name}.bias"] = (WIDTH,)
    shapes[f"{layer}.attention.output.dense.weight"] = (WIDTH, WIDTH)
    for name in (
        "vit.embeddings.patch_embeddings.projection.bias",
        f"{layer}.attention.output.dense.bias",
        f"{layer}.output.dense.bias",
        *(f"{norm}.{part}" for norm in _norms(layer) for part in ("weight", "bias")),
    ):
        shapes[name] = (WIDTH,)
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def _norms(layer: str) -> tuple[str, ...]:
    return f"{layer}.layernorm_before", f"{layer}.layernorm_after", "vit.layernorm"
