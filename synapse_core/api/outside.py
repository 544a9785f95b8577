"""Logits of other implementations, from the user's own installation of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

import attrs
import numpy as np

from synapse_core.errors import FileError, Unavailable, UsageError

# llama.cpp numbers its tensor types; keys and values in float32 are type 0.
GGML_F32 = 0
# The package has values of its own for these, which would stand for the file's; below 0 the file's.
YARN_OF_THE_FILE: Mapping[str, float] = MappingProxyType(
    {"yarn_attn_factor": -1.0, "yarn_beta_fast": -1.0, "yarn_beta_slow": -1.0}
)


@attrs.define(eq=False)
class Transformers:
    """A Hugging Face folder as transformers runs it: float32, eager attention, no code of its own.

    Raises: Unavailable without torch and transformers; UsageError for what is no folder; FileError
    when transformers refuses it, or would make up a weight that it does not find.
    """

    path: Path
    _torch: Any = attrs.field(default=None, init=False)
    _model: Any = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        needs = "pip install torch 'transformers>=4.51'"
        self._torch = imported("torch", "transformers", needs)
        transformers = imported("transformers", "transformers", needs)
        if not (self.path / "config.json").is_file():
            raise UsageError(f"{self.path}: transformers reads a folder with config.json only")
        transformers.utils.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        numbers = transformers.__version__.split(".")
        # The option's name before and since 4.56.
        dtype = "dtype" if (int(numbers[0]), int(numbers[1])) >= (4, 56) else "torch_dtype"
        options = {"trust_remote_code": False, dtype: self._torch.float32}
        self._model = from_pretrained(transformers.AutoModelForCausalLM, self.path, **options)

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the logits at every position, float32 (T, V)."""
        with self._torch.no_grad():
            ids = self._torch.tensor([list(tokens)], dtype=self._torch.int64)
            rows: np.ndarray = self._model(ids, use_cache=False).logits[0].float().numpy()
        return rows


def from_pretrained(kind: Any, path: Path, optional: str | None = None, **options: Any) -> Any:
    """Return a model of a class of transformers, ready to be called.

    Weights with `optional` in their names may be missing.

    Raises: FileError when transformers refuses it, or would make up a weight.
    """
    try:
        model, found = kind.from_pretrained(
            str(path),
            attn_implementation="eager",
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # it raises anything, by whatever the file is
        raise FileError(path, f"transformers: {error}") from error
    missing = sorted(found["missing_keys"])
    if optional is not None:
        missing = [name for name in missing if optional not in name]
    if missing:
        raise FileError(path, f"transformers finds no weight {missing[0]!r}")
    return model.eval()


@attrs.define(eq=False)
class LlamaCpp:
    """A GGUF file as llama.cpp runs it on the processor, by llama-cpp-python.

    Keys and values are float32; products are its own, which round activations.

    Raises: Unavailable without llama-cpp-python; UsageError for what is no GGUF file; FileError
    when llama.cpp refuses it.
    """

    path: Path
    _package: Any = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._package = imported("llama_cpp", "llama.cpp", "pip install llama-cpp-python")
        if self.path.suffix != ".gguf":
            raise UsageError(f"{self.path}: llama.cpp reads .gguf files only")

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Return the logits at every position, float32 (T, V)."""
        count = len(tokens)
        try:
            model = self._package.Llama(
                str(self.path),
                n_ctx=count,
                n_batch=count,
                n_gpu_layers=0,
                logits_all=True,
                type_k=GGML_F32,
                type_v=GGML_F32,
                verbose=False,
                **YARN_OF_THE_FILE,
            )
        except (ValueError, RuntimeError, OSError) as error:
            raise FileError(self.path, f"llama.cpp: {error}") from error
        try:
            model.eval(list(tokens))
            rows: np.ndarray = np.array(model.scores[:count], dtype=np.float32)
        finally:
            model.close()
        return rows


def imported(module: str, what: str, needs: str) -> ModuleType:
    """Import a package of the user's.

    Raises: Unavailable saying what to install.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except (ImportError, OSError, RuntimeError) as error:
        # A package whose library does not load on this machine is as good as none.
        problem = f"{what} is not usable here ({error}); {needs}"
        raise Unavailable(" ".join(problem.split())) from None
