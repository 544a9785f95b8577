"""Writing a new plugin from the templates that ship with the core: whole or not at all."""

from __future__ import annotations

import keyword
import os
import re
import secrets
import shutil
from pathlib import Path

import attrs

from synapse_core.authoring.kinds import STARTS
from synapse_core.errors import FileError, UsageError
from synapse_core.hookspecs import HOOK_OF_KIND, KINDS, Registry

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
# The symbol and the op's name go into records of 32 bytes, one of them a zero.
MOST_CHARACTERS = 30


@attrs.frozen
class Created:
    """What was written: `files` are paths below `folder`, sorted."""

    name: str
    distribution: str
    folder: Path
    files: tuple[str, ...]


def create_plugin(kind: str, name: str, folder: Path | None, registry: Registry) -> Created:
    """Write a distribution that provides a working thing of a kind, with its tests.

    `folder` None: `synapse-<kind>-<name>` in the current folder.

    Raises: UsageError for an unknown kind, a name that cannot be one or is taken, a folder that is
    there; FileError when it cannot be written.
    """
    if kind not in KINDS:
        raise UsageError(f"no kind {kind!r}; there are: {', '.join(KINDS)}")
    plain = checked_name(kind, name, registry)
    distribution = f"synapse-{kind}-{plain}".replace("_", "-")
    target = folder if folder is not None else Path(distribution)
    if target.exists() or target.is_symlink():
        raise UsageError(f"{target} is there already; name a folder that is not (-o FOLDER)")
    texts = render(kind, plain)
    _write(target, texts)
    return Created(plain, distribution, target, tuple(sorted(texts)))


def checked_name(kind: str, name: str, registry: Registry) -> str:
    """Return a plugin's name with `_` for `-`.

    Raises: UsageError for one that cannot be a module's, or that the kind has already.
    """
    if not NAME.fullmatch(name) or len(name) > MOST_CHARACTERS:
        raise UsageError(
            f"name {name!r}: lower-case letters and digits, words parted by - or _, the first a"
            f" letter, at most {MOST_CHARACTERS} characters"
        )
    plain = name.replace("-", "_")
    if keyword.iskeyword(plain):
        raise UsageError(f"name {name!r} is a word of Python; choose another")
    if plain in registry.names(kind):
        raise UsageError(f"{kind} {plain!r} is installed already; choose another name")
    return plain


def render(kind: str, name: str) -> dict[str, str]:
    """Return the text of every file of a new plugin, by its path in the distribution's folder."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("synapse_core.authoring", "templates"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = _words(kind, name)
    package = words["package"]
    places = {
        "pyproject.toml": "pyproject.toml.j2",
        "README.md": "README.md.j2",
        f"{package}/__init__.py": "init.py.j2",
        f"{package}/plugin.py": "plugin.py.j2",
        f"{package}/{words['module']}.py": f"{kind}/part.py.j2",
        f"tests/test_{name}.py": f"{kind}/test.py.j2",
    }
    if words["has_sample"]:
        places[f"{package}/sample.py"] = f"{kind}/sample.py.j2"
    if kind == "op":
        places[f"{package}/kernels/{name}.c"] = "op/kernel.c.j2"
    return {path: environment.get_template(at).render(words) for path, at in places.items()}


def _words(kind: str, name: str) -> dict[str, str | bool]:
    start = STARTS[kind]
    spelt = {
        "name": name,
        "verb": name.replace("_", "-"),
        "Camel": "".join(word.capitalize() for word in name.split("_")),
        "UPPER": name.upper(),
    }
    return {
        **spelt,
        "kind": kind,
        "provided": spelt["verb"] if kind == "command" else name,
        "hook": HOOK_OF_KIND[kind],
        "distribution": f"synapse-{kind}-{name}".replace("_", "-"),
        "package": f"synapse_{kind}_{name}",
        "module": start.module,
        "object": start.object.format(**spelt),
        "summary": start.summary.format(**spelt),
        "use": start.use.format(**spelt),
        "has_sample": start.sample,
        "contract": "".join(word.capitalize() for word in kind.split("_")) + "Contract",
    }


def _write(folder: Path, texts: dict[str, str]) -> None:
    """Write all files beside `folder`, then give them its name."""
    part = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.part")
    try:
        for path, text in texts.items():
            file = part / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        os.rename(part, folder)
    except OSError as error:
        raise FileError(folder, f"cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
