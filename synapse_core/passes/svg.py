"""A graph as one SVG picture, drawn without any other tool.

Nodes stand in running order, a column a function. A value that the next node reads is a straight
line; one that is read later is an arc to the right, the wider the longer it has to live. So the
picture shows at a glance what waits in memory, and for how long.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from synapse_core.graph import Function, Graph, Node, StateRef, Tensor, WeightRef

ROW, BOX, LEFT, WIDTH = 34, 24, 20, 380
ARC_STEP, ARC_MOST = 7, 160
COLUMN = LEFT + WIDTH + ARC_MOST + 60
STYLE = (
    "text{font:12px ui-monospace,monospace;fill:#1b2733}"
    ".op{fill:#eef3f8;stroke:#7b8ea3}.io{fill:#e7f4ea;stroke:#6a9d78}"
    ".state{fill:#fbf1df;stroke:#c0964a}"
    "path{fill:none;stroke:#7b8ea3;stroke-width:1.2}"
    ".title{font-weight:bold;font-size:14px}.dim{fill:#6b7c8f}"
)


@attrs.frozen
class _Box:
    """A row of the drawing."""

    title: str
    detail: str
    style: str


def as_svg(graph: Graph) -> str:
    """Return the graph as an SVG document."""
    from html import escape

    parts: list[str] = []
    rows = 0
    for number, function in enumerate(graph.functions.values()):
        boxes, edges = _rows_of(function, graph)
        rows = max(rows, len(boxes))
        parts.append(f'<g transform="translate({number * COLUMN},0)">')
        parts.append(f'<text class="title" x="{LEFT}" y="22">{escape(function.name)}</text>')
        parts += [_arc(start, end) for start, end in sorted(edges)]
        parts += [_draw(row, box) for row, box in enumerate(boxes)]
        parts.append("</g>")
    width, height = max(1, len(graph.functions)) * COLUMN, _y(rows) + ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}"><style>{STYLE}</style>'
    )
    return "\n".join([head, *parts, "</svg>"]) + "\n"


def _rows_of(function: Function, graph: Graph) -> tuple[list[_Box], set[tuple[int, int]]]:
    boxes: list[_Box] = []
    edges: set[tuple[int, int]] = set()
    made: dict[str, int] = {}
    for tensor in function.inputs:
        made[tensor.name] = len(boxes)
        boxes.append(_Box(tensor.name, _size(tensor), "io"))
    for node in function.nodes:
        edges |= {(made[tensor.name], len(boxes)) for tensor in node.tensors()}
        made |= {out.name: len(boxes) for out in node.outputs}
        remembers = any(isinstance(operand, StateRef) for operand in node.inputs)
        boxes.append(_Box(node.op, _detail(node, graph), "state" if remembers else "op"))
    for name, tensor in function.outputs.items():
        edges.add((made[tensor.name], len(boxes)))
        boxes.append(_Box(name, _size(tensor), "io"))
    return boxes, edges


def _detail(node: Node, graph: Graph) -> str:
    return " ".join([*_weights(node, graph), "→", *(_size(out) for out in node.outputs)])


def _weights(node: Node, graph: Graph) -> Iterator[str]:
    for operand in node.inputs:
        if isinstance(operand, WeightRef) and graph.weights[operand.name].rows > 1:
            type = graph.weights[operand.name].type
            yield f"{type.rows}×{type.cols} {type.format}"


def _size(tensor: Tensor) -> str:
    return f"{tensor.type.space.name}×{tensor.type.cols}"


def _draw(row: int, box: _Box) -> str:
    from html import escape

    y = _y(row)
    return (
        f'<rect class="{box.style}" x="{LEFT}" y="{y}" width="{WIDTH}" height="{BOX}" rx="4"/>'
        f'<text x="{LEFT + 8}" y="{y + 16}">{escape(box.title)}'
        f' <tspan class="dim">{escape(box.detail)}</tspan></text>'
    )


def _arc(start: int, end: int) -> str:
    if end == start + 1:
        x = LEFT + 14
        return f'<path d="M{x} {_y(start) + BOX}V{_y(end)}"/>'
    x, a, b = LEFT + WIDTH, _y(start) + BOX - 6, _y(end) + 6
    reach = x + min(ARC_MOST, 10 + ARC_STEP * (end - start))
    return f'<path d="M{x} {a}C{reach} {a} {reach} {b} {x} {b}"/>'


def _y(row: int) -> int:
    return 36 + row * ROW
