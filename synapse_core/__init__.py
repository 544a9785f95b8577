"""Synapse: run machine-learning models at the edge.

The names below are what a program or a plugin starts from; each is imported when first used, so
`import synapse_core` costs nothing. The rest of the public surface are the packages `errors`,
`hookspecs`, `ops`, `formats`, `loaders`, `graph`, `components`, `families`, `passes`, `program`,
`backends`, `generate` and `testing`.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "1!0.1.0"

_HOME = {
    "Model": "synapse_core.api",
    "load": "synapse_core.api",
    "registry": "synapse_core.plugins:default_host",
    "Provides": "synapse_core.hookspecs",
    "hookimpl": "synapse_core.hookspecs",
    "SynapseError": "synapse_core.errors",
}

__all__ = ["Model", "Provides", "SynapseError", "__version__", "hookimpl", "load", "registry"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = home.partition(":")
    return getattr(importlib.import_module(module), attribute or name)
