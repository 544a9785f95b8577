"""Synapse against llama.cpp on the same files: ratios of interleaved pairs.

    python tools/build_llama_cpp.py build/llama --flags GGML_NATIVE=ON
    python benchmarks/against_llama_cpp.py build/llama --folder build/models --pairs 9

Each pair runs both engines one after the other, each in a process of its own, and the machine's
limits beside them; llama.cpp runs without and with flash attention, and the better counts. Needs
gguf, ziglang and, for llama.cpp, a C++ compiler.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

import pairs

PROMPTS = (8, 32, 128, 512)
SETTINGS = {"off": [("", ())], "on": [("flash", ("--flash",))]}
SETTINGS["best"] = SETTINGS["off"] + SETTINGS["on"]


def main() -> None:
    """Compare, and print a table and what it was made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("llama", type=Path, help="what tools/build_llama_cpp.py made")
    pairs.add_options(parser, prompts=PROMPTS)
    parser.add_argument(
        "--flash", choices=SETTINGS, default="best", help="llama.cpp's flash attention"
    )
    parser.add_argument("--shape", default="shape", help="which file here makes the models")
    asked = parser.parse_args()
    sys.path.insert(0, str(asked.llama))
    shape = import_module(asked.shape)

    asked.folder.mkdir(parents=True, exist_ok=True)
    every = {}
    for format in asked.format or shape.FORMATS:
        file = shape.make(asked.folder, format)
        path = {"PYTHONPATH": str(asked.llama)}
        peers = [
            pairs.Side("llama.cpp", file, setting, words, path)
            for setting, words in SETTINGS[asked.flash]
        ]
        measured = pairs.measure(asked, pairs.Side("synapse", file), peers)
        size = file.stat().st_size
        every[format] = {"bytes": size, "pairs": measured}
        pairs.show(format, "llama.cpp", measured, size, shape.LAYER_MACS)
        pairs.write(asked, "llama.cpp", every)


if __name__ == "__main__":
    main()
