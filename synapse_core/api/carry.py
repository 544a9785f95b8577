"""The small files that go along with weights: config, tokenizer, chat template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from synapse_core.errors import FileError
from synapse_core.files import write_whole
from synapse_core.generate import reader_files
from synapse_core.generate.assets import ASSETS, SENTENCEPIECE, most_bytes
from synapse_core.hookspecs import Registry
from synapse_core.loaders.regular_file import open_regular


def carried_files(folder: Path, registry: Registry) -> dict[str, bytes]:
    """Return those that a model's folder has, by name; those of plugins' tokenizers too.

    Raises: FileError for one that is no regular file, or too big.
    """
    found: dict[str, bytes] = {}
    for name in (*ASSETS, SENTENCEPIECE, *reader_files(registry)):
        if not (folder / name).exists():
            continue
        with open_regular(folder / name) as (file, size):
            most = most_bytes(name)
            if size > most:
                raise FileError(folder / name, f"{size} bytes; at most {most}")
            found[name] = file.read(most + 1)
    return found


def copy_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write them into a folder."""
    for name, content in files.items():
        with write_whole(folder / name) as file:
            file.write(content)


def check_beside(files: Mapping[str, bytes], output: Path, registry: Registry) -> None:
    """Check that they can stand beside a file: others of their names would be another model's.

    Raises: FileError naming the one that is there and differs, or is not of this model at all.
    """
    present = carried_files(output.parent, registry)
    for name, content in present.items():
        if files.get(name) != content:
            problem = f"is another model's; {output.name} needs a folder of its own"
            raise FileError(output.parent / name, problem)


@contextmanager
def beside(files: Mapping[str, bytes], folder: Path) -> Iterator[None]:
    """Write those that are missing; take them away again where the block fails."""
    new = {name: content for name, content in files.items() if not (folder / name).exists()}
    try:
        copy_files(new, folder)
        yield
    except BaseException:
        for name in new:
            (folder / name).unlink(missing_ok=True)
        raise
