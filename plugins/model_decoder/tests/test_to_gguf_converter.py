"""Our GGUF files beside those of llama.cpp's own converter, and run by llama.cpp itself."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from synapse_core.api import LlamaCpp, load, requantize
from synapse_core.generate import assets_of_gguf
from synapse_core.loaders import GGUF
from synapse_core.plugins import default_host
from tests.outside.llama_cpp import Converter, converter_script

from .reference_cases import LINEAR, LLAMA3, LONG_PHI3, YARN, Case, Made, make_case

pytestmark = pytest.mark.reference

# Of the standard deviation of the logits. llama.cpp takes Gemma's GELU from a table of float16.
TOLERANCE, GELU_TOLERANCE = 1e-4, 1e-2
# As a root mean square: llama.cpp rounds activations, where weights are f16 to that, in blocks to
# int8, which a model of random weights makes much of. Another model's logits are 1.4 away.
ROUNDED = {"f16": 1e-2, "q8_0": 0.15, "q4_k": 0.3}
# The file does not say by what q is scaled: it is by the head's width.
SCALAR = {"query_pre_attn_scalar": 10}
SEVEN = {**SCALAR, "num_hidden_layers": 7, "sliding_window_pattern": 6}
# llama.cpp has no other width for these.
EVEN = {"head_dim": 8}
TWO_ROPES = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 1e3},
}
# llama.cpp does not read the betas of yarn for these architectures.
PLAIN_YARN = {key: value for key, value in YARN.items() if key != "beta_fast"}
WIDE = {"head_dim": 16, "hidden_size": 96}
F32 = "float32"
CASES = {
    "llama": Case("llama", F32, {"tie_word_embeddings": False}),
    "llama biases": Case("llama", F32, {"attention_bias": True, "mlp_bias": True}),
    "llama llama3": Case("llama", F32, {"rope_parameters": LLAMA3}),
    "llama linear": Case("llama", F32, {"rope_parameters": LINEAR}),
    "llama yarn": Case("llama", F32, {**WIDE, "rope_parameters": PLAIN_YARN}),
    "llama yarn magnitude": Case(
        "llama", F32, {**WIDE, "rope_parameters": {**PLAIN_YARN, "attention_factor": 1.3}}
    ),
    "mistral": Case("mistral", F32, {"sliding_window": 64}),
    "mistral windows": Case("mistral", F32, {"sliding_window": 20}, 20, 20),
    "qwen2": Case("qwen2", F32, {**EVEN, "tie_word_embeddings": False}),
    "qwen2 yarn": Case("qwen2", F32, {**WIDE, "rope_parameters": PLAIN_YARN}),
    "qwen3": Case("qwen3", F32, {"tie_word_embeddings": True}),
    # llama.cpp runs Phi-3 without its window.
    "phi3": Case("phi3", F32, {"sliding_window": None}),
    "phi3 window": Case("phi3", F32, {"sliding_window": 11}, 11, 11),
    "phi3 longrope": Case("phi3", F32, {**LONG_PHI3, "sliding_window": None}),
    "gemma": Case("gemma", F32, {}),
    "gemma2": Case("gemma2", F32, SCALAR),
    "gemma3": Case("gemma3", F32, SEVEN),
    "gemma3 two ropes": Case("gemma3", F32, {**SEVEN, "rope_parameters": TWO_ROPES}),
    "gemma3 other windows": Case("gemma3", F32, SCALAR),
}
# Keys whose values differ, with why; of a case, or of all. What is not listed must be equal.
DESCRIBING = "it describes the file for lists of models"
WINDOW = "the converter drops the window; in so many positions it is not felt"
DIFFERENT: dict[str, dict[str, str]] = {
    "": {
        "general.size_label": DESCRIBING,
        "general.name": "the converter writes a folder's name in capitals",
    },
    "mistral windows": {"llama.context_length": WINDOW},
    "phi3": {"phi3.rope.scaling.original_context_length": "without scaling it means nothing"},
    "phi3 window": {"phi3.rope.scaling.original_context_length": "as phi3"},
    "llama yarn": {"llama.context_length": "the stretched length"},
    "llama yarn magnitude": {
        "llama.context_length": "the stretched length",
        "llama.rope.scaling.attn_factor": "llama.cpp does not read yarn_attn_factor, but this",
    },
    "qwen2 yarn": {"qwen2.context_length": "the stretched length"},
    "gemma3 other windows": {
        "gemma3.attention.sliding_window_pattern": "the converter leaves the usual one",
    },
}
MORE: dict[str, str] = {
    "add_space_prefix": "by the tokenizer itself; the converter, by an option of its config",
    "add_eos_token": "as llama.cpp takes it where it is not there",
    "unknown_token_id": "by the tokenizer.model itself; the converter, by its config",
}
# Gemma's converter writes of every tokenizer that it has CodeGemma's tokens and no space before.
OF_GEMMA = {f"tokenizer.ggml.{n}_token_id" for n in ("prefix", "suffix", "middle", "fsep", "eot")}
OF_GEMMA |= {"tokenizer.ggml.add_space_prefix"}
Both = Callable[[str, str], tuple[Made, Path, Path]]


@pytest.fixture(scope="module")
def both(converter: Converter, tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Both:
    """`both(name, kind)`: a case's checkpoint, our file of it, and the converter's."""
    known: dict[str, Made] = {}

    def both(name: str, kind: str) -> tuple[Made, Path, Path]:
        if name not in known:
            folder = tmp_path_factory.mktemp(name.replace(" ", "_"))
            case = attrs.evolve(CASES[name], config={**CASES[name].config, "vocab_size": 512})
            known[name] = make_case(case, folder)
            save_file(load_file(folder / "model.safetensors"), folder / "model.safetensors")
            tokenizer = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True}
            (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
            shutil.copy(shared_data / "stories260K" / "hf" / "tokenizer.model", folder)
        made = known[name]
        ours, theirs = (made.folder / f"{whose}-{kind}.gguf" for whose in ("ours", "theirs"))
        converter.convert(made.folder, theirs, kind)
        requantize(made.folder, ours, default_host(), format=kind)
        return made, ours, theirs

    return both


def near(value: Any) -> Any:
    """Return what equals a key's value up to the rounding of a float32."""
    return pytest.approx(value, rel=1e-6) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "f32") for name in CASES), ("llama", "f16"), ("phi3", "f16"), ("gemma3", "f16")],
)
def test_our_file_is_the_converter_s_key_by_key_and_tensor_by_tensor(
    both: Both, name: str, kind: str
) -> None:
    ours, theirs = (GGUF.open(path) for path in both(name, kind)[1:])
    keys, wanted = ours.metadata, theirs.metadata
    excused = DIFFERENT[""] | DIFFERENT.get(name, {})
    if name.startswith("gemma"):
        excused |= dict.fromkeys(OF_GEMMA, "of the tokenizer that a Gemma has")
    assert {key for key in wanted if key not in keys} <= set(excused)
    more = {key for key in keys if key not in wanted} - set(excused)
    assert {key.rpartition(".")[2] for key in more} <= set(MORE)
    kinds, wanted_kinds = (metadata.kinds for metadata in (keys, wanted))
    for key in keys.keys() & wanted.keys() - set(excused):
        assert keys[key] == near(wanted[key]), key
        assert kinds[key] == wanted_kinds[key], key
    assert set(ours.tensors) == set(theirs.tensors)
    for tensor, expected in theirs.tensors.items():
        found = ours.tensors[tensor]
        assert (found.shape, found.format) == (expected.shape, expected.format), tensor
        if tensor == "rope_freqs.weight":
            numbers = (file.tensors[tensor].data.view("<f4") for file in (ours, theirs))
            np.testing.assert_allclose(*numbers, rtol=1e-6)
        else:
            np.testing.assert_array_equal(found.data, expected.data, tensor)


@pytest.mark.parametrize("name", CASES)
def test_llama_cpp_runs_our_file_and_agrees(both: Both, name: str) -> None:
    made, ours, _ = both(name, "f32")
    tolerance = GELU_TOLERANCE if name.startswith("gemma") else TOLERANCE
    for ids, wanted in zip(made.ids, made.logits, strict=True):
        with load(ours, backend="numpy", kv="f32", context=made.positions) as model:
            assert np.abs(model.logits(ids.tolist()) - wanted).max() <= TOLERANCE * wanted.std()
        error = np.abs(LlamaCpp(ours).logits(ids.tolist()) - wanted).max()
        assert error <= tolerance * wanted.std()


@pytest.mark.parametrize("kind", ROUNDED)
@pytest.mark.parametrize("family", ["llama", "phi3", "gemma3"])
def test_llama_cpp_runs_our_blocks(tmp_path: Path, family: str, kind: str) -> None:
    converter_script()
    wide = {"hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 8}
    config = {**wide, "head_dim": 32, "num_key_value_heads": 4, "query_pre_attn_scalar": 32}
    if family == "phi3":
        config = {**config, "head_dim": None, "sliding_window": None}
    made = make_case(Case(family, F32, config), tmp_path / "m")
    ours = tmp_path / "ours.gguf"
    done = requantize(made.folder, ours, default_host(), format=kind)
    assert {tensor.given for tensor in done.tensors} == {kind, "f32"}
    ids = made.ids[0].tolist()
    with load(ours, backend="numpy", kv="f32", context=made.positions) as model:
        expected = model.logits(ids)
    moved = LlamaCpp(ours).logits(ids) - expected
    assert np.sqrt(np.square(moved).mean()) <= ROUNDED[kind] * expected.std()


TEXTS = ("Once upon a time", " Lily's  dog\n\tran", "héllo 🦙 <s>", "</s>x", "")


def test_llama_cpp_reads_our_tokenizer_as_we_do(both: Both) -> None:
    made, ours, _ = both("llama", "f32")
    import llama_cpp

    theirs = llama_cpp.Llama(str(ours), vocab_only=True, verbose=False)
    with load(made.folder, backend="numpy") as model:
        for text in TEXTS:
            ids = model.tokenizer.encode(text, special=True)
            assert theirs.tokenize(text.encode(), add_bos=True, special=True) == ids, text
    theirs.close()


def with_vocabulary(folder: Path, vocabulary: Path) -> Path:
    """Make a LLaMA of one narrow layer with the tokenizer of a GGUF file."""
    folder.mkdir()
    metadata = GGUF.open(vocabulary).metadata
    for name, text in assets_of_gguf(metadata, vocabulary).items():
        (folder / name).write_text(text, "utf-8")
    rows, width = len(metadata["tokenizer.ggml.tokens"]), 8
    sizes = {"hidden_size": width, "intermediate_size": width, "vocab_size": rows}
    counts = {"num_hidden_layers": 1, "num_attention_heads": 1, "max_position_embeddings": 64}
    config = {"architectures": ["LlamaForCausalLM"], "rms_norm_eps": 1e-5, "hidden_act": "silu"}
    tied = {"tie_word_embeddings": True}
    (folder / "config.json").write_text(json.dumps({**config, **sizes, **counts, **tied}))
    attention = (f"self_attn.{name}_proj" for name in "qkvo")
    names = (*attention, *(f"mlp.{name}_proj" for name in ("gate", "up", "down")))
    tensors = {f"model.layers.0.{name}.weight": np.eye(width, dtype=np.float16) for name in names}
    tensors["model.embed_tokens.weight"] = np.zeros((rows, width), np.float16)
    norms = ("layers.0.input_layernorm", "layers.0.post_attention_layernorm", "norm")
    tensors |= {f"model.{name}.weight": np.ones(width, np.float16) for name in norms}
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("name", ["gpt-2", "llama-bpe", "qwen2", "llama-spm", "phi-3"])
def test_llama_cpp_takes_our_tokenizers_for_its_own(
    tmp_path: Path, shared_data: Path, name: str
) -> None:
    """The texts and ids are those of llama.cpp's own tests of these vocabularies."""
    converter_script()
    vocabulary = shared_data / "tokenizers" / f"ggml-vocab-{name}.gguf"
    folder = with_vocabulary(tmp_path / name, vocabulary)
    ours = tmp_path / "ours.gguf"
    done = requantize(folder, ours, default_host(), format="f16")
    assert done.notes == ()
    import llama_cpp

    whole = Path(f"{vocabulary}.inp").read_text("utf-8")
    wanted = Path(f"{vocabulary}.out").read_text("utf-8").splitlines()
    texts = whole.split("\n__ggml_vocab_test__\n")
    theirs = llama_cpp.Llama(str(ours), vocab_only=True, verbose=False)
    for text, line in zip(texts, wanted, strict=False):
        found = theirs.tokenize(text.encode(), add_bos=False, special=False)
        assert found == [int(id) for id in line.split()], text
    theirs.close()
