"""Contracts of targets: what is exported appears whole or not at all."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import attrs

from synapse_core.backends import Executable, Target
from synapse_core.errors import SynapseError
from synapse_core.testing.contracts.contract import Contract, Subject, contract, require
from synapse_core.testing.toys import causal_decoder


class _Unreadable:
    """A segment whose bytes cannot be had, as a file on a broken disk: whatever asks, fails."""

    def _fail(self, *_: Any, **__: Any) -> Any:
        raise OSError(5, "Input/output error")

    __array__ = __buffer__ = __len__ = __getitem__ = __iter__ = _fail

    def __getattr__(self, name: str) -> Any:
        return self._fail()


def files_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@contract
def exports_into_a_new_folder(subject: Subject) -> None:
    """The folder is made, holds files, and nothing else appears beside it."""
    target: Target = subject.made()
    require(target.name == subject.name, f"listed as {subject.name!r}, it says {target.name!r}")
    with tempfile.TemporaryDirectory() as scratch:
        target.export(causal_decoder().executable(), str(Path(scratch) / "out"))
        made = [path.name for path in Path(scratch).iterdir()]
        require(made == ["out"], f"export to 'out' made {made}")
        found = files_of(Path(scratch) / "out")
        require(bool(found), "the exported folder holds no file")


@contract
def exports_the_same_bytes_twice(subject: Subject) -> None:
    """One model gives one export: no clock, no path of this machine, no order by chance."""
    target: Target = subject.made()
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("a", "b"):
            target.export(causal_decoder().executable(), str(Path(scratch) / name))
        a, b = (files_of(Path(scratch) / name) for name in ("a", "b"))
        differ = sorted(name for name in {*a, *b} if a.get(name) != b.get(name))
        require(not differ, f"two exports of one model differ in {', '.join(differ)}")


@contract
def exports_another_model_as_other_bytes(subject: Subject) -> None:
    """The model is in what is exported."""
    target: Target = subject.made()
    with tempfile.TemporaryDirectory() as scratch:
        target.export(causal_decoder("f32").executable(), str(Path(scratch) / "a"))
        target.export(causal_decoder("int8").executable(), str(Path(scratch) / "b"))
        same = files_of(Path(scratch) / "a") == files_of(Path(scratch) / "b")
        require(not same, "two models are exported as the same files: the model is not in them")


@contract
def refuses_a_folder_that_is_there(subject: Subject) -> None:
    """It is a SynapseError, and what the folder holds stays."""
    target: Target = subject.made()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "out"
        folder.mkdir()
        (folder / "mine.txt").write_text("mine")
        before = files_of(Path(scratch))
        refused = False
        try:
            target.export(causal_decoder().executable(), str(folder))
        except SynapseError:
            refused = True
        require(refused, "export into a folder that is there was not refused with a SynapseError")
        require(files_of(Path(scratch)) == before, "the folder that was there has changed")


@contract
def leaves_nothing_when_it_fails(subject: Subject) -> None:
    """A weight that cannot be read half-way: no folder, and no part of one, stays."""
    target: Target = subject.made()
    whole = causal_decoder().executable()
    external: Any = (*whole.program.external[:-1], _Unreadable())
    program = attrs.evolve(whole.program, external=external)
    broken = Executable(program, whole.find_op, whole.graph)
    with tempfile.TemporaryDirectory() as scratch:
        failed = False
        try:
            target.export(broken, str(Path(scratch) / "out"))
        except Exception:
            failed = True
        left = sorted(path.name for path in Path(scratch).iterdir())
        require(failed, "a weight could not be read and the export did not fail")
        require(not left, f"the export failed and left {', '.join(left)}")


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "target": (
        exports_into_a_new_folder,
        exports_the_same_bytes_twice,
        exports_another_model_as_other_bytes,
        refuses_a_folder_that_is_there,
        leaves_nothing_when_it_fails,
    )
}
