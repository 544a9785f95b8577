"""The ratios of comparisons as one picture.

    python benchmarks/plot.py FILE.json… docs/performance.svg

FILE is what `--json` of against_llama_cpp.py or against_torch.py wrote. A bar is a median, its
whisker goes from the least to the most; the same files give the same bytes. The picture follows
the reader's light or dark colours and has no script.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

# In pixels: the page, where bars begin and end, a line, and what stands above a format's lines.
WIDTH, LEFT, RIGHT, LINE, HEAD, TOP = 920, 360, 750, 20, 44, 34
LESS_IS_BETTER = ("load_s", "peak_mb")
STYLE = """
text { font: 13px sans-serif; fill: #1f2328; }
.head { font-weight: bold; }
.quiet { fill: #59636e; font-size: 11px; }
.bar { fill: #4f8fd0; }
.less { fill: #c98a2b; }
.whisker { stroke: #1f2328; stroke-width: 1.5; fill: none; }
.grid { stroke: #8c959f; stroke-opacity: 0.35; }
.one { stroke: #8c959f; stroke-width: 1.5; }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3; }
.quiet { fill: #9198a1; }
.whisker { stroke: #e6edf3; }
}
"""


def main() -> None:
    """Draw what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    parser.add_argument("svg", type=Path)
    asked = parser.parse_args()
    groups = [group for file in asked.files for group in groups_of(file)]
    part = asked.svg.with_name(asked.svg.name + ".part")
    part.write_text(draw(groups), encoding="utf-8")
    os.replace(part, asked.svg)


Group = tuple[str, str, list[dict[str, Any]]]


def groups_of(file: Path) -> list[Group]:
    """Return the formats of a file: a title, what it was made on, the figures that are ratios.

    Raises: SystemExit with a line when it is no such file or has no ratio.
    """
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
        on = f"{report['machine']['processor']}, {report['threads']} threads, {report['date']}"
        groups = [
            (f"{name} against {report['peer']}", on, [f for f in found["figures"] if "ratio" in f])
            for name, found in report["formats"].items()
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(f"{file}: not what --json of a comparison writes: {error!r}") from error
    if not any(figures for _, _, figures in groups):
        raise SystemExit(f"{file}: no figure with a ratio; compare with a peer first")
    return groups


def draw(groups: Sequence[Group]) -> str:
    """Return the picture, SVG."""
    most = max(1, *(f["ratio"]["most"] for _, _, figures in groups for f in figures))
    every = tick(most)
    end = every * math.ceil(most / every)
    height = TOP + sum(HEAD + LINE * len(figures) for _, _, figures in groups) + LINE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>Synapse over its peers, ratios of the same pair</title>",
        f"<style>{STYLE}</style>",
        f'<text class="quiet" x="8" y="{LINE}">Synapse over the peer: blue, more is better; '
        "ochre, less is better. Median of pairs, whiskers least to most.</text>",
    ]
    lines += grid(end, every, height)
    y = TOP
    for title, on, figures in groups:
        lines.append(f'<text class="head" x="8" y="{y + 20}">{escape(title)}</text>')
        lines.append(f'<text class="quiet" x="8" y="{y + 36}">{escape(on)}</text>')
        y += HEAD
        for figure in figures:
            lines += bar(figure, end, y)
            y += LINE
    return "\n".join([*lines, "</svg>"]) + "\n"


def grid(end: float, every: float, height: int) -> Iterator[str]:
    """Yield the lines of the scale; the one of 1 is where both are even."""
    for n in range(round(end / every) + 1):
        x = place(n * every, end)
        yield f'<path class="grid" d="M{x} {TOP}V{height - LINE}"/>'
        at = f'x="{x}" y="{height - 6}" text-anchor="middle"'
        yield f'<text class="quiet" {at}>{n * every:g}</text>'
    yield f'<path class="one" d="M{place(1, end)} {TOP}V{height - LINE}"/>'


def bar(figure: dict[str, Any], end: float, y: int) -> Iterator[str]:
    """Yield a figure's line: its name, bar, whisker and numbers."""
    measure, ratio = figure["measure"], figure["ratio"]
    kind = "less" if measure in LESS_IS_BETTER else "bar"
    low, high = place(ratio["least"], end), place(ratio["most"], end)
    wide, middle = place(ratio["median"], end) - LEFT, y + LINE // 2
    numbers = f"{ratio['median']:.2f} ({ratio['least']:.2f} to {ratio['most']:.2f})"
    yield f'<text x="{LEFT - 8}" y="{y + 14}" text-anchor="end">{escape(measure)}</text>'
    yield f'<rect class="{kind}" x="{LEFT}" y="{y + 4}" width="{wide:.1f}" height="{LINE - 8}"/>'
    ends = f"M{low} {middle - 4}v8M{high} {middle - 4}v8"
    yield f'<path class="whisker" d="M{low} {middle}H{high}{ends}"/>'
    yield f'<text x="{RIGHT + 12}" y="{y + 14}">{numbers}</text>'


def place(value: float, end: float) -> float:
    """Return where a ratio lies, to a tenth of a pixel."""
    return round(LEFT + (RIGHT - LEFT) * value / end, 1)


def tick(most: float) -> float:
    """Return a round distance that divides the scale into eight parts at most."""
    ten = 10.0 ** math.floor(math.log10(most / 8))
    return next(ten * n for n in (1, 2, 5, 10) if ten * n * 8 >= most)


if __name__ == "__main__":
    main()
