"""One engine in one process: how fast it is on a file, as one JSON object on stdout.

    python benchmarks/speed.py synapse|llama.cpp FILE --threads 2 --prompt 8 --prompt 512

Every figure is the median of the repeats after a warm-up. Prefill asks for the last token's
logits; decoding begins behind one token.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CONTEXT = 1024
# A prefill this long, or decoding, is done and not measured first.
WARM_UP = 8


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=("synapse", "llama.cpp"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, action="append", default=[])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--flash", action="store_true", help="llama.cpp's flash attention")
    asked = parser.parse_args()
    begun = time.perf_counter()
    if asked.engine == "synapse":
        prefill, step = synapse(asked.file, asked.threads)
    else:
        prefill, step = llama(asked.file, asked.threads, asked.flash)
    report = {"load_s": time.perf_counter() - begun}
    prefill(tokens(WARM_UP, 1))
    for count in asked.prompt:
        spent = [timed(prefill, tokens(count, n)) for n in range(asked.repeats)]
        report[f"prefill_{count}_tok_s"] = count / statistics.median(spent)
    if asked.tokens:
        prefill([1])
        spent = [timed(step, token) for token in tokens(asked.tokens + 2, 5)]
        report["decode_tok_s"] = 1 / statistics.median(spent[2:])
    print(json.dumps(report))


def tokens(count: int, seed: int) -> list[int]:
    """Return ids; the work does not depend on them."""
    return [(7919 * n + 104729 * seed) % 150000 for n in range(count)]


def timed(call: Callable[..., object], argument: object) -> float:
    """Return how long a call takes, in seconds."""
    begun = time.perf_counter()
    call(argument)
    return time.perf_counter() - begun


Engine = tuple[Callable[[Sequence[int]], None], Callable[[int], object]]


def synapse(file: Path, threads: int) -> Engine:
    """Load by Synapse."""
    import synapse_core

    model = synapse_core.load(file, backend="cpu", threads=threads, context=CONTEXT, output_rows=1)
    decoder = model.decoder
    return lambda ids: (decoder.prefill(list(ids)), None)[1], decoder.step


def llama(file: Path, threads: int, flash: bool) -> Engine:
    """Load by llama.cpp, through its C interface; weights repacked as it does by default."""
    import ctypes

    import llama_cpp as l

    quiet = l.llama_log_callback(lambda *_: None)
    l.llama_log_set(quiet, ctypes.c_void_p(0))
    l.llama_backend_init()
    model = l.llama_model_load_from_file(str(file).encode(), l.llama_model_default_params())
    settings = l.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = CONTEXT, 512, 512
    settings.n_threads = settings.n_threads_batch = threads
    settings.flash_attn_type = 1 if flash else 0
    context = l.llama_init_from_model(model, settings)
    memory = l.llama_get_memory(context)

    def decode(ids: Sequence[int]) -> None:
        array = (ctypes.c_int32 * len(ids))(*ids)
        if l.llama_decode(context, l.llama_batch_get_one(array, len(ids))):
            raise SystemExit("llama_decode failed")
        l.llama_synchronize(context)

    def prefill(ids: Sequence[int]) -> None:
        l.llama_memory_clear(memory, True)
        decode(ids)

    prefill.keep = quiet  # type: ignore[attr-defined]
    return prefill, lambda token: decode([token])


if __name__ == "__main__":
    main()
