"""Which extra of `synapse` would bring a name that is not installed; shown, never acted on."""

from __future__ import annotations

import re
from collections.abc import Collection
from importlib import metadata

# A requirement of an extra, as wheels write it: `synapse-backend-cpu==1!0.1.*; extra == 'cpu'`.
_EXTRA = re.compile(r"^(synapse-[a-z0-9-]+)\b[^;]*;\s*extra\s*==\s*['\"]([a-z0-9-]+)['\"]")


def extras_to_install(kind: str, name: str, installed: Collection[str]) -> tuple[str, ...]:
    """Return the extras that may bring (kind, name), sorted.

    A distribution is named `synapse-<kind>-<name>`: one of just that name is the answer, else those
    whose name is part of what is missed (`mamba` of `MambaForCausalLM`), else all of the kind that
    are not installed.
    """
    offered = {
        distribution: extra
        for distribution, extra in _distributions().items()
        if distribution.startswith(f"synapse-{kind}-") and distribution not in installed
    }
    exact = offered.get(f"synapse-{kind}-{name}")
    if exact is not None:
        return (exact,)
    part = len(f"synapse-{kind}-")
    alike = {extra for found, extra in offered.items() if found[part:] in name.lower()}
    return tuple(sorted(alike or set(offered.values())))


def _distributions() -> dict[str, str]:
    """Return the distributions that extras of the installed `synapse` bring."""
    try:
        required = metadata.requires("synapse") or []
    except metadata.PackageNotFoundError:
        return {}
    found = (_EXTRA.match(line) for line in required)
    return {match[1]: match[2] for match in found if match and match[2] != "all"}
