"""Synapse against transformers on PyTorch's CPU, the same shape: ratios of interleaved pairs.

    python benchmarks/against_torch.py --folder build/models --pairs 5

Both read one folder of f32 or bf16; Synapse's q8_0, a GGUF file, is set against PyTorch's bf16 and
f32, of which the better counts. Needs gguf, torch and transformers.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pairs
from shape import LAYER_MACS, make, make_folder

PROMPTS = (128, 512)
# What PyTorch reads where Synapse reads the format.
PEERS = {"f32": ("f32",), "bf16": ("bf16",), "q8_0": ("bf16", "f32")}


def main() -> None:
    """Compare, and print a table and what it was made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser, prompts=PROMPTS)
    asked = parser.parse_args()
    if unknown := sorted(set(asked.format) - set(PEERS)):
        parser.error(f"--format {unknown[0]}: PyTorch is compared with {', '.join(PEERS)}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    every = {}
    for format in asked.format or PEERS:
        folders = {name: make_folder(asked.folder, name) for name in PEERS[format]}
        file = make(asked.folder, format) if format == "q8_0" else folders[format]
        peers = [pairs.Side("torch", folder, name) for name, folder in folders.items()]
        measured = pairs.measure(asked, pairs.Side("synapse", file), peers)
        weights: Path = file / "model.safetensors" if file.is_dir() else file
        size = weights.stat().st_size
        every[format] = {"bytes": size, "pairs": measured}
        pairs.show(format, "torch", measured, size, LAYER_MACS if format == "q8_0" else 0)
        pairs.write(asked, "torch", every)


if __name__ == "__main__":
    main()
