"""Time to the first token of a long prompt, computed and from a prompt cache.

    python benchmarks/prompt_cache.py FILE.gguf [--tokens 2000] [--kv f16] [--threads 2]

Each time in a fresh process: `first_s` is from a loaded model to the logits behind the prompt, the
reading of the cache included; `write_s` what writing it takes afterwards. The file is in the page
cache. `same` says that both runs gave the same bits.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CHILD = r"""
import hashlib, json, sys, time
import numpy as np
import synapse_core
file, cache, tokens, kv, threads = sys.argv[1], sys.argv[2], *sys.argv[3:]
tokens = int(tokens)
model = synapse_core.load(
    file, backend="cpu", threads=int(threads), context=tokens + 8, kv=kv, output_rows=1
)
decoder = model.decoder
ids = np.random.default_rng(1).integers(0, decoder.ports.vocabulary, tokens).tolist()
begun = time.perf_counter()
kept = model.prompt_cache(cache)
opened = time.perf_counter()
kept.prepare(ids)
logits = decoder.prefill(ids)
first = time.perf_counter()
kept.write()
done = time.perf_counter()
print(json.dumps({
    "open_s": opened - begun, "first_s": first - begun, "write_s": done - first,
    "bits": hashlib.sha256(logits.tobytes()).hexdigest(),
}))
"""


def once(options: argparse.Namespace, cache: Path) -> dict[str, Any]:
    """Run a fresh process and return its times."""
    rest = [str(value) for value in (options.tokens, options.kv, options.threads)]
    command = [sys.executable, "-c", CHILD, options.model, str(cache), *rest]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main() -> None:
    """Print the medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=2000)
    parser.add_argument("--kv", default="f16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[dict[str, Any]]] = {"computed": [], "cached": []}
    size = 0
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder) / "prompt.cache"
            for name, found in runs.items():
                found.append(once(options, cache))
                print(json.dumps({name: found[-1]}), file=sys.stderr)
            size = cache.stat().st_size
    bits = {run["bits"] for found in runs.values() for run in found}
    first = {n: statistics.median(run["first_s"] for run in found) for n, found in runs.items()}
    report = {
        "tokens": options.tokens,
        "kv": options.kv,
        "file_bytes": size,
        "computed_s": first["computed"],
        "cached_s": first["cached"],
        "open_s": statistics.median(run["open_s"] for run in runs["cached"]),
        "write_s": statistics.median(run["write_s"] for run in runs["computed"]),
        "ratio": first["computed"] / first["cached"],
        "same": len(bits) == 1,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
