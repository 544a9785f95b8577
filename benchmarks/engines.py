"""The engines that are compared, each behind the same three names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

# Prompts go in by so many tokens a call.
CHUNK = 512


class Engine(NamedTuple):
    """`prefill` makes a slot have seen just these ids, `step` appends one id to each slot."""

    vocabulary: int
    prefill: Callable[[int, Sequence[int]], None]
    step: Callable[[Sequence[int], Sequence[int]], object]


def synapse(file: Path, threads: int, context: int, *, slots: int, flash: bool) -> Engine:
    """Load by Synapse; all slots go through one call."""
    import numpy as np

    import synapse_core
    from synapse_core.generate.decoder import LOGITS, Decoder
    from synapse_core.ops import RowTable

    model = synapse_core.load(
        file,
        backend="cpu",
        threads=threads,
        context=context,
        rows=CHUNK,
        output_rows=slots,
        slots=slots,
    )
    first = model.decoder
    session, ports = first.session, first.ports
    rest = [
        Decoder(session, ports, first.rewinds, slot, first.recurrent) for slot in range(1, slots)
    ]
    decoders = [first, *rest]

    def prefill(slot: int, ids: Sequence[int]) -> None:
        decoders[slot].prefill(list(ids))

    def step(chosen: Sequence[int], ids: Sequence[int]) -> object:
        if len(chosen) == 1:
            return decoders[chosen[0]].step(ids[0])
        seen = [len(decoders[slot].seen) for slot in chosen]
        table = RowTable(slot=np.array(chosen, np.int64), position=np.array(seen, np.int64))
        inputs = {ports.ids: np.array(ids, np.int32).reshape(-1, 1)}
        if ports.chosen is not None:
            inputs[ports.chosen] = np.arange(len(chosen), dtype=np.int32).reshape(-1, 1)
        outputs = session.run(ports.function, inputs, {ports.tokens: table})
        for slot, id in zip(chosen, ids, strict=True):
            decoders[slot].seen.append(id)
        return outputs[LOGITS]

    return Engine(ports.vocabulary, prefill, step)


def llama(file: Path, threads: int, context: int, *, slots: int, flash: bool) -> Engine:
    """Load by llama.cpp, through its C interface; weights repacked as it does by default."""
    import ctypes

    import llama_cpp as l

    quiet = l.llama_log_callback(lambda *_: None)
    l.llama_log_set(quiet, ctypes.c_void_p(0))
    l.llama_backend_init()
    model = l.llama_model_load_from_file(str(file).encode(), l.llama_model_default_params())
    settings = l.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = context, CHUNK, CHUNK
    settings.n_threads = settings.n_threads_batch = threads
    settings.flash_attn_type = 1 if flash else 0
    state = l.llama_init_from_model(model, settings)
    memory = l.llama_get_memory(state)

    def decode(ids: Sequence[int]) -> None:
        array = (ctypes.c_int32 * len(ids))(*ids)
        if l.llama_decode(state, l.llama_batch_get_one(array, len(ids))):
            raise SystemExit("llama_decode failed")
        l.llama_synchronize(state)

    def prefill(slot: int, ids: Sequence[int]) -> None:
        l.llama_memory_clear(memory, True)
        for start in range(0, len(ids), CHUNK):
            decode(ids[start : start + CHUNK])

    prefill.keep = quiet  # type: ignore[attr-defined]
    vocabulary = l.llama_vocab_n_tokens(l.llama_model_get_vocab(model))
    return Engine(vocabulary, prefill, lambda slots, ids: decode(ids))


def torch(file: Path, threads: int, context: int, *, slots: int, flash: bool) -> Engine:
    """Load by transformers on PyTorch's CPU, in the folder's own type, nothing compiled."""
    from inspect import signature

    import torch as library
    from transformers import AutoModelForCausalLM

    library.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(file, dtype="auto").eval()
    # What recurrent models call it, and all others.
    name = "cache" if "cache" in signature(model.forward).parameters else "past_key_values"
    cache = None

    @library.inference_mode()
    def forward(ids: Sequence[int]) -> None:
        nonlocal cache
        kept = {name: cache}
        out = model(library.tensor([ids]), use_cache=True, logits_to_keep=1, **kept)
        cache = getattr(out, name)

    def prefill(slot: int, ids: Sequence[int]) -> None:
        nonlocal cache
        cache = None
        for start in range(0, len(ids), CHUNK):
            forward(ids[start : start + CHUNK])

    return Engine(model.config.vocab_size, prefill, lambda slots, ids: forward(ids))


def rwkv(file: Path, threads: int, context: int, *, slots: int, flash: bool) -> Engine:
    """Load a folder's `model.pth` by the package rwkv on PyTorch's CPU, in float32."""
    import os

    import torch as library

    os.environ["RWKV_V7_ON"] = "1"
    library.set_num_threads(threads)
    from rwkv.model import RWKV

    model = RWKV(model=str(file / "model"), strategy="cpu fp32")
    state = None

    def forward(ids: Sequence[int]) -> None:
        nonlocal state
        _, state = model.forward(list(ids), state)

    def prefill(slot: int, ids: Sequence[int]) -> None:
        nonlocal state
        state = None
        for start in range(0, len(ids), CHUNK):
            forward(ids[start : start + CHUNK])

    return Engine(model.args.vocab_size, prefill, lambda slots, ids: forward(ids))


ENGINES: dict[str, Callable[..., Engine]] = {
    "synapse": synapse,
    "llama.cpp": llama,
    "torch": torch,
    "rwkv": rwkv,
}
