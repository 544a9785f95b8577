"""What the core itself provides: the same records that a plugin returns."""

from __future__ import annotations

from synapse_core.hookspecs import Provides

_COMPONENTS = {
    "attention": {
        "gqa": ("attention:GroupedQueryAttention", "Query heads share kv heads in groups."),
        "mha": ("attention:MultiHeadAttention", "As many kv heads as query heads."),
        "mqa": ("attention:MultiQueryAttention", "One kv head for all query heads."),
        "sliding_window": ("attention:SlidingWindow", "Sees the last positions only."),
    },
    "ffn": {
        "swiglu": ("ffn:SwiGlu", "silu(gate) · up."),
        "geglu": ("ffn:GeGlu", "gelu(gate) · up."),
        "gelu": ("ffn:Gelu", "Two linears with a GELU between."),
    },
    "norm": {
        "rmsnorm": ("norm:RmsNorm", "Divide by the root mean square."),
        "layernorm": ("norm:LayerNorm", "Centre, and divide by the deviation."),
    },
    "position": {
        "rope": ("position:Rope", "Turn q and k by their position."),
        "learned": ("position:Learned", "Add a trained table."),
        "sinusoidal": ("position:Sinusoidal", "Add sines and cosines."),
    },
}
_FORMATS = {
    "f32": ("floats:F32", "IEEE single."),
    "f16": ("floats:F16", "IEEE half."),
    "bf16": ("floats:BF16", "The upper half of a single."),
    "int8": ("integers:INT8", "int8, a scale a row."),
    "q8_0": ("integers:Q8_0", "int8, a float16 scale for each 32."),
    "q4_0": ("blocks:Q4_0", "4 bits, a float16 scale for each 32."),
    "q4_1": ("blocks:Q4_1", "4 bits, a float16 scale and minimum for each 32."),
    "q5_0": ("blocks:Q5_0", "5 bits, a float16 scale for each 32."),
    "q5_1": ("blocks:Q5_1", "5 bits, a float16 scale and minimum for each 32."),
    "q4_k": ("superblocks:Q4_K", "4 bits, a 6-bit scale and minimum for each 32."),
    "q5_k": ("superblocks:Q5_K", "5 bits, a 6-bit scale and minimum for each 32."),
    "q6_k": ("superblocks:Q6_K", "6 bits, an 8-bit scale for each 16."),
    "i8g16": ("carrier:I8_G16", "int8, a float32 scale and minimum for each 16."),
}
_OPS = {
    "activation": "elementwise:ACTIVATION",
    "add": "elementwise:ADD",
    "add_layernorm": "norm:ADD_LAYERNORM",
    "add_positions": "embedding:ADD_POSITIONS",
    "add_rmsnorm": "norm:ADD_RMSNORM",
    "append_row": "rows:APPEND_ROW",
    "attention": "attention:ATTENTION",
    "batchnorm": "norm:BATCHNORM",
    "embedding": "embedding:EMBEDDING",
    "gated_activation": "elementwise:GATED_ACTIVATION",
    "layernorm": "norm:LAYERNORM",
    "linear": "linear:LINEAR",
    "mul": "elementwise:MUL",
    "patches": "rows:PATCHES",
    "pool_rows": "rows:POOL_ROWS",
    "rmsnorm": "norm:RMSNORM",
    "rope": "rope:ROPE",
    "sample": "sample:SAMPLE",
    "scale": "elementwise:SCALE",
    "select_rows": "rows:SELECT_ROWS",
    "slice_columns": "elementwise:SLICE_COLUMNS",
    "softcap": "elementwise:SOFTCAP",
}

BUILTIN: tuple[Provides, ...] = (
    *(
        Provides(kind, name, f"synapse_core.components.{path}", summary)
        for kind, group in _COMPONENTS.items()
        for name, (path, summary) in group.items()
    ),
    *(
        Provides("quant_format", name, f"synapse_core.formats.{path}", summary)
        for name, (path, summary) in _FORMATS.items()
    ),
    Provides(
        "weight_loader",
        "safetensors",
        "synapse_core.loaders.safetensors:SAFETENSORS",
        "Folders with config.json and safetensors.",
        "synapse_core.testing.core_samples:safetensors_folder",
    ),
    Provides(
        "weight_loader",
        "gguf",
        "synapse_core.loaders.gguf:GGUF",
        "GGUF files of version 2 and 3, whole or in shards.",
        "synapse_core.testing.core_samples:gguf_file",
    ),
    *(
        Provides("op", name, f"synapse_core.ops.{path}", "See docs/ops.md.")
        for name, path in _OPS.items()
    ),
    Provides(
        "backend",
        "numpy",
        "synapse_core.backends.numpy_backend:NumpyBackend",
        "The reference: every op, slowly.",
    ),
)
