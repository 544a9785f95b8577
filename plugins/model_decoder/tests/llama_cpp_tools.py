"""Checkpoints that llama.cpp's converter takes, and its logits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from .reference_cases import Case, Made, make_case


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
