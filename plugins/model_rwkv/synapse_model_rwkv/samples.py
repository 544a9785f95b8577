"""Small samples of what this plugin brings, for `synapse check`."""

from __future__ import annotations

from collections.abc import Mapping

from synapse_core.ops import StateType
from synapse_core.testing import CheckpointSample, OpSample
from synapse_model_rwkv.vocabulary import FILE

COLS, SIZE = 20, 5  # of a width that no vector divides
VOCABULARY, WIDTH, HEAD_DIM, HIDDEN, LAYERS = 29, 24, 8, 40, 2
DECAY, RATE, GATE, VALUE = 3, 4, 5, 6

TOKEN_SHIFT = (
    OpSample((COLS, StateType("before", "recurrent", COLS), *[(1, COLS)] * 6)),
    OpSample((COLS, StateType("before", "recurrent", COLS), (1, COLS))),
)


def _wkv7(cols: int, size: int, later: bool) -> OpSample:
    state = StateType("state", "recurrent", cols * size)
    mixed = (cols, cols) if later else (None, None)
    vectors = ((1, cols), (1, cols), (cols // size, size), (1, cols), (1, cols))
    return OpSample((*[cols] * 6, *mixed, state, *vectors), {"head_dim": size, "eps": 64e-5})


WKV7 = (_wkv7(COLS, SIZE, True), _wkv7(COLS, SIZE, False), _wkv7(128, 64, True))
TIME_MIX = {
    "head_dim": 8,
    "decay_rank": DECAY,
    "rate_rank": RATE,
    "gate_rank": GATE,
    "eps": 64e-5,
    "bias": True,
}
CHANNEL_MIX = {"hidden": HIDDEN}

Shapes = Mapping[str, tuple[int, ...]]
SIZES = {
    "architectures": ["RWKV7ForCausalLM"],
    "vocab_size": VOCABULARY,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "head_dim": HEAD_DIM,
    "intermediate_size": HIDDEN,
    "norm_eps": 1e-5,
}
RANKS = {"w": DECAY, "a": RATE, "g": GATE, "v": VALUE}


def _per_layer(name: str, first: tuple[int, int] | None = None) -> Shapes:
    """Return the shapes of a tensor that tells each pair's rank; `first` that of v in layer 0."""
    found = {}
    for layer in range(LAYERS):
        for letter, rank in RANKS.items():
            if letter == "v" and layer == 0 and first is None:
                continue
            shape = first if letter == "v" and layer == 0 and first else (rank, WIDTH)
            found[name.format(n=layer, x=letter)] = shape
    return found


BLINKDL = {
    "hf": CheckpointSample(
        {**SIZES, "has_ln0": True, "head_bias": True}, _per_layer("blocks.{n}.att.{x}2")
    ),
    "gguf": CheckpointSample(
        {
            "general.architecture": "rwkv7",
            "rwkv7.block_count": LAYERS,
            "rwkv7.embedding_length": WIDTH,
            "rwkv7.feed_forward_length": HIDDEN,
            "rwkv7.wkv.head_size": HEAD_DIM,
            "rwkv7.attention.layer_norm_epsilon": 1e-5,
            "rwkv7.attention.decay_lora_rank": DECAY,
            "tokenizer.ggml.bos_token_id": 0,
        },
        {
            "token_embd.weight": (VOCABULARY, WIDTH),
            "output.weight": (VOCABULARY, WIDTH),
            **_per_layer("blk.{n}.time_mix_{x}1.weight", (RATE, WIDTH)),
        },
    ),
}
FLA = {
    "hf": CheckpointSample(
        {
            **SIZES,
            "norm_first": True,
            "decay_low_rank_dim": DECAY,
            "value_dim": [WIDTH] * LAYERS,
            "hidden_act": "sqrelu",
        },
        _per_layer("model.layers.{n}.attn.{x}_lora.lora.0.weight"),
    )
}
WORDS = (" two", " time", "Once", "語の", " ñ", "14", "\n\n")
WORLD = {
    FILE: "".join(f"{n + 1} {bytes([n])!r} 1\n" for n in range(256))
    + "".join(f"{n + 257} {word!r} {len(word.encode())}\n" for n, word in enumerate(WORDS))
}
