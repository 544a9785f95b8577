"""LLaMA and Qwen3 from GGUF: real files, twins of safetensors checkpoints, and lies in the keys."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import gguf as package
import numpy as np
import pytest
from safetensors.numpy import save_file
from synapse_model_decoder import llama, qwen3
from synapse_model_decoder.gguf import NEUTRAL

from synapse_core.api import load
from synapse_core.errors import FileError, Unavailable, WeightError
from synapse_core.families import Family, ModelConfig, model_config
from synapse_core.formats import FORMATS
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host

from .gguf_twins import permuted

FILES = ("F16", "Q8_0", "Q4_0", "Q4_K_M", "Q6_K")
# The truth is exact maths on the dequantised weights: what is left is float32's own.
TOLERANCE = 1e-3
IDS = [1, 9, 3, 7, 7, 2, 15, 0, 4, 11, 6, 5]
VOCABULARY = 16
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}


@pytest.fixture(params=FILES)
def real_file(request: pytest.FixtureRequest, shared_data: Path) -> Path:
    path = shared_data / "stories260K" / "gguf" / f"model-{request.param}.gguf"
    stored = {tensor.format for tensor in GGUF.open(path).tensors.values()}
    missing = sorted(stored - set(FORMATS))
    if missing:
        pytest.skip(f"{path.name} has tensors in {missing[0]}, which no format decodes yet")
    return path


def test_logits_of_real_files_are_those_of_exact_maths(real_file: Path) -> None:
    reference = np.load(real_file.parent / "reference_gguf.npz")
    with load(real_file, backend="numpy", kv="f32") as model:
        logits = model.logits(reference["input_ids"].tolist())
    kind = real_file.stem.removeprefix("model-")
    np.testing.assert_allclose(logits, reference[f"dequant_{kind}"], rtol=0, atol=TOLERANCE)


def test_the_cpu_backend_runs_a_gguf_file_in_f32(shared_data: Path) -> None:
    if "cpu" not in default_host().names("backend"):
        pytest.skip("backend 'cpu' is not installed")
    folder = shared_data / "stories260K" / "gguf"
    reference = np.load(folder / "reference_gguf.npz")
    for kind in ("F16", "Q8_0"):
        with load(folder / f"model-{kind}.gguf", backend="cpu", kv="f32", arith="f32") as model:
            logits = model.logits(reference["input_ids"].tolist())
        np.testing.assert_allclose(logits, reference[f"dequant_{kind}"], rtol=0, atol=TOLERANCE)


def test_a_real_file_gives_its_sizes_and_tokens(shared_data: Path) -> None:
    path = shared_data / "stories260K" / "gguf" / "model-F16.gguf"
    config = model_config(llama.FAMILY, GGUF.open(path))
    assert (config.width, config.vocabulary, config.context) == (64, 512, 512)
    assert (len(config.layers), config.tied, config.bos, config.eos) == (5, True, (1,), (2,))
    assert rope_of(config)["style"] == "interleaved"


def test_half_and_half_rope_on_a_real_llama_file_is_caught(shared_data: Path) -> None:
    folder = shared_data / "stories260K" / "gguf"
    found = llama.FAMILY.config["gguf"]

    def half(read: Any) -> ModelConfig:
        config = found(read)
        rope_of(config)["style"] = "half"
        return config

    faulty = attrs.evolve(llama.FAMILY, config={"gguf": half})
    reference = np.load(folder / "reference_gguf.npz")
    logits = logits_of(folder / "model-F16.gguf", faulty, reference["input_ids"].tolist())
    assert np.abs(logits - reference["dequant_F16"]).max() > 1.0


def rope_of(config: ModelConfig) -> dict[str, Any]:
    """Return the first layer's rope options."""
    options: dict[str, Any] = config.layers[0].sublayers[0].mixer.options["position"].options
    return options


def logits_of(path: Path, family: Family, ids: list[int]) -> np.ndarray:
    """Run a checkpoint under a family of its own on the reference."""
    host = default_host()

    class Only:
        """The host with one model family."""

        def names(self, kind: str) -> list[str]:
            return [family.name] if kind == "model" else host.names(kind)

        def get(self, kind: str, name: str) -> Any:
            return family if kind == "model" else host.get(kind, name)

        def advice(self, kind: str, name: str) -> str:
            return host.advice(kind, name)

    with load(path, backend="numpy", kv="f32", registry=Only()) as model:
        return model.logits(ids)


@attrs.define
class Twins:
    """One random model twice: as a Hugging Face folder and as the converter would write GGUF."""

    folder: Path
    family: str = "llama"
    tied: bool = False
    biases: str = ""
    scaling: dict[str, Any] | None = None
    head_dim: int = 8
    layers: int = 2
    kind: Any = np.float32
    heads: int = 4
    kv_heads: int = 2
    width: int = 24
    hidden: int = 40
    # Changes of the GGUF file: keys by name (None drops one), tensors by name (None drops one).
    keys: dict[str, tuple[str, Any] | None] = attrs.field(factory=dict)
    tensors: dict[str, np.ndarray | None] = attrs.field(factory=dict)

    def hf(self) -> Path:
        """Write the folder."""
        arch = {"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[self.family]
        config = {
            "architectures": [arch],
            "hidden_size": self.width,
            "intermediate_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": 64,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-3,
            "rope_theta": 500.0,
            "rope_scaling": self.scaling,
            "vocab_size": VOCABULARY,
            "tie_word_embeddings": self.tied,
            "attention_bias": bool(self.biases),
        }
        self.folder.mkdir(exist_ok=True)
        (self.folder / "config.json").write_text(json.dumps(config))
        save_file(self.numbers(), self.folder / "model.safetensors")
        return self.folder

    def numbers(self) -> dict[str, np.ndarray]:
        """Return the weights by their Hugging Face names; norms are not ones."""
        rng = np.random.default_rng(5)
        q, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        matrices = {"self_attn.q_proj": (q, self.width), "self_attn.k_proj": (kv, self.width)}
        matrices |= {"self_attn.v_proj": (kv, self.width), "self_attn.o_proj": (self.width, q)}
        matrices |= {"mlp.gate_proj": (self.hidden, self.width)}
        matrices |= {"mlp.up_proj": (self.hidden, self.width)}
        matrices |= {"mlp.down_proj": (self.width, self.hidden)}
        found = {"model.embed_tokens.weight": rng.standard_normal((VOCABULARY, self.width))}
        vectors = {"model.norm.weight": self.width}
        for n in range(self.layers):
            for name, shape in matrices.items():
                values = rng.standard_normal(shape) / math.sqrt(shape[1] / 4)
                found[f"model.layers.{n}.{name}.weight"] = values
                if name[-6:-5] in self.biases and "attn" in name:
                    bias = rng.standard_normal(shape[0])
                    found[f"model.layers.{n}.{name}.bias"] = bias
            for name in ("input_layernorm", "post_attention_layernorm"):
                vectors[f"model.layers.{n}.{name}.weight"] = self.width
            if self.family == "qwen3":
                vectors[f"model.layers.{n}.self_attn.q_norm.weight"] = self.head_dim
                vectors[f"model.layers.{n}.self_attn.k_norm.weight"] = self.head_dim
        for name, size in vectors.items():
            found[name] = 1 + 0.3 * rng.standard_normal(size)
        if not self.tied:
            found["lm_head.weight"] = rng.standard_normal((VOCABULARY, self.width))
        return {
            name: values.astype(self.kind if values.ndim == 2 else np.float32)
            for name, values in found.items()
        }

    def gguf(self) -> Path:
        """Write the file as llama.cpp's converter does (conversion of LlamaModel, Qwen3Model)."""
        path = self.folder.with_suffix(".gguf")
        writer = package.GGUFWriter(path, self.family)
        keys: dict[str, tuple[str, Any] | None] = {
            "block_count": ("uint32", self.layers),
            "context_length": ("uint32", 64),
            "embedding_length": ("uint32", self.width),
            "feed_forward_length": ("uint32", self.hidden),
            "attention.head_count": ("uint32", self.heads),
            "attention.head_count_kv": ("uint32", self.kv_heads),
            "attention.key_length": ("uint32", self.head_dim),
            "attention.value_length": ("uint32", self.head_dim),
            "attention.layer_norm_rms_epsilon": ("float32", 1e-3),
            "rope.freq_base": ("float32", 500.0),
            "rope.dimension_count": ("uint32", self.head_dim),
            "vocab_size": ("uint32", VOCABULARY),
        }
        if self.scaling and self.scaling.get("rope_type") == "linear":
            keys["rope.scaling.type"] = ("string", "linear")
            keys["rope.scaling.factor"] = ("float32", self.scaling["factor"])
        for name, entry in (keys | self.keys).items():
            if entry is not None:
                key = name if name.startswith("tokenizer.") else f"{self.family}.{name}"
                getattr(writer, f"add_{entry[0]}")(key, entry[1])
        writer.add_array("tokenizer.ggml.tokens", [f"t{n}" for n in range(VOCABULARY)])
        for name, values in (self.renamed() | self.tensors).items():
            if values is not None:
                writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def renamed(self) -> dict[str, np.ndarray | None]:
        """Return the weights by their GGUF names, q and k of a llama in the converter's order."""
        arch = {"llama": package.MODEL_ARCH.LLAMA, "qwen3": package.MODEL_ARCH.QWEN3}[self.family]
        names = package.get_tensor_name_map(arch, self.layers)
        found: dict[str, np.ndarray | None] = {}
        for name, values in self.numbers().items():
            kind = name.rsplit(".", 2)[-2]
            if self.family == "llama" and kind in ("q_proj", "k_proj"):
                values = permuted(values, self.heads if kind == "q_proj" else self.kv_heads)
            found[names.get_name(name, try_suffixes=(".weight", ".bias"))] = values
        if self.scaling and self.scaling.get("rope_type") == "llama3":
            found["rope_freqs.weight"] = llama3_factors(self.scaling, self.head_dim, 500.0)
        return found


def llama3_factors(scaling: dict[str, Any], dim: int, base: float) -> np.ndarray:
    """Return `rope_freqs.weight` as `LlamaModel.generate_extra_tensors` computes it."""
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    old = scaling["original_max_position_embeddings"]
    factors = []
    for n in range(0, dim, 2):
        wave = 2 * math.pi * base ** (n / dim)
        if wave < old / high:
            factors.append(1.0)
        elif wave > old / low:
            factors.append(scaling["factor"])
        else:
            smooth = (old / wave - low) / (high - low)
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, dtype=np.float32)


def logits(path: Path) -> np.ndarray:
    with load(path, backend="numpy", kv="f32") as model:
        return model.logits(IDS)


KINDS: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama tied": {"tied": True},
    "llama biases": {"biases": "qkvo"},
    "llama linear": {"scaling": {"rope_type": "linear", "factor": 4.0}},
    "llama3 scaling": {"scaling": LLAMA3},
    "llama wide heads": {"head_dim": 12},
    "llama one kv head": {"kv_heads": 1},
    "llama f16": {"kind": np.float16},
    "qwen3": {"family": "qwen3"},
    "qwen3 tied": {"family": "qwen3", "tied": True, "head_dim": 16},
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_gguf_file_and_its_safetensors_twin_have_the_same_logits(
    tmp_path: Path, kind: str
) -> None:
    twins = Twins(tmp_path / "m", **KINDS[kind])
    expected = logits(twins.hf())
    assert 0.5 < expected.std() < 20
    error = np.abs(logits(twins.gguf()) - expected).max()
    assert error <= 2e-4 * expected.std()


def test_a_dropped_scaling_would_show(tmp_path: Path) -> None:
    twins = Twins(tmp_path / "m", scaling=LLAMA3)
    expected = logits(twins.hf())
    twins.tensors = {"rope_freqs.weight": None}
    assert np.abs(logits(twins.gguf()) - expected).max() > 0.05 * expected.std()


def test_factors_are_in_the_config_and_survive_json(tmp_path: Path) -> None:
    path = Twins(tmp_path / "m", scaling=LLAMA3).gguf()
    config = model_config(llama.FAMILY, GGUF.open(path))
    assert rope_of(config)["factors"] == llama3_factors(LLAMA3, 8, 500.0).tolist()
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_defaults_are_llama_cpps(tmp_path: Path) -> None:
    dropped = {"attention.head_count_kv": None, "rope.dimension_count": None, "vocab_size": None}
    dropped |= {"attention.key_length": None, "attention.value_length": None}
    twins = Twins(tmp_path / "m", heads=4, kv_heads=4, width=32, head_dim=8, keys=dropped)
    assert np.array_equal(logits(twins.gguf()), logits(attrs.evolve(twins, keys={}).gguf()))


def test_an_older_linear_scaling_is_read(tmp_path: Path) -> None:
    linear = {"rope_type": "linear", "factor": 4.0}
    new = Twins(tmp_path / "a", scaling=linear)
    old = Twins(tmp_path / "b", keys={"rope.scale_linear": ("float32", 4.0)})
    np.testing.assert_array_equal(logits(new.gguf()), logits(old.gguf()))


def test_end_of_turn_ends_a_text_too(tmp_path: Path) -> None:
    ids = {"bos": 1, "eos": 2, "eot": 7}
    keys = {f"tokenizer.ggml.{name}_token_id": ("uint32", id) for name, id in ids.items()}
    config = model_config(llama.FAMILY, GGUF.open(Twins(tmp_path / "m", keys=keys).gguf()))
    assert (config.bos, config.eos) == ((1,), (2, 7))


LIES: dict[str, tuple[str, Any]] = {
    "block_count": ("uint32", 0),
    "block_count ": ("uint32", 10**9),
    "block_count  ": ("int32", -1),
    "block_count   ": ("float32", 2.0),
    "block_count    ": ("bool", True),
    "block_count     ": ("array", [1, 2]),
    "context_length": ("uint64", 10**12),
    "embedding_length": ("uint64", 1 << 40),
    "embedding_length ": ("string", "24"),
    "feed_forward_length": ("uint32", 0),
    "attention.head_count": ("uint32", 0),
    "attention.head_count ": ("array", [4, 4]),
    "attention.head_count_kv": ("uint32", 3),
    "attention.head_count_kv ": ("uint32", 0),
    "attention.head_count_kv  ": ("uint32", 8),
    "attention.key_length": ("uint32", 7),
    "attention.value_length": ("uint32", 16),
    "attention.layer_norm_rms_epsilon": ("float32", float("nan")),
    "attention.layer_norm_rms_epsilon ": ("float32", -1.0),
    "attention.sliding_window": ("uint32", 8),
    "rope.freq_base": ("float32", 0.0),
    "rope.freq_base ": ("float32", float("inf")),
    "rope.dimension_count": ("uint32", 10),
    "rope.dimension_count ": ("uint32", 3),
    "rope.scaling.type": ("string", "longrope"),
    "rope.scaling.type ": ("string", "linear"),
    "rope.scale_linear": ("float32", 0.0),
    "vocab_size": ("uint32", 15),
    "vocab_size ": ("uint64", 10**12),
    "expert_count": ("uint32", 8),
    "attention.scale": ("float32", 0.5),
    "logit_scale": ("float32", 2.0),
    "attention.causal": ("bool", False),
    "rope.dimension_sections": ("array", [1, 1, 1, 1]),
    "tokenizer.ggml.bos_token_id": ("uint32", 16),
    "tokenizer.ggml.eos_token_id": ("uint32", (1 << 32) - 1),
    "tokenizer.ggml.eot_token_id": ("string", "1"),
}


@pytest.mark.parametrize("family", [llama.FAMILY, qwen3.FAMILY], ids=lambda family: family.name)
@pytest.mark.parametrize("lie", LIES)
def test_a_lie_about_the_model_is_refused_by_the_keys_name(
    tmp_path: Path, family: Family, lie: str
) -> None:
    name = lie.strip()
    path = Twins(tmp_path / "m", family=family.name, keys={name: LIES[lie]}).gguf()
    # A scaling without its factor is refused by the factor's name.
    asked = "rope.scaling.factor" if LIES[lie][1] == "linear" else name
    key = asked if asked.startswith("tokenizer.") else f"{family.name}.{asked}"
    with pytest.raises(FileError, match=rf"m\.gguf: {key}: ") as caught:
        model_config(family, GGUF.open(path))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("name", NEUTRAL)
def test_a_neutral_value_is_taken(tmp_path: Path, name: str) -> None:
    kinds = {bool: "bool", int: "uint32", float: "float32"}
    for value in NEUTRAL[name]:
        keys = {name: (kinds[type(value)], value)}
        model_config(llama.FAMILY, GGUF.open(Twins(tmp_path / "m", keys=keys).gguf()))


NEEDED = (
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.layer_norm_rms_epsilon",
)


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_key_is_named(tmp_path: Path, name: str) -> None:
    path = Twins(tmp_path / "m", keys={name: None}).gguf()
    with pytest.raises(FileError, match=rf"llama\.{name}: is missing"):
        model_config(llama.FAMILY, GGUF.open(path))


BAD_FACTORS = {
    "one too few": [1.0, 1.0, 1.0],
    "zero": [1.0, 1.0, 0.0, 1.0],
    "negative": [1.0, -2.0, 1.0, 1.0],
    "nan": [float("nan"), 1.0, 1.0, 1.0],
    "infinite": [1.0, 1.0, 1.0, float("inf")],
}


@pytest.mark.parametrize("name", BAD_FACTORS)
def test_bad_factors_are_refused_by_the_tensors_name(tmp_path: Path, name: str) -> None:
    values = np.array(BAD_FACTORS[name], np.float32)
    path = Twins(tmp_path / "m", tensors={"rope_freqs.weight": values}).gguf()
    with pytest.raises(FileError, match=r"tensor 'rope_freqs\.weight' at byte \d+: "):
        model_config(llama.FAMILY, GGUF.open(path))


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


TENSORS: dict[str, tuple[str, np.ndarray | None, str]] = {
    "missing": ("blk.1.ffn_up.weight", None, r"tensor 'blk\.1\.ffn_up\.weight': is missing"),
    "no table": ("token_embd.weight", None, r"tensor 'token_embd\.weight': is missing"),
    "unused": ("blk.0.mystery.weight", ones(4), r"tensor 'blk\.0\.mystery\.weight' \(4,\): noth"),
    "a third layer": ("blk.2.attn_q.weight", ones(32, 24), r"tensor 'blk\.2\.attn_q\.weight'"),
    "expert": ("blk.0.ffn_gate_inp.weight", ones(8, 24), r"tensor 'blk\.0\.ffn_gate_inp\.weight'"),
    "a late bias": ("blk.1.attn_q.bias", ones(32), r"tensor 'blk\.1\.attn_q\.bias'"),
    "an early bias": ("blk.0.attn_q.bias", ones(32), r"tensor 'blk\.1\.attn_q\.bias': is missing"),
    "shape": ("blk.0.attn_k.weight", ones(24, 16), r"'blk\.0\.attn_k\.weight' is \(24, 16\)"),
    "vector shape": ("output_norm.weight", ones(25), r"'output_norm\.weight' is \(25,\)"),
    "small table": ("token_embd.weight", ones(15, 24), r"llama\.vocab_size: found 16, .*15 rows"),
    "type": ("blk.0.attn_v.weight", np.ones((16, 24), np.int8), r"is stored as i8"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_a_tensor_that_does_not_fit_is_refused_by_name(tmp_path: Path, name: str) -> None:
    tensor, values, expected = TENSORS[name]
    path = Twins(tmp_path / "m", tensors={tensor: values}).gguf()
    with pytest.raises(FileError, match=expected):
        load(path, backend="numpy")


def test_a_vocabulary_longer_than_the_table_is_refused(tmp_path: Path) -> None:
    path = Twins(tmp_path / "m", keys={"vocab_size": None}).gguf()
    checkpoint = GGUF.open(path)
    tokens = {**checkpoint.metadata, "tokenizer.ggml.tokens": ["x"] * 17}
    with pytest.raises(FileError, match=r"tokenizer\.ggml\.tokens: has 17 texts, .* has 16 rows"):
        model_config(llama.FAMILY, attrs.evolve(checkpoint, metadata=tokens))


def test_an_architecture_that_no_family_reads_is_named(tmp_path: Path) -> None:
    writer = package.GGUFWriter(tmp_path / "x.gguf", "grok")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(Unavailable, match="no installed family reads architecture 'grok'"):
        load(tmp_path / "x.gguf", backend="numpy")


def test_files_beside_a_gguf_file_are_not_taken_for_its_own(tmp_path: Path) -> None:
    path = Twins(tmp_path / "m").gguf()
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "config.json").write_text('{"eos_token_id": 3}')
    with load(path, backend="numpy") as model:
        assert not {"tokenizer.json", "config.json"} & set(model.built.assets)


@pytest.mark.parametrize("change", [{"tied": True}, {}], ids=["tied", "own head"])
def test_a_head_is_tied_where_the_file_has_none(
    tmp_path: Path, change: dict[str, Callable[[], None]]
) -> None:
    config = model_config(llama.FAMILY, GGUF.open(Twins(tmp_path / "m", **change).gguf()))
    assert config.tied is bool(change)


def test_a_missing_tensor_is_a_weight_error(tmp_path: Path) -> None:
    path = Twins(tmp_path / "m", tensors={"output_norm.weight": None}).gguf()
    with pytest.raises(WeightError, match=r"tensor 'output_norm\.weight'"):
        load(path, backend="numpy")
