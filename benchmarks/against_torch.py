"""Synapse against what runs the same shape on PyTorch's CPU: ratios of interleaved pairs.

    python benchmarks/against_torch.py --folder build/models --pairs 5
    python benchmarks/against_torch.py --folder build/models --shape mamba_shape

Both read one folder of f32 or bf16; Synapse's q8_0, a GGUF file, is set against PyTorch's bf16 and
f32, of which the better counts. The peer is transformers, of RWKV-7 the package rwkv. Needs gguf,
torch, and the peer.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import pairs

PROMPTS = (128, 512)


def main() -> None:
    """Compare, and print a table and what it was made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    pairs.add_options(parser, prompts=PROMPTS)
    parser.add_argument("--shape", default="shape", help="which file here makes the models")
    asked = parser.parse_args()
    shape = import_module(asked.shape)
    if unknown := sorted(set(asked.format) - set(shape.PEERS)):
        parser.error(f"--format {unknown[0]}: PyTorch is compared with {', '.join(shape.PEERS)}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    every = {}
    for format in asked.format or shape.PEERS:
        folders = {name: shape.make_folder(asked.folder, name) for name in shape.PEERS[format]}
        file = folders[format] if format in folders else shape.make(asked.folder, format)
        peers = [pairs.Side(shape.PEER, folder, name) for name, folder in folders.items()]
        measured = pairs.measure(asked, pairs.Side("synapse", file), peers)
        weights: Path = file / "model.safetensors" if file.is_dir() else file
        size = weights.stat().st_size
        every[format] = {"bytes": size, "pairs": measured}
        macs = 0 if file.is_dir() else shape.LAYER_MACS
        pairs.show(format, shape.PEER, measured, size, macs)
        pairs.write(asked, shape.PEER, every)


if __name__ == "__main__":
    main()
