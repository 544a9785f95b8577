"""One random model twice: as a Hugging Face folder and as llama.cpp's converter writes GGUF."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import gguf as package
import numpy as np
from safetensors.numpy import save_file

ARCHITECTURES = {
    "mistral": ("MistralForCausalLM", "llama"),
    "qwen2": ("Qwen2ForCausalLM", "qwen2"),
    "phi3": ("Phi3ForCausalLM", "phi3"),
    "gemma": ("GemmaForCausalLM", "gemma"),
    "gemma2": ("Gemma2ForCausalLM", "gemma2"),
    "gemma3": ("Gemma3ForCausalLM", "gemma3"),
}
BASE = {
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 32,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-3,
    "rope_theta": 500.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
}
# Gemma 1 and 2 leave the base of the frequencies to its default.
GEMMA = {"rope_theta": 10000.0, "hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": True}
CAPS = {"attn_logit_softcapping": 1.5, "final_logit_softcapping": 4.0}
BASE_OF_FAMILY: dict[str, dict[str, Any]] = {
    # The file says nothing of the window: the twin's is as long as its context.
    "mistral": {"sliding_window": 64},
    "phi3": {
        "head_dim": None,
        "hidden_size": 32,
        "original_max_position_embeddings": 16,
        "sliding_window": 5,
    },
    "gemma": GEMMA,
    "gemma2": {**GEMMA, **CAPS, "query_pre_attn_scalar": 8, "sliding_window": 5},
    # Of seven layers the sixth is full.
    "gemma3": {
        **GEMMA,
        "rope_theta": 50000.0,
        "rope_local_base_freq": 100.0,
        "num_hidden_layers": 7,
        "query_pre_attn_scalar": 8,
        "sliding_window": 5,
    },
}
YARN_KEYS = {
    "factor": ("float32", "factor"),
    "original_context_length": ("uint32", "original_max_position_embeddings"),
    "yarn_beta_fast": ("float32", "beta_fast"),
    "yarn_beta_slow": ("float32", "beta_slow"),
    "yarn_attn_factor": ("float32", "attention_factor"),
}
ENTRY = tuple[str, Any]
Numbers = dict[str, np.ndarray]


@attrs.frozen(kw_only=True)
class Twins:
    """A model of `family`; `config` is what differs from the base.

    `keys` and `tensors` change the GGUF file: by name, None drops one. `change` changes the numbers
    by their Hugging Face names before the converter's part. `fuses_qkv` is its option --fuse-qkv.
    """

    family: str
    config: Mapping[str, Any] = attrs.field(factory=dict)
    keys: Mapping[str, ENTRY | None] = attrs.field(factory=dict)
    tensors: Mapping[str, np.ndarray | None] = attrs.field(factory=dict)
    change: Callable[[Numbers], Numbers] = lambda numbers: numbers
    bakes_one: bool = True
    fuses_qkv: bool = False

    @property
    def arch(self) -> str:
        """Its architecture in GGUF."""
        return ARCHITECTURES[self.family][1]

    @property
    def full(self) -> dict[str, Any]:
        """Its config.json."""
        config = {**BASE, **BASE_OF_FAMILY.get(self.family, {}), **self.config}
        config["architectures"] = [ARCHITECTURES[self.family][0]]
        return {key: value for key, value in config.items() if key != "head_dim" or value}

    @property
    def head_dim(self) -> int:
        """The width of a head."""
        config = self.full
        found: int = config.get("head_dim", config["hidden_size"] // config["num_attention_heads"])
        return found

    def hf(self, folder: Path) -> Path:
        """Write the folder."""
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(self.full))
        save_file(self.numbers(), folder / "model.safetensors")
        return folder

    def numbers(self) -> Numbers:
        """Return the weights by their Hugging Face names; no norm's are alike."""
        rng, config = np.random.default_rng(5), self.full
        table = rng.standard_normal((config["vocab_size"], config["hidden_size"]))
        center = 0.0 if self.family.startswith("gemma") else 1.0
        found = {"model.embed_tokens.weight": table * 0.5}
        for name, shape in self._shapes().items():
            values = rng.standard_normal(shape)
            if len(shape) == 2:
                found[name] = values * 2 / math.sqrt(shape[1])
            elif name.endswith("bias"):
                found[name] = values * 0.5
            else:
                found[name] = center + 0.3 * values
        return {name: values.astype(np.float32) for name, values in found.items()}

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        config = self.full
        width, hidden, dim = config["hidden_size"], config["intermediate_size"], self.head_dim
        q, kv = (config[f"num_{kind}_heads"] * dim for kind in ("attention", "key_value"))
        layer: dict[str, tuple[int, ...]] = {
            "self_attn.o_proj.weight": (width, q),
            "mlp.down_proj.weight": (width, hidden),
            "input_layernorm.weight": (width,),
            "post_attention_layernorm.weight": (width,),
        }
        if self.family == "phi3":
            layer["self_attn.qkv_proj.weight"] = (q + 2 * kv, width)
            layer["mlp.gate_up_proj.weight"] = (2 * hidden, width)
        else:
            layer |= {f"self_attn.{name}_proj.weight": (kv, width) for name in "kv"}
            layer["self_attn.q_proj.weight"] = (q, width)
            layer |= {f"mlp.{name}_proj.weight": (hidden, width) for name in ("gate", "up")}
        if self.family == "qwen2":
            layer |= {f"self_attn.{name}_proj.bias": (kv,) for name in "kv"}
            layer["self_attn.q_proj.bias"] = (q,)
        if self.family in ("gemma2", "gemma3"):
            layer |= {f"{name}_feedforward_layernorm.weight": (width,) for name in ("pre", "post")}
        if self.family == "gemma3":
            layer |= {f"self_attn.{name}_norm.weight": (dim,) for name in "qk"}
        shapes: dict[str, tuple[int, ...]] = {"model.norm.weight": (width,)}
        for n in range(config["num_hidden_layers"]):
            shapes |= {f"model.layers.{n}.{name}": shape for name, shape in layer.items()}
        if not config["tie_word_embeddings"]:
            shapes["lm_head.weight"] = (config["vocab_size"], width)
        return shapes

    def gguf(self, path: Path) -> Path:
        """Write the file."""
        writer = package.GGUFWriter(path, self.arch)
        for name, entry in {**self._keys(), **self.keys}.items():
            if entry is not None:
                getattr(writer, f"add_{entry[0]}")(f"{self.arch}.{name}", entry[1])
        tokens = [f"t{n}" for n in range(self.full["vocab_size"])]
        writer.add_array("tokenizer.ggml.tokens", tokens)
        for name, values in {**self._renamed(), **self.tensors}.items():
            if values is not None:
                writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _keys(self) -> dict[str, ENTRY]:
        """Return the keys as each family's `set_gguf_parameters` writes them."""
        config, dim = self.full, self.head_dim
        keys: dict[str, ENTRY] = {
            "block_count": ("uint32", config["num_hidden_layers"]),
            "context_length": ("uint32", config["max_position_embeddings"]),
            "embedding_length": ("uint32", config["hidden_size"]),
            "feed_forward_length": ("uint32", config["intermediate_size"]),
            "attention.head_count": ("uint32", config["num_attention_heads"]),
            "attention.head_count_kv": ("uint32", config["num_key_value_heads"]),
            "attention.layer_norm_rms_epsilon": ("float32", config["rms_norm_eps"]),
        }
        if self.family != "phi3":
            keys["attention.key_length"] = keys["attention.value_length"] = ("uint32", dim)
        if self.family not in ("gemma", "gemma2"):
            keys["rope.freq_base"] = ("float32", config["rope_theta"])
        if self.family == "mistral":
            keys["rope.dimension_count"] = ("uint32", dim)
        if self.family in ("phi3", "gemma2", "gemma3"):
            keys["attention.sliding_window"] = ("uint32", config["sliding_window"] or 0)
        if self.family == "gemma3":
            keys["rope.freq_base_swa"] = ("float32", config["rope_local_base_freq"])
        for key in CAPS:
            if config.get(key):
                keys[key] = ("float32", config[key])
        scaling = config.get("rope_scaling") or {}
        if scaling.get("rope_type") == "linear":
            keys["rope.scaling.type"] = ("string", "linear")
            keys["rope.scaling.factor"] = ("float32", scaling["factor"])
        if scaling.get("rope_type") == "yarn":
            keys["rope.scaling.type"] = ("string", "yarn")
            for name, (kind, theirs) in YARN_KEYS.items():
                if theirs in scaling:
                    keys[f"rope.scaling.{name}"] = (kind, scaling[theirs])
        return keys | (self._phi3_keys(config) if self.family == "phi3" else {})

    def _phi3_keys(self, config: dict[str, Any]) -> dict[str, ENTRY]:
        trained = config["original_max_position_embeddings"]
        turned = int(self.head_dim * config.get("partial_rotary_factor", 1.0))
        keys: dict[str, ENTRY] = {
            "rope.dimension_count": ("uint32", turned),
            "rope.scaling.original_context_length": ("uint32", trained),
        }
        if config.get("rope_scaling"):
            stretch = config["max_position_embeddings"] / trained
            magnitude = math.sqrt(1 + math.log(stretch) / math.log(trained))
            keys["rope.scaling.attn_factor"] = ("float32", magnitude)
        return keys

    def _renamed(self) -> Numbers:
        """Return the weights by their GGUF names, changed as the converter changes them."""
        config = self.full
        arch = getattr(package.MODEL_ARCH, self.arch.upper())
        names = package.get_tensor_name_map(arch, config["num_hidden_layers"])
        found = {}
        for name, values in self.change(self.numbers()).items():
            kind = name.rsplit(".", 2)[-2]
            if self.arch == "llama" and kind in ("q_proj", "k_proj"):
                count = "num_attention_heads" if kind == "q_proj" else "num_key_value_heads"
                values = permuted(values, config[count])
            if self.bakes_one and self.family.startswith("gemma") and name.endswith("norm.weight"):
                values = values + 1
            found[names.get_name(name, try_suffixes=(".weight", ".bias"))] = values
        for kind in ("long", "short"):
            if factors := (config.get("rope_scaling") or {}).get(f"{kind}_factor"):
                found[f"rope_factors_{kind}.weight"] = np.array(factors, np.float32)
        return _fused(found) if self.fuses_qkv else found


def _fused(numbers: Numbers) -> Numbers:
    """Put each layer's q, k and v into one tensor, as `prepare_qkv_fusion` does."""
    found = dict(numbers)
    for name in numbers:
        if ".attn_q." in name:
            parts = [found.pop(name.replace("attn_q", f"attn_{kind}")) for kind in "qkv"]
            found[name.replace("attn_q", "attn_qkv")] = np.concatenate(parts)
    return found


def permuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """Reorder rows as `LlamaModel.permute` of llama.cpp's converter does."""
    shape = weights.shape
    halves = weights.reshape(heads, 2, shape[0] // heads // 2, *shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(shape))


def unpermuted(weights: np.ndarray, heads: int) -> np.ndarray:
    """Give rows the order back that they had before `permuted`."""
    shape = weights.shape
    pairs = weights.reshape(heads, shape[0] // heads // 2, 2, *shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(shape))
