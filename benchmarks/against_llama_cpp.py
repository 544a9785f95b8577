"""Synapse against llama.cpp on the same files: ratios of interleaved pairs.

    python tools/build_llama_cpp.py build/llama --flags GGML_NATIVE=ON
    python benchmarks/against_llama_cpp.py build/llama --folder build/models --pairs 9

Each pair runs both engines one after the other, each in a process of its own, and the machine's
limits beside them; who begins changes from pair to pair. A ratio is Synapse's figure over
llama.cpp's of the same pair. Needs gguf, ziglang and, for llama.cpp, a C++ compiler.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

PROMPTS = (8, 32, 128, 512)
CHILD = Path(__file__).with_name("speed.py")


def main() -> None:
    """Compare, and print a table and what it was made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("llama", type=Path, help="what tools/build_llama_cpp.py made")
    parser.add_argument("--folder", type=Path, required=True, help="where the files are kept")
    parser.add_argument("--format", action="append", default=[])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, action="append", default=[])
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flash", action="store_true", help="llama.cpp's flash attention")
    parser.add_argument("--json", type=Path, help="write every pair there")
    asked = parser.parse_args()
    sys.path.insert(0, str(asked.llama))
    from limits import Limits
    from shape import FORMATS, LAYER_MACS, make

    asked.folder.mkdir(parents=True, exist_ok=True)
    limits, every = Limits(), {}
    for format in asked.format or FORMATS:
        file = make(asked.folder, format)
        pairs = []
        for n in range(asked.pairs):
            pair = {}
            for engine in ("synapse", "llama.cpp") if n % 2 else ("llama.cpp", "synapse"):
                pair[engine] = run(engine, file, asked)
            pair["limits"] = limits.measure(asked.threads)
            pairs.append(pair)
        every[format] = {"bytes": file.stat().st_size, "pairs": pairs}
        show(format, every[format], LAYER_MACS)
    if asked.json:
        asked.json.write_text(json.dumps({"threads": asked.threads, "formats": every}, indent=1))


def run(engine: str, file: Path, asked: argparse.Namespace) -> dict[str, float]:
    """Run one engine in a process of its own."""
    command = [sys.executable, str(CHILD), engine, str(file), "--threads", str(asked.threads)]
    command += ["--tokens", str(asked.tokens), "--repeats", str(asked.repeats)]
    command += [word for count in asked.prompt or PROMPTS for word in ("--prompt", str(count))]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    # What pip installs is compiled: no load pays for it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    if engine == "llama.cpp":
        environment["PYTHONPATH"] = str(asked.llama)
        command += ["--flash"] if asked.flash else []
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{engine} on {file.name}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def show(format: str, measured: dict, layer_macs: int) -> None:
    """Print a format's lines: medians, and the ratio with its spread."""
    pairs = measured["pairs"]
    read = statistics.median(p["limits"]["read_gb_s"] for p in pairs)
    products = statistics.median(p["limits"]["product_gmac_s"] for p in pairs)
    size = measured["bytes"]
    print(f"\n{format}: {size / 1e6:.0f} MB; read {read:.1f} GB/s, VPDPBUSD {products:.0f} GMAC/s")
    print("| measured | llama.cpp | Synapse | ratio | least | most | of the limit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for key in pairs[0]["synapse"]:
        ours = statistics.median(p["synapse"][key] for p in pairs)
        theirs = statistics.median(p["llama.cpp"][key] for p in pairs)
        ratios = [p["synapse"][key] / p["llama.cpp"][key] for p in pairs]
        limit = ""
        if key == "decode_tok_s":
            limit = f"{ours * size / 1e9 / read:.0%} of reading"
        elif key.startswith("prefill") and products:
            limit = f"{ours * layer_macs / 1e9 / products:.0%} of VPDPBUSD"
        spread = f"{statistics.median(ratios):.2f} | {min(ratios):.2f} | {max(ratios):.2f}"
        print(f"| {key} | {theirs:.4g} | {ours:.4g} | {spread} | {limit} |")


if __name__ == "__main__":
    main()
