"""llama.cpp's own converter and quantiser, made by tools/build_llama_cpp.py."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import IO

import attrs
import pytest

from synapse_core.loaders import GGUF, FileTensor

# One process converts them all: it takes longer to start than to convert.
SERVER = """
import json, os, runpy, sys
answers, sys.stdout = sys.stdout, sys.stderr
for line in sys.stdin:
    sys.argv = json.loads(line)
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")
    print("done", file=answers, flush=True)
"""
THREADS = 2
NEED_IMPORTANCE = ("IQ1", "IQ2", "IQ3_XXS")


def converter_script() -> Path:
    """Return the converter that lies beside the bindings; skips by name where there is none."""
    found = importlib.util.find_spec("llama_cpp")
    needs = "tools/build_llama_cpp.py OUT, then OUT on PYTHONPATH"
    if found is None or found.origin is None:
        pytest.skip(f"llama_cpp is not installed, so llama.cpp did not run: {needs}")
    script = Path(found.origin).parents[1] / "llama.cpp" / "convert_hf_to_gguf.py"
    if not script.is_file():
        pytest.skip(f"{script} is not there, so llama.cpp's converter did not run: {needs}")
    return script


@attrs.define
class Converter:
    """llama.cpp's converter, waiting for checkpoints; what it says goes to `log`."""

    script: Path
    log: IO[str]
    _process: subprocess.Popen[str] | None = None

    def convert(self, folder: Path, out: Path, kind: str, *more: str) -> Path:
        """Convert a checkpoint into a file of type `kind`, with further options."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log,
                text=True,
            )
        asked = [self.script, folder, "--outfile", out, "--outtype", kind, *more]
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([str(word) for word in asked]) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer == "done\n", self._last_words()
        return out

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()

    def _last_words(self) -> str:
        self.log.flush()
        return Path(self.log.name).read_text()[-2000:]


def quantise(source: Path, out: Path, kind: str) -> Path:
    """Quantise a file with llama.cpp's quantiser, `kind` being the end of its name for it.

    The types of the fewest bits need to know how much each column counts: here all count alike.
    """
    import llama_cpp

    llama_cpp.llama_backend_init()
    asked = llama_cpp.llama_model_quantize_default_params()
    asked.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
    asked.nthread = THREADS
    # It is for experts, of which there are none here, unless all tensors are to be of one type.
    asked.pure = kind == "MXFP4_MOE"
    if kind.startswith(NEED_IMPORTANCE):
        # The quantiser reads it until an entry without a name.
        entries = [_importance(tensor) for tensor in GGUF.open(source).tensors.values()]
        array = llama_cpp.llama_model_imatrix_data * (len(entries) + 1)
        asked.imatrix = array(*entries)
    code = llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), asked)
    assert code == 0, f"llama.cpp's quantiser gave {code} for {source} as {kind}"
    return out


def _importance(tensor: FileTensor) -> tuple[bytes, ctypes.Array[ctypes.c_float], int]:
    ones = (ctypes.c_float * tensor.cols)(*[1.0] * tensor.cols)
    return tensor.name.encode(), ones, tensor.cols
