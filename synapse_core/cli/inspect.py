"""`synapse inspect`: what a model is and what it would need; no weight is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synapse_core.cli.image_options import parse_size, size_options
from synapse_core.cli.options import format_options, model_argument
from synapse_core.cli.output import json_option, print_json, print_table

if TYPE_CHECKING:
    from synapse_core.api import Built

# Of a list of names (classes), so many are shown.
MOST_LISTED = 8


@click.command("inspect")
@model_argument(required=False)
@click.option("--memory", is_flag=True, help="What running it would need, in bytes.")
@size_options
@format_options
@json_option
def inspect(
    model: Path | None,
    memory: bool,
    size: str | None,
    batch: int | None,
    format: str | None,
    arith: str | None,
    kv: str | None,
    context: int | None,
    as_json: bool,
) -> None:
    """Show family, config, weights, functions and states of MODEL, from its headers alone.

    With --format, memory is what it would be after re-encoding; nothing is re-encoded for it.
    Copies are what the fastest backend here makes of the weights, in the order it reads them.
    """
    from synapse_core.api import build, choose_backend, default_model, estimate
    from synapse_core.formats import Formats
    from synapse_core.passes import plan_for
    from synapse_core.plugins import default_host

    host = default_host()
    built = build(
        model or default_model(host),
        host,
        arith=arith,
        kv=kv,
        context=context,
        images=batch,
        image_size=parse_size(size),
    )
    report = describe(built)
    backend = choose_backend("auto", host)
    plan = plan_for(format, _kept(built))
    needs = estimate(built.program, built.graph, plan, Formats(host), backend=backend, arith=arith)
    report["memory"] = {
        "weights_bytes": needs.weights,
        "copies_bytes": needs.copies,
        "kv_bytes": needs.kv,
        "recurrent_bytes": needs.recurrent,
        "arena_bytes": needs.arena,
        "total_bytes": needs.total,
    }
    report["kv_page_bytes"] = needs.kv_page
    if as_json:
        print_json(report)
    elif memory:
        rows = [[name.removesuffix("_bytes"), _size(n)] for name, n in report["memory"].items()]
        print_table(["memory", "needed"], rows)
    else:
        _print(report)


def describe(built: Built) -> dict[str, Any]:
    """Return what is known of a model, as plain JSON values."""
    from synapse_core.api import ignored_of
    from synapse_core.formats import format_of_code
    from synapse_core.generate import has_tokenizer
    from synapse_core.program import Tables, functions_of

    tables = Tables.of(built.program.image, built.path)
    formats: Counter[str] = Counter()
    parameters: Counter[str] = Counter()
    for weight in tables.weights:
        name = format_of_code(int(weight["format"])).name
        formats[name] += 1
        parameters[name] += int(weight["rows"]) * int(weight["cols"])
    checkpoint = built.checkpoint
    return {
        "model": str(built.path),
        "family": built.family,
        "config": built.config,
        "parameters": built.program.host.get("parameters"),
        "weights": len(tables.weights),
        "formats": {
            name: {"weights": count, "parameters": parameters[name]}
            for name, count in sorted(formats.items())
        },
        "tensors": len(checkpoint.tensors) if checkpoint else None,
        "ignored": [{"tensor": n, "reason": r} for n, r in sorted(ignored_of(built).items())],
        "tokenizer": has_tokenizer(built.assets),
        "functions": {
            function.name: {
                "spaces": {
                    space.name: {"rows": function.max_rows[space.name]}
                    | ({"positions": function.max_position[space.name]} if space.rows else {})
                    for space in function.base_spaces
                },
                "inputs": {port.name: _port(port.type) for port in function.inputs},
                "outputs": {port.name: _port(port.type) for port in function.outputs},
                "ops": len(function.ops),
            }
            for function in functions_of(built.program).values()
        },
        "states": len(tables.states),
    }


def _port(type: Any) -> str:
    return f"{type.space.name} × {type.cols} {type.dtype}"


def _print(report: dict[str, Any]) -> None:
    formats = ", ".join(
        f"{f['weights']} {name} ({f['parameters']:,} numbers)"
        for name, f in report["formats"].items()
    )
    rows: list[list[object]] = [
        ["model", report["model"]],
        ["family", report["family"]],
        ["parameters", f"{report['parameters']:,}" if report["parameters"] else "-"],
        ["weights", formats],
        ["tensors in the file", report["tensors"] if report["tensors"] is not None else "-"],
        ["tokenizer", "yes" if report["tokenizer"] else "no"],
        ["states", report["states"]],
        ["memory", _size(report["memory"]["total_bytes"])],
    ]
    for key, value in _flat_config(report["config"]):
        lines = _runs(value) if isinstance(value, list) else [_text(value)]
        rows += [[f"config.{key}", line] for line in lines]
    rows += [[f"ignored {i['tensor']}", i["reason"]] for i in report["ignored"]]
    print_table(["what", "value"], rows)
    for name, function in report["functions"].items():
        click.echo()
        spaces = [[f"space {s}", _counts(c)] for s, c in function["spaces"].items()]
        ports = [
            [f"{way} {port}", text]
            for way in ("input", "output")
            for port, text in function[f"{way}s"].items()
        ]
        print_table([f"function {name}", f"{function['ops']} ops"], spaces + ports)


def _flat_config(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield keys and values, those of an object that holds lists of objects by themselves."""
    for key, value in config.items():
        if isinstance(value, dict) and any(isinstance(part, list) for part in value.values()):
            yield from _flat_config(value, f"{path}{key}.")
        elif isinstance(value, list) and len(value) > MOST_LISTED and isinstance(value[0], str):
            yield path + key, f"{len(value)}: {', '.join(value[:MOST_LISTED])}, …"
        else:
            yield path + key, value


def _runs(values: list[Any]) -> list[str]:
    """Return a line for each run of equal entries: layers are mostly alike."""
    lines: list[tuple[str, int]] = []
    for value in values:
        text = _text(value)
        same = lines.pop()[1] if lines and lines[-1][0] == text else 0
        lines.append((text, same + 1))
    return [text if count == 1 else f"{count} × ({text})" for text, count in lines]


def _text(value: Any) -> str:
    """Write a part of a config short: a component as name(option value, …)."""
    if not isinstance(value, dict):
        return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
    if value.keys() == {"kind", "name", "options"}:
        options = ", ".join(f"{k} {_text(v)}" for k, v in value["options"].items() if v != "")
        return f"{value['name']}({options})"
    return ", ".join(f"{key} {_text(v)}" for key, v in value.items())


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"at most {count} {what}" for what, count in counts.items())


def _size(count: int) -> str:
    return f"{count:,} bytes ({count / 1e6:.1f} MB)"


def _kept(built: Built) -> tuple[str, ...]:
    """Return the patterns of matrices that a format asked for all leaves as they are."""
    from synapse_core.families import model_config

    if built.definition is None or built.checkpoint is None:
        return ()
    return built.definition.kept(model_config(built.definition, built.checkpoint))
