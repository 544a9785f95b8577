"""Random checkpoints against transformers, and faults that the tolerance must catch.

The checkpoints are made so that agreement means something: logits with a standard deviation of 1
to 10, norms that are not one, biases that are not zero, small embeddings so that an epsilon counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_decoder import llama, qwen3

from synapse_core.families import ComponentConfig, Family, Ignore, ModelConfig

pytestmark = pytest.mark.reference

# Of the standard deviation of the logits (DESIGN.md, "Agreement between places").
TOLERANCE = 2e-4
BACKENDS = ("numpy", "cpu")
LENGTH = 40
FAMILIES = {"llama": llama.FAMILY, "qwen3": qwen3.FAMILY}


@attrs.frozen
class Case:
    """A checkpoint to make: family, dtype, and what differs from the base config."""

    family: str
    dtype: str
    config: dict[str, Any]


BASE = {
    "hidden_size": 48,
    "intermediate_size": 70,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
CASES = {
    "llama": Case("llama", "float32", {"tie_word_embeddings": False}),
    "llama tied bf16": Case("llama", "bfloat16", {"tie_word_embeddings": True}),
    "llama biases f16": Case("llama", "float16", {"attention_bias": True, "mlp_bias": True}),
    "llama one kv head": Case("llama", "float32", {"num_key_value_heads": 1, "head_dim": 8}),
    "llama llama3": Case("llama", "float32", {"rope_parameters": LLAMA3}),
    "llama linear": Case(
        "llama",
        "float32",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 5e5, "factor": 4.0}},
    ),
    "llama gelu": Case("llama", "float32", {"hidden_act": "gelu"}),
    "llama gelu_tanh": Case("llama", "float32", {"hidden_act": "gelu_pytorch_tanh"}),
    "qwen3": Case("qwen3", "float32", {"tie_word_embeddings": False}),
    "qwen3 tied biases": Case(
        "qwen3", "float32", {"tie_word_embeddings": True, "attention_bias": True}
    ),
    "qwen3 bf16": Case("qwen3", "bfloat16", {"num_key_value_heads": 6}),
    "qwen3 windows f16": Case(
        "qwen3",
        "float16",
        {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1},
    ),
}


@attrs.frozen(eq=False)
class Made:
    """A checkpoint on disk, two sequences and what transformers says of them."""

    folder: Path
    family: Family
    ids: tuple[np.ndarray, np.ndarray]
    logits: tuple[np.ndarray, np.ndarray]

    @property
    def tolerance(self) -> float:
        """The largest difference that agreement allows."""
        return TOLERANCE * float(self.logits[0].std())


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Made]]:
    """`make(name)`: the checkpoint of a case, made once."""
    known: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in known:
            known[name] = _make(CASES[name], tmp_path_factory.mktemp(name.replace(" ", "_")))
        return known[name]

    yield make
    known.clear()


def _make(case: Case, folder: Path) -> Made:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(3)
    torch.set_num_threads(1)
    title = {"llama": "Llama", "qwen3": "Qwen3"}[case.family]
    config = getattr(transformers, f"{title}Config")(**{**BASE, **case.config})
    kind = getattr(transformers, f"{title}ForCausalLM")
    model = kind(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            _fill(name, parameter, config.tie_word_embeddings)
    model.to(getattr(torch, case.dtype)).save_pretrained(folder)
    # Read back, because the conversion rounded more than the file holds: rope's frequencies too.
    model = kind.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    rng = np.random.default_rng(4)
    ids = tuple(rng.integers(0, config.vocab_size, LENGTH - 7 * n) for n in range(2))
    with torch.no_grad():
        logits = tuple(model(torch.from_numpy(i)[None]).logits[0].numpy() for i in ids)
    assert 1 <= logits[0].std() <= 10
    return Made(folder, FAMILIES[case.family], ids, logits)


def _fill(name: str, parameter: Any, tied: bool) -> None:
    if parameter.ndim == 1:
        size = 0.5 if name.endswith("bias") else 0.3
        mean = 0.0 if name.endswith("bias") else 1.0
        parameter.normal_(mean, size)
    elif "embed_tokens" in name:
        # An untied table is so small that an epsilon of 1e-5 counts in the first norm; a tied one
        # is the head too, and makes the size of the logits.
        parameter.normal_(0.0, 0.3 if tied else 0.03)
    else:
        parameter.normal_(0.0, 2.0 * parameter.shape[1] ** -0.5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_logits_match_transformers(
    make: Callable[[str], Made], runner: Callable[..., Any], name: str, backend: str
) -> None:
    made = make(name)
    model = runner(made.folder, made.family, backend)
    for sizes in ([LENGTH], [5, 1, 13, 2, 9], [1]):
        found = model.in_chunks(made.ids[0], sizes)
        assert np.abs(found - made.logits[0]).max() <= made.tolerance, sizes


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["llama", "qwen3 windows f16"])
def test_two_slots_interleaved_match_transformers(
    make: Callable[[str], Made], runner: Callable[..., Any], name: str, backend: str
) -> None:
    made = make(name)
    model = runner(made.folder, made.family, backend)
    parts: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    first = [0, 0]
    for sizes in ((7, 3), (0, 4), (1, 1), (12, 9), (1, 0), (5, 16), (14, 0)):
        order = [slot for slot in (1, 0) if sizes[slot]]
        runs = [(s, first[s], made.ids[s][first[s] : first[s] + sizes[s]]) for s in order]
        for slot, logits in zip(order, model.logits(*runs), strict=True):
            parts[slot].append(logits)
            first[slot] += sizes[slot]
    assert first == [len(ids) for ids in made.ids]
    for found, expected in zip(parts, made.logits, strict=True):
        assert np.abs(np.concatenate(found) - expected).max() <= made.tolerance


Fault = Callable[[ComponentConfig], ComponentConfig]


def options_fault(component: str, option: str, value: Any) -> Fault:
    """Return a fault that changes an option of a component, wherever that component stands.

    `value` is a function of the right one.
    """

    def change(config: ComponentConfig) -> ComponentConfig:
        options = {
            key: change(inner) if isinstance(inner, ComponentConfig) else inner
            for key, inner in config.options.items()
        }
        if config.name == component:
            options[option] = value(options.get(option))
        return attrs.evolve(config, options=options)

    return change


def planted(change: Fault, config: ModelConfig) -> ModelConfig:
    """Return the config with a fault in every component."""
    layers = tuple(
        attrs.evolve(
            layer,
            sublayers=tuple(
                attrs.evolve(sublayer, norm=change(sublayer.norm), mixer=change(sublayer.mixer))
                for sublayer in layer.sublayers
            ),
        )
        for layer in config.layers
    )
    return attrs.evolve(config, layers=layers, norm=change(config.norm))


FAULTS: dict[str, tuple[str, Fault]] = {
    "epsilon": ("llama", options_fault("rmsnorm", "eps", lambda eps: eps / 10)),
    "epsilon qwen3": ("qwen3", options_fault("rmsnorm", "eps", lambda eps: eps / 10)),
    "window + 1": (
        "qwen3 windows f16",
        options_fault("sliding_window", "window", lambda window: window + 1),
    ),
    "window - 1": (
        "qwen3 windows f16",
        options_fault("sliding_window", "window", lambda window: window - 1),
    ),
    **{
        f"no bias of {letter}": (
            "llama biases f16",
            options_fault("gqa", "biases", lambda found, letter=letter: found.replace(letter, "")),
        )
        for letter in "qvo"
    },
    "no bias in the ffn": ("llama biases f16", options_fault("swiglu", "bias", lambda _: False)),
    "no bias of q, qwen3": ("qwen3 tied biases", options_fault("gqa", "biases", lambda _: "kvo")),
    "rope style": ("llama", options_fault("rope", "style", lambda _: "interleaved")),
    "rope theta": ("llama", options_fault("rope", "theta", lambda theta: theta * 1.05)),
    "no llama3 scaling": ("llama llama3", options_fault("rope", "scaling", lambda _: {})),
    "no linear scaling": ("llama linear", options_fault("rope", "scaling", lambda _: {})),
    "tanh for exact gelu": (
        "llama gelu",
        options_fault("geglu", "activation", lambda _: "gelu_tanh"),
    ),
    "exact for tanh gelu": (
        "llama gelu_tanh",
        options_fault("geglu", "activation", lambda _: "gelu"),
    ),
    "no qk-norm": ("qwen3", options_fault("gqa", "qk_norm", lambda _: None)),
    "attention scale": ("qwen3", options_fault("gqa", "scale", lambda _: 10**-0.49)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(
    make: Callable[[str], Made], runner: Callable[..., Any], fault: str
) -> None:
    name, change = FAULTS[fault]
    made = make(name)
    # What the fault leaves out would be refused as unused; the numbers are to be the ones to tell.
    deaf = attrs.evolve(made.family, ignores=(Ignore("*", "a planted fault leaves it out"),))
    model = runner(made.folder, deaf, "numpy", lambda config: planted(change, config))
    found = model.in_chunks(made.ids[0], [LENGTH])
    assert np.abs(found - made.logits[0]).max() > 2 * made.tolerance
