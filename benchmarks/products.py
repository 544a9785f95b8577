"""Matrix products alone, beside loops that do nothing but multiply or read.

    python benchmarks/products.py --rows 512 --format q4_0 --format q8_0

A program of linear ops, 1024 to 3072 columns and back, through the runtime as a model's go. Many
rows are measured against VPDPBUSD, the integer product's own instruction, one against reading.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from limits import Limits as Machine
from synapse_backend_cpu.backend import CpuBackend

from synapse_core.graph import GraphBuilder, WeightScope
from synapse_core.ops import TensorType
from synapse_core.program import Limits
from synapse_core.testing import Case, fill_weights, finder, rows

FORMATS = ("q4_0", "q8_0", "q4_k", "q6_k", "bf16", "f16", "f32")
NARROW, WIDE = 1024, 3072


def products(format: str, count: int, pairs: int) -> Case:
    """A chain of products of `count` rows; `pairs` so many that a call's own work is little."""
    g = GraphBuilder(finder())
    f = g.function("f")
    x = f.input("x", TensorType(f.space("tokens"), NARROW))
    scope = WeightScope(g)
    arith = "a8/32" if format.startswith("q") else "f32"
    sizes = [size for _ in range(pairs) for size in ((WIDE, NARROW), (NARROW, WIDE))]
    for number, size in enumerate(sizes):
        (x,) = f.op_n("linear", x, scope.matrix(f"w{number}", *size), None, arith=arith)
    f.output("y", x)
    graph = fill_weights(g.finish(), 1, {f"w{n}": format for n in range(len(sizes))})
    limits = Limits(rows={"tokens": count}, slots=1, positions=count)
    return Case(format, graph, (), limits)


def main() -> None:
    """Measure each format some times, the machine's limits between them, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=512, help="rows of x")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--format", action="append", choices=FORMATS)
    asked = parser.parse_args()
    machine = Machine()
    x = {"x": np.random.default_rng(2).standard_normal((asked.rows, NARROW), np.float32)}
    table = {"tokens": rows((0, 0, asked.rows))}
    pairs = 48 if asked.rows < 16 else 6
    print(f"{asked.rows} rows, {asked.threads} threads")
    for format in asked.format or FORMATS:
        case = products(format, asked.rows, pairs)
        executable = case.executable()
        session = CpuBackend().open(executable, threads=asked.threads)
        size = sum(data.size for data in executable.program.external)
        work = asked.rows * 2 * pairs * NARROW * WIDE
        session.run("f", x, table)
        found: list[tuple[float, float, float]] = []
        for _ in range(asked.repeats):
            limits = machine.measure(asked.threads, times=2)
            begun = time.perf_counter()
            session.run("f", x, table)
            taken = time.perf_counter() - begun
            rate, read = work / taken / 1e9, size / taken / 1e9
            found.append((rate, rate / limits["product_gmac_s"], read / limits["read_gb_s"]))
        session.close()
        rate, product, reading = (statistics.median(n) for n in zip(*found, strict=True))
        least, most = min(n[1] for n in found), max(n[1] for n in found)
        print(
            f"{format}: {rate:.0f} GMAC/s, {product:.0%} of VPDPBUSD ({least:.0%} to {most:.0%}),"
            f" {reading:.0%} of reading"
        )


if __name__ == "__main__":
    main()
