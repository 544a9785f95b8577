"""A graph as text, as dot, and as the difference between two stages."""

from __future__ import annotations

from collections.abc import Iterator

from synapse_core.graph import Function, Graph, Node, Operand, StateRef, Tensor, WeightRef


def as_text(graph: Graph) -> str:
    """Return the graph, a line a node: `outputs: rows × cols = op(inputs) {options}`."""
    lines: list[str] = []
    for function in graph.functions.values():
        lines += _function_lines(function, graph)
    return "\n".join(lines) + "\n"


def as_diff(before: Graph, after: Graph, names: tuple[str, str]) -> str:
    """Return a unified diff of two stages' texts; empty when nothing changed."""
    import difflib

    return "".join(
        difflib.unified_diff(
            as_text(before).splitlines(keepends=True),
            as_text(after).splitlines(keepends=True),
            names[0],
            names[1],
            n=1,
        )
    )


def as_dot(graph: Graph) -> str:
    """Return the graph in Graphviz's language, a cluster a function."""
    lines = ["digraph synapse {", "  rankdir=TB; node [shape=box, fontname=monospace];"]
    for number, function in enumerate(graph.functions.values()):
        lines.append(f"  subgraph cluster_{number} {{ label={_quoted(function.name)};")
        lines += [f"    {line}" for line in _dot_lines(function, number)]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _function_lines(function: Function, graph: Graph) -> Iterator[str]:
    yield f"function {function.name}"
    for tensor in function.inputs:
        yield f"  input {_typed(tensor)}"
    for node in function.nodes:
        outputs = ", ".join(_typed(out) for out in node.outputs)
        inputs = ", ".join(_operand(operand, graph) for operand in node.inputs)
        yield f"  {outputs} = {node.op}({inputs}){_options(node)}"
    for name, tensor in function.outputs.items():
        yield f"  output {name} = {tensor.name}"


def _typed(tensor: Tensor) -> str:
    dtype = "" if tensor.type.dtype == "f32" else f" {tensor.type.dtype}"
    return f"{tensor.name}: {tensor.type.space.name} × {tensor.type.cols}{dtype}"


def _operand(operand: Operand, graph: Graph) -> str:
    match operand:
        case Tensor():
            return operand.name
        case WeightRef():
            type = graph.weights[operand.name].type
            size = f"{type.rows}×{type.cols}" if type.rows > 1 else str(type.cols)
            return f"{operand.name}[{size} {type.format}]"
        case StateRef():
            return f"@{operand.name}"
        case None:
            return "-"


def _options(node: Node) -> str:
    if not node.options:
        return ""
    return " {" + ", ".join(f"{key}={value}" for key, value in sorted(node.options.items())) + "}"


def _dot_lines(function: Function, cluster: int) -> Iterator[str]:
    maker: dict[str, str] = {}
    for tensor in function.inputs:
        maker[tensor.name] = f"f{cluster}_{len(maker)}_in"
        yield f"{maker[tensor.name]} [label={_quoted(_typed(tensor))}, shape=oval];"
    for number, node in enumerate(function.nodes):
        key = f"f{cluster}_n{number}"
        weights = [o.name for o in node.inputs if isinstance(o, WeightRef | StateRef)]
        yield f"{key} [label={_quoted(chr(10).join([node.op, *weights]))}];"
        for tensor in node.tensors():
            size = f"{tensor.type.space.name} × {tensor.type.cols}"
            yield f"{maker[tensor.name]} -> {key} [label={_quoted(size)}];"
        for out in node.outputs:
            maker[out.name] = key
    for name, tensor in function.outputs.items():
        key = f"f{cluster}_out_{len(name)}_{name}"
        yield f"{_quoted(key)} [label={_quoted(name)}, shape=oval];"
        yield f"{maker[tensor.name]} -> {_quoted(key)};"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
