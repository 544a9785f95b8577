"""Build llama.cpp from the source distribution of llama-cpp-python, to test and to time against.

python tools/build_llama_cpp.py OUT
python tools/build_llama_cpp.py OUT --flags GGML_NATIVE=ON

OUT/llama_cpp are the Python bindings with the libraries in lib/: with OUT on PYTHONPATH they can be
imported. OUT/llama.cpp is the converter, OUT/recipe.json says what it was built from and how. OUT
appears whole or not at all; one that was built by the same recipe is left as it is.

It is built for AVX2 (NEON on ARM), so that it says the same on every machine. GGML_NATIVE=ON takes
all that this one has, as a benchmark should. On a processor with AMX gcc 12 compiles the
configuration of its tiles away, and the result crashes: CMAKE_C_COMPILER=clang-14 with
CMAKE_CXX_COMPILER=clang++-14 (and Debian's libomp-14-dev) goes beside it.

Needs a C++ compiler, and CMake from the machine or from its wheel.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

NAME, VERSION = "llama_cpp_python", "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
# What the converter is made of, in the folder of llama.cpp's sources.
CONVERTER = ("convert_hf_to_gguf.py", "conversion", "gguf-py", "LICENSE")
# The libraries alone, which find each other wherever they lie; the last two are only shown.
FLAGS = (
    "CMAKE_BUILD_TYPE=Release",
    "CMAKE_BUILD_WITH_INSTALL_RPATH=ON",
    "CMAKE_INSTALL_RPATH=$ORIGIN",
    "BUILD_SHARED_LIBS=ON",
    "GGML_NATIVE=OFF",
    "LLAMA_BUILD_COMMON=OFF",
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_SERVER=OFF",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_TOOLS=OFF",
    "LLAMA_CURL=OFF",
    "LLAMA_BUILD_NUMBER=1",
    "LLAMA_BUILD_COMMIT=none",
)
SUFFIXES = (".so", ".dylib", ".dll")


def main() -> None:
    """Build what the command line asks for; leaves with a line on stderr where it cannot."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="the folder to make")
    parser.add_argument(
        "--flags", nargs="*", default=[], metavar="NAME=VALUE", help="for CMake, past the usual"
    )
    asked = parser.parse_args()
    out: Path = asked.out.absolute()
    flags = [*FLAGS, *asked.flags]
    recipe = {"source": f"{NAME} {VERSION}", "sha256": SHA256, "flags": flags}
    if is_built(out, recipe):
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"{out.name}.", dir=out.parent) as scratch:
        made = Path(scratch) / "made"
        build(Path(scratch), made, flags)
        (made / "recipe.json").write_text(json.dumps(recipe, indent=1) + "\n")
        made.rename(out)


def is_built(out: Path, recipe: dict[str, object]) -> bool:
    """Whether a folder is there and was built so; leaves where another thing is in its place."""
    if not out.exists():
        return False
    try:
        found = json.loads((out / "recipe.json").read_text())
    except (OSError, ValueError):
        sys.exit(f"{out}: is there and has no recipe.json; give a folder that is not there")
    if found != recipe:
        differ = next(key for key in recipe if found.get(key) != recipe[key])
        problem = f"was built with {differ} {found.get(differ)}, asked is {recipe[differ]}"
        sys.exit(f"{out}: {problem}; remove it or give another folder")
    return True


def build(scratch: Path, made: Path, flags: Sequence[str]) -> None:
    """Fetch, build in `scratch` and put what is needed into `made`."""
    cmake = shutil.which("cmake")
    if cmake is None:
        sys.exit("cmake is not on the path: install CMake, or pip install cmake ninja")
    package = fetch(scratch)
    sources, work = package / "vendor" / "llama.cpp", scratch / "build"
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    options = [f"-D{flag}" for flag in flags]
    run([cmake, "-S", str(sources), "-B", str(work), *generator, *options])
    jobs = str(os.cpu_count() or 1)
    run([cmake, "--build", str(work), "--config", "Release", "--target", "llama", "-j", jobs])
    shutil.copytree(package / "llama_cpp", made / "llama_cpp")
    libraries = made / "llama_cpp" / "lib"
    libraries.mkdir(exist_ok=True)
    for library in (work / "bin").rglob("*"):
        if library.is_file() and any(suffix in library.name for suffix in SUFFIXES):
            # Links stay links: under two names of its own a library would be loaded twice.
            shutil.copyfile(library, libraries / library.name, follow_symlinks=False)
    (made / "llama.cpp").mkdir()
    for name in CONVERTER:
        whole = shutil.copytree if (sources / name).is_dir() else shutil.copyfile
        whole(sources / name, made / "llama.cpp" / name)


def fetch(scratch: Path) -> Path:
    """Return the unpacked source distribution; pip has held it against its sha256 by then."""
    wanted = scratch / "wanted.txt"
    wanted.write_text(f"{NAME}=={VERSION} --hash=sha256:{SHA256}\n")
    options = ["-q", "--no-deps", "--no-binary", NAME, "--require-hashes"]
    run([sys.executable, "-m", "pip", "download", *options, "-d", str(scratch), "-r", str(wanted)])
    with tarfile.open(scratch / f"{NAME}-{VERSION}.tar.gz") as packed:
        packed.extractall(scratch, filter="data")
    return scratch / f"{NAME}-{VERSION}"


def run(command: Sequence[str]) -> None:
    """Run a command in silence; leaves with its last words where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{done.stdout[-4000:]}\n{' '.join(command)}: failed with {done.returncode}")


if __name__ == "__main__":
    main()
