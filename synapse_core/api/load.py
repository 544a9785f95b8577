"""Loading a model: a path or a name, a backend, what memory is planned for."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from synapse_core.api.build import OUTPUT_ROWS, PREFILL_ROWS, LimitsFor, build
from synapse_core.api.choose import choose_backend
from synapse_core.api.model import Model
from synapse_core.api.source import default_model, shipped_model
from synapse_core.generate import Chooser
from synapse_core.hookspecs import Registry
from synapse_core.plugins import default_host
from synapse_core.program import Limits


def load(
    path: str | Path | None = None,
    *,
    backend: str = "auto",
    limits: Limits | LimitsFor | None = None,
    format: str | None = None,
    arith: str | None = None,
    kv: str | None = None,
    context: int | None = None,
    rows: int = PREFILL_ROWS,
    output_rows: int = OUTPUT_ROWS,
    slots: int = 1,
    images: int | None = None,
    image_size: tuple[int, int] | None = None,
    threads: int | None = None,
    pages: int | None = None,
    tokenizer: str | None = None,
    memory_bytes: int | None = None,
    registry: Registry | None = None,
) -> Model:
    """Load a model: a folder, a .safetensors, .gguf or .syn file, or None for the installed one.

    A text may also be the name of a family that ships a model, or of a model on the hub,
    `ORG/NAME`, as on the command line: that is taken from the hub's cache, and pulled where it is
    not there. A Path is a path.

    `backend` "auto" takes the fastest that works here; a named one never falls back. `pages`
    bounds the memory of keys and values, in pages of 64 positions: less than all slots would take
    when they are full, for a `scheduler` that makes do with it. The other options are those of
    `synapse_core.api.build`.
    """
    registry = registry or default_host()
    chosen = choose_backend(backend, registry)
    built = build(
        default_model(registry) if path is None else _place_of(path, registry),
        registry,
        limits=limits,
        format=format,
        arith=arith,
        kv=kv,
        context=context,
        rows=rows,
        output_rows=output_rows,
        slots=slots,
        images=images,
        image_size=image_size,
        memory_bytes=memory_bytes,
        tokenizer=tokenizer,
    )
    session = chosen.open(built.executable(), threads=threads, pages=pages)
    return Model(built, chosen.name, session, partial(Chooser.open, chosen))


def _place_of(model: str | Path, registry: Registry) -> Path:
    """Return the path of a model; one that is on the hub only is pulled."""
    if isinstance(model, Path) or Path(model).exists():
        return Path(model)
    shipped = shipped_model(model, registry)
    if shipped is not None:
        return shipped
    from synapse_core.api.hub import HubName, find_model, pull

    found = find_model(model)
    if isinstance(found, HubName):
        return pull(found, progress=sys.stderr.isatty(), registry=registry).path
    return found
