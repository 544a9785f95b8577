"""Contracts of weight loaders: whatever a file holds, it is read or refused by name."""

from __future__ import annotations

import shutil
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from synapse_core.errors import FileError
from synapse_core.formats import Formats
from synapse_core.loaders import Checkpoint
from synapse_core.testing.contracts.contract import Contract, Subject, contract, require

# What claims() may allocate on files of CLAIM_FILE_BYTES: it looks at names and a few bytes.
CLAIM_BYTES = 1 << 20
CLAIM_FILE_BYTES = 64 << 20


@contextmanager
def written(subject: Subject) -> Iterator[tuple[Any, Path]]:
    """Give the loader and the path of its sample, in a folder that is gone afterwards."""
    sample = subject.needs_sample()
    with tempfile.TemporaryDirectory() as folder:
        yield subject.made(), Path(sample(Path(folder)))


def files_of(path: Path) -> list[Path]:
    """Return the files of a checkpoint."""
    inside = path if path.is_dir() else path.parent
    return sorted(file for file in inside.rglob("*") if file.is_file())


@contract
def opens_its_sample(subject: Subject) -> None:
    """Every tensor's bytes are as many as its shape and format say."""
    with written(subject) as (loader, path):
        require(loader.claims(path) is True, f"claims({path.name}) is not True of its own sample")
        formats = Formats(subject.registry)
        checkpoint: Checkpoint = loader.open(path, formats)
        require(len(checkpoint.tensors) > 0, "the checkpoint has no tensors")
        for name, tensor in checkpoint.tensors.items():
            require(tensor.name == name, f"tensor {name!r} calls itself {tensor.name!r}")
            if not formats.knows(tensor.format):
                continue
            known = formats.named(tensor.format)
            wanted = tensor.rows * known.row_bytes(tensor.cols)
            what = f"tensor {name!r} {tensor.shape} {tensor.format}"
            require(tensor.data.dtype == np.uint8, f"{what}: its data are {tensor.data.dtype}")
            found = tensor.data.size
            require(found == wanted, f"{what} has {found} bytes, it must have {wanted}")
            size = tensor.file.stat().st_size
            end = tensor.offset + found
            require(end <= size, f"{what} ends at byte {end} of a file of {size}")
        _close(checkpoint)


def _close(checkpoint: Checkpoint) -> None:
    """Let go of mapped files, so that their folder can be removed everywhere."""
    if isinstance(checkpoint.tensors, dict):
        checkpoint.tensors.clear()


@contract
def leaves_other_files_to_others(subject: Subject) -> None:
    """An empty folder, a folder and a file of something else, a path that is not there."""
    loader = subject.made()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "empty").mkdir()
        (folder / "other").mkdir()
        (folder / "other" / "notes.txt").write_text("no weights")
        (folder / "notes.txt").write_text("no weights")
        for name in ("empty", "other", "notes.txt", "absent"):
            found = loader.claims(folder / name)
            require(found is False, f"claims({name}) is {found!r}, it must be False")


@contract
def claims_reads_little(subject: Subject) -> None:
    """Asking whether it is meant must not read a checkpoint of many gigabytes."""
    with written(subject) as (loader, path):
        for file in files_of(path):
            with file.open("r+b") as grown:
                grown.truncate(CLAIM_FILE_BYTES)  # sparse: it takes no room
        tracemalloc.start()
        try:
            loader.claims(path)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    found = f"claims() took {peak} bytes of memory on files of {CLAIM_FILE_BYTES}"
    require(peak <= CLAIM_BYTES, f"{found}; at most {CLAIM_BYTES}")


@contract
def refuses_what_is_absent(subject: Subject) -> None:
    """Each file of the sample missing, or an empty folder, is a FileError."""
    with written(subject) as (loader, path):
        kept = path.with_name("kept-whole")
        inside = path if path.is_dir() else path.parent
        names = [file.relative_to(inside) for file in files_of(path)]
        shutil.copytree(inside, kept)
        refused = 0
        for name in names:
            (inside / name).unlink()
            refused += _refused(loader, path, f"without {name}")
            shutil.copy(kept / name, inside / name)
        require(refused > 0, f"each of {', '.join(map(str, names))} may be missing unnoticed")
        empty = inside / "empty"
        empty.mkdir()
        require(_refused(loader, empty, "an empty folder"), "an empty folder was opened")
        absent = inside / "absent"
        require(_refused(loader, absent, "an absent path"), "a path that is not there was opened")


@contract
def refuses_what_is_damaged(subject: Subject) -> None:
    """A file cut short or with other bytes is read or refused with a FileError, never a crash."""
    with written(subject) as (loader, path):
        rng = np.random.default_rng(51)
        for file in files_of(path):
            whole = file.read_bytes()
            cut_refused = 0
            for size in sorted({0, 1, 8, len(whole) // 2, len(whole) - 1}):
                file.write_bytes(whole[:size])
                what = f"{file.name} cut to {size} of {len(whole)} bytes"
                cut_refused += _refused(loader, path, what)
            require(cut_refused > 0, f"{file.name} was opened however short it was cut")
            for number in range(24):
                damaged = bytearray(whole)
                place = int(rng.integers(0, min(len(whole), 256)))
                damaged[place] ^= int(rng.integers(1, 256))
                file.write_bytes(damaged)
                _refused(loader, path, f"{file.name} with another byte {place} ({number})")
            file.write_bytes(whole)


def _refused(loader: Any, path: Path, what: str) -> bool:
    """Open something bad: whether it was refused, as it should be.

    Raises: CheckFailed when anything but a FileError came out.
    """
    try:
        _close(loader.open(path))
    except FileError:
        return True
    except Exception as error:
        require(False, f"{what}: raised {type(error).__name__} ({error}), it must be a FileError")
    return False


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "weight_loader": (
        opens_its_sample,
        leaves_other_files_to_others,
        claims_reads_little,
        refuses_what_is_absent,
        refuses_what_is_damaged,
    )
}
