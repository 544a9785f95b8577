"""What opening a file costs, each time in a fresh process: time, processor time, memory.

    python benchmarks/load.py FILE.gguf --repeats 9 [--threads 2]

`whole_s` is from the start of the process to a decoder that is ready, `load_s` the same with every
module imported before, `first_s` from the start to the logits behind a prompt of eight tokens;
`cpu` is processor time of all threads, `rss_mb` the process's peak by the first token. In turns
with SYNAPSE_LAYOUT=rows and packed. The file is in the page cache, and modules are compiled, as pip
leaves them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

CHILD = r"""
import importlib, json, resource, sys, time
begun, file, threads, modules = float(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
for module in filter(None, modules.split(",")):
    importlib.import_module(module)
clock = lambda: time.clock_gettime(time.CLOCK_MONOTONIC)
usage = lambda: resource.getrusage(resource.RUSAGE_SELF)
cpu = lambda: usage().ru_utime + usage().ru_stime
imported, imported_cpu = clock(), cpu()
import synapse_core
model = synapse_core.load(file, backend="cpu", threads=threads, context=1024, output_rows=1)
decoder = model.decoder
loaded, loaded_cpu = clock(), cpu()
decoder.prefill(list(range(1, 9)))
first = clock()
named = [n for n, m in sys.modules.items() if getattr(m, "__spec__", None) and n != "__main__"]
print(json.dumps({
    "whole_s": loaded - begun, "whole_cpu_s": loaded_cpu, "load_s": loaded - imported,
    "load_cpu_s": loaded_cpu - imported_cpu, "first_s": first - begun,
    "rss_mb": usage().ru_maxrss / 1e3, "modules": named,
}))
"""
LAYOUTS = ("rows", "packed")
OF_WHOLE = ("whole_s", "whole_cpu_s", "first_s", "rss_mb")
OF_LOAD = ("load_s", "load_cpu_s")


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    found: dict[str, list[dict]] = {layout: [] for layout in LAYOUTS}
    for layout in LAYOUTS * (asked.repeats + 1):
        whole = run(asked, layout, "")
        warm = run(asked, layout, ",".join(whole["modules"]))
        found[layout].append({k: whole[k] for k in OF_WHOLE} | {k: warm[k] for k in OF_LOAD})
    print("| layout | measured | median | least | most |\n| --- | --- | --- | --- | --- |")
    for layout, runs in found.items():
        for key in (*OF_WHOLE, *OF_LOAD):
            values = [measured[key] for measured in runs[1:]]  # the first may have compiled
            spread = (statistics.median(values), min(values), max(values))
            print("|", " | ".join([layout, key, *(f"{value:.3g}" for value in spread)]), "|")


def run(asked: argparse.Namespace, layout: str, modules: str) -> dict:
    """Return what one process measured; `modules` are imported before its clock starts."""
    environment = {**os.environ, "SYNAPSE_LAYOUT": layout, "OPENBLAS_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    begun = str(time.clock_gettime(time.CLOCK_MONOTONIC))
    command = [sys.executable, "-c", CHILD, begun, str(asked.file), str(asked.threads), modules]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{asked.file.name}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
