"""llama.cpp's own converter and quantiser, made by tools/build_llama_cpp.py."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import IO

import attrs
import numpy as np
import pytest

from synapse_core.loaders import GGUF, FileTensor

from .reference_cases import Case, Made, make_case

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


def make_convertible(case: Case, folder: Path, tokenizer: Path) -> Made:
    """Make a checkpoint that the converter takes: with a tokenizer, and in float32.

    In f16 the converter would round Gemma's weight + 1.
    """
    from safetensors.torch import load_file, save_file

    made = make_case(case, folder)
    file = folder / "model.safetensors"
    wide = {name: numbers.float() for name, numbers in load_file(file).items()}
    save_file(wide, file, {"format": "pt"})
    shutil.copy(tokenizer, folder)
    return made


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


def last_logits(path: Path, prompts: np.ndarray, chunk: int) -> np.ndarray:
    """Return llama.cpp's logits after each prompt, (n, V); `chunk` tokens go in at a time.

    Keys and values are float32, as in `synapse_core.api.LlamaCpp`. One thread: on a busy machine
    two wait for each other longer than such small products take.
    """
    import llama_cpp

    model = llama_cpp.Llama(
        str(path),
        n_ctx=prompts.shape[1],
        n_batch=prompts.shape[1],
        n_gpu_layers=0,
        n_threads=1,
        n_threads_batch=1,
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        verbose=False,
    )
    found = []
    for prompt in prompts.tolist():
        model.reset()
        for n in range(0, len(prompt), chunk):
            model.eval(prompt[n : n + chunk])
        last = llama_cpp.llama_get_logits_ith(model.ctx, -1)
        found.append(np.ctypeslib.as_array(last, (model.n_vocab(),)).copy())
    model.close()
    return np.array(found)


def _importance(tensor: FileTensor) -> tuple[bytes, ctypes.Array[ctypes.c_float], int]:
    ones = (ctypes.c_float * tensor.cols)(*[1.0] * tensor.cols)
    return tensor.name.encode(), ones, tensor.cols
