"""Pictures of every kind that a user may hand in, and damaged ones."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def samples(height: int, width: int, seed: int = 1) -> np.ndarray:
    """Return a picture with edges and slopes, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[0:height, 0:width]
    smooth = np.stack([rows * 7 % 256, cols * 5 % 256, (rows + cols) * 3 % 256], axis=-1)
    noise = rng.integers(0, 40, (height, width, 3))
    return np.clip(smooth + noise, 0, 255).astype(np.uint8)


def save(path: Path, height: int = 40, width: int = 60, mode: str = "RGB") -> Path:
    """Write a picture of a mode."""
    Image.fromarray(samples(height, width)).convert(mode).save(path)
    return path


def bomb(path: Path, side: int) -> Path:
    """Write a PNG of side × side pixels that is some bytes long."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = zlib.compress(b"\0" * 64)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path
