"""Two engines by turns, each time in a process of its own, and what their pairs come to.

A pair is one run of Synapse and one of its peer, with every setting the peer is tried with; who
begins changes from pair to pair. A ratio is Synapse's figure over the peer's of the same pair, and
the peer's setting is, measure by measure, the one with the better median.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from limits import Limits

CHILD = Path(__file__).with_name("speed.py")
LESS_IS_BETTER = ("load_s", "peak_mb")
Measures = dict[str, float]


class Side(NamedTuple):
    """An engine on a file; `setting` names what it is tried with, `words` are speed.py's for it."""

    engine: str
    file: Path
    setting: str = ""
    words: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}


def add_options(parser: argparse.ArgumentParser, *, prompts: Sequence[int]) -> None:
    """Add what every comparison is asked for; `prompts` are measured where none is named."""
    parser.add_argument("--folder", type=Path, required=True, help="where the files are kept")
    parser.add_argument("--format", action="append", default=[])
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, action="append", help=f"default: {prompts}")
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--context", type=int, action="append", help="decode behind so many tokens")
    parser.add_argument("--slots", type=int, default=0, help="Synapse: decode so many side by side")
    parser.add_argument("--busy", action="store_true", help="also on one thread and beside a loop")
    parser.add_argument("--json", type=Path, help="write every figure and every pair there")
    parser.add_argument("--date", default=datetime.date.today().isoformat(), help="for --json")
    parser.set_defaults(prompts=prompts)


def measure(asked: argparse.Namespace, ours: Side, peers: Sequence[Side]) -> list[dict[str, Any]]:
    """Return the pairs: `synapse`, `peers` by setting, `limits`."""
    limits, pairs = Limits(), []
    for n in range(asked.pairs):
        turns = [ours, *peers] if n % 2 else [*peers, ours]
        found = [(side, sitting(asked, side)) for side in turns]
        pairs.append(
            {
                "synapse": next(got for side, got in found if side is ours),
                "peers": {side.setting: got for side, got in found if side is not ours},
                "limits": limits.measure(asked.threads),
            }
        )
    return pairs


def sitting(asked: argparse.Namespace, side: Side) -> Measures:
    """Return what one engine reaches in one turn, all that was asked for."""
    found = run(asked, side, asked.threads)
    speeds = [key for key in found if key.endswith("_tok_s")]
    if asked.busy:
        beside, one = run(asked, side, asked.threads, "--busy"), run(asked, side, 1)
        one_beside = run(asked, side, 1, "--busy")
        for key in speeds:
            found[f"{key}_busy"] = beside[key]
            found[f"{key}_over_one_thread"] = found[key] / one[key]
            found[f"{key}_over_one_thread_busy"] = beside[key] / one_beside[key]
    if asked.slots and side.engine == "synapse":
        # In a process of its own: memory and loading are those of one slot.
        several = run(asked, side, asked.threads, "--slots", str(asked.slots))
        found |= {key: value for key, value in several.items() if "_slots_" in key}
    return found


def run(asked: argparse.Namespace, side: Side, threads: int, *words: str) -> Measures:
    """Run one engine in a process of its own."""
    command = [sys.executable, str(CHILD), side.engine, str(side.file), "--threads", str(threads)]
    command += ["--tokens", str(asked.tokens), "--repeats", str(asked.repeats)]
    for count in asked.prompt or asked.prompts:
        command += ["--prompt", str(count)]
    for count in asked.context or ():
        command += ["--context", str(count)]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", **side.environment}
    # What pip installs is compiled: no load pays for it.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command += [*side.words, *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{side.engine} on {side.file.name}: {done.stderr.strip()[-500:]}")
    measured: Measures = json.loads(done.stdout.splitlines()[-1])
    return measured


def figures(pairs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a figure for each measure; one that the peer lacks has no `theirs` and no `ratio`."""
    made = []
    for key in pairs[0]["synapse"]:
        ours = [pair["synapse"][key] for pair in pairs]
        figure: dict[str, Any] = {"measure": key, "ours": spread(ours)}
        settings = [name for name, found in pairs[0]["peers"].items() if key in found]
        if settings:
            best = best_setting(pairs, settings, key)
            theirs = [pair["peers"][best][key] for pair in pairs]
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            figure |= {"theirs": spread(theirs), "setting": best, "ratio": spread(ratios)}
        made.append(figure)
    return made


def best_setting(pairs: Sequence[Mapping[str, Any]], settings: Sequence[str], key: str) -> str:
    """Return the peer's best setting; what is made of a speed has the speed's."""
    speed, ends, _ = key.partition("_tok_s")
    key = speed + ends
    better = min if key in LESS_IS_BETTER else max
    return better(
        settings, key=lambda name: statistics.median(pair["peers"][name][key] for pair in pairs)
    )


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return the median of some figures, the least and the most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def show(title: str, peer: str, pairs: Sequence[Mapping[str, Any]], size: int, macs: int) -> None:
    """Print a format's table: medians, and the ratio with its spread.

    `macs` are a token's multiply-adds where they are those of VPDPBUSD's kind, or 0.
    """
    read = statistics.median(p["limits"]["read_gb_s"] for p in pairs)
    products = statistics.median(p["limits"]["product_gmac_s"] for p in pairs)
    print(f"\n{title}: {size / 1e6:.0f} MB; read {read:.1f} GB/s, VPDPBUSD {products:.0f} GMAC/s")
    print(f"| measured | {peer} | Synapse | ratio | least | most | of the limit |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for figure in figures(pairs):
        key, ours = figure["measure"], figure["ours"]
        limit, theirs, ratio = "", "", "| "
        if key == "decode_tok_s":
            limit = f"{ours['median'] * size / 1e9 / read:.0%} of reading"
        elif key.startswith("prefill") and key.endswith("_tok_s") and products and macs:
            limit = f"{ours['median'] * macs / 1e9 / products:.0%} of VPDPBUSD"
        if "ratio" in figure:
            with_ = f" ({figure['setting']})" if figure["setting"] else ""
            theirs = f"{figure['theirs']['median']:.4g}{with_}"
            ratio = " | ".join(f"{value:.2f}" for value in figure["ratio"].values())
        else:
            ratio = f"| {ours['least']:.4g} | {ours['most']:.4g}"
        print(f"| {key} | {theirs} | {ours['median']:.4g} | {ratio} | {limit} |", flush=True)


def write(asked: argparse.Namespace, peer: str, every: Mapping[str, Mapping[str, Any]]) -> None:
    """Write all formats' figures and pairs, with what they were made on, where it was asked for."""
    if not asked.json:
        return
    report = {
        "date": asked.date,
        "machine": machine(),
        "peer": peer,
        "threads": asked.threads,
        "formats": {
            format: {
                **found,
                "limits": {
                    key: spread([pair["limits"][key] for pair in found["pairs"]])
                    for key in found["pairs"][0]["limits"]
                },
                "figures": figures(found["pairs"]),
            }
            for format, found in every.items()
        },
    }
    part = asked.json.with_name(asked.json.name + ".part")
    part.write_text(json.dumps(report, indent=1) + "\n")
    os.replace(part, asked.json)


def machine() -> dict[str, Any]:
    """Return what the figures were made on."""
    processor, memory = platform.processor() or platform.machine(), 0
    if sys.platform == "linux":
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        processor = names[0] if names else processor
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }
