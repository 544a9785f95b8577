"""ViT against transformers, and faults that the tolerance must catch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from synapse_model_vision import vit
from synapse_model_vision.config import VisionConfig

import synapse_core.api as synapse
from synapse_core.backends import NumpyBackend
from synapse_core.families import Family, Ignore, bind_weights, build_graph
from synapse_core.graph import Constant, Graph
from synapse_core.loaders import SAFETENSORS
from synapse_core.passes import optimise
from synapse_core.plugins import default_host
from synapse_core.program import Limits
from synapse_core.testing.case import Call, rows
from synapse_core.testing.case import Case as Run

from .reference_vit import CASES, CLASSIFIER, TOLERANCE, Made, make_case

pytestmark = pytest.mark.reference
BACKENDS = ("numpy", "cpu")
Make = Callable[[str], Made]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """`make(name)`: the checkpoint of a case, made once."""
    known: dict[str, Made] = {}

    def make(name: str) -> Made:
        if name not in known:
            known[name] = make_case(CASES[name], tmp_path_factory.mktemp("vit"))
        return known[name]

    return make


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_outputs_match_transformers(make: Make, name: str, backend: str) -> None:
    made = make(name)
    if backend not in default_host().names("backend"):
        pytest.skip(f"backend {backend!r} is not installed")
    with synapse.load(made.folder, backend=backend, image_size=made.size, images=2) as model:
        outputs = model.images.encoder.image_ports().outputs
        assert set(made.outputs) <= set(outputs)
        for output, expected in made.outputs.items():
            found = model.encode(pixels=made.pixels, output=output)
            assert found.shape == expected.shape
            error = np.abs(found - expected).max() / expected.std()
            assert error <= TOLERANCE, (output, error)


def test_timm_s_names_give_the_same_numbers(make: Make, tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    made = make_timm(make_small(tmp_path / "hf"), tmp_path / "timm", load_file, save_file)
    with synapse.load(tmp_path / "hf") as theirs, synapse.load(made) as ours:
        pixels = np.random.default_rng(3).standard_normal((2, 3, 42, 42), dtype=np.float32)
        assert ours.built.family == "vit_timm"
        for output in ("logits", "last_hidden_state"):
            a, b = (m.encode(pixels=pixels, output=output) for m in (theirs, ours))
            np.testing.assert_array_equal(a, b)


def make_small(folder: Path) -> Path:
    """Make a ViT of timm's epsilon and heads."""
    case = attrs.evolve(
        CASES["classifier"],
        config={"layer_norm_eps": 1e-6, "image_size": 42, "num_attention_heads": 3},
    )
    return make_case(case, folder).folder


def make_timm(source: Path, folder: Path, load: Any, save: Any) -> Path:
    """Write a checkpoint again under timm's names."""
    theirs = load(source / "model.safetensors")
    tensors = {
        "cls_token": theirs["vit.embeddings.cls_token"],
        "pos_embed": theirs["vit.embeddings.position_embeddings"],
    }
    for part in ("weight", "bias"):
        tensors[f"patch_embed.proj.{part}"] = theirs[
            f"vit.embeddings.patch_embeddings.projection.{part}"
        ]
        tensors[f"norm.{part}"] = theirs[f"vit.layernorm.{part}"]
        tensors[f"head.{part}"] = theirs[f"classifier.{part}"]
        for n in range(3):
            layer, block = f"vit.encoder.layer.{n}", f"blocks.{n}"
            qkv = [
                theirs[f"{layer}.attention.attention.{q}.{part}"] for q in ("query", "key", "value")
            ]
            tensors[f"{block}.attn.qkv.{part}"] = np.concatenate(qkv)
            for mine, its in {
                "norm1": "layernorm_before",
                "norm2": "layernorm_after",
                "attn.proj": "attention.output.dense",
                "mlp.fc1": "intermediate.dense",
                "mlp.fc2": "output.dense",
            }.items():
                tensors[f"{block}.{mine}.{part}"] = theirs[f"{layer}.{its}.{part}"]
    folder.mkdir()
    save(tensors, folder / "model.safetensors")
    config = {"architecture": "vit_tiny_patch14_42", "num_classes": 7, "global_pool": "token"}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


Plant = Callable[[VisionConfig], VisionConfig]


def in_layers(change: Callable[[Any], Any]) -> Plant:
    """Return a fault in every sublayer."""

    def plant(config: VisionConfig) -> VisionConfig:
        layers = tuple(
            attrs.evolve(layer, sublayers=tuple(change(s) for s in layer.sublayers))
            for layer in config.tower.layers
        )
        return attrs.evolve(config, tower=attrs.evolve(config.tower, layers=layers))

    return plant


def with_option(kind: str, **options: Any) -> Callable[[Any], Any]:
    """Return a change of a sublayer's mixer or norm."""

    def change(sublayer: Any) -> Any:
        part = "norm" if kind == "norm" else "mixer"
        component = getattr(sublayer, part)
        if component.kind != kind:
            return sublayer
        changed = attrs.evolve(component, options={**component.options, **options})
        return attrs.evolve(sublayer, **{part: changed})

    return change


def in_tower(**changes: Any) -> Plant:
    """Return a fault in the tower itself."""

    def plant(config: VisionConfig) -> VisionConfig:
        return attrs.evolve(config, tower=attrs.evolve(config.tower, **changes))

    return plant


def without_a_layer(config: VisionConfig) -> VisionConfig:
    """Plant a layer too few."""
    tower = attrs.evolve(config.tower, layers=config.tower.layers[:-1])
    return attrs.evolve(config, tower=tower)


def shifted_positions(graph: Graph) -> Graph:
    """Plant positions that belong to the neighbour."""
    source = graph.weights["positions"].source
    assert source is not None
    numbers = source.raw().view(np.float32).reshape(source.rows, source.cols)
    moved = attrs.evolve(graph.weights["positions"], source=Constant.of(np.roll(numbers, 1, 0)))
    return attrs.evolve(graph, weights={**graph.weights, "positions": moved})


def antialiased(config: VisionConfig) -> VisionConfig:
    """Plant the other way of stretching positions."""
    return in_tower(antialias=not config.tower.antialias)(config)


FAULTS: dict[str, tuple[str, Plant | None, Callable[[Graph], Graph] | None]] = {
    "epsilon": ("classifier", in_layers(with_option("norm", eps=1e-3)), None),
    "gelu by tanh": ("features", in_layers(with_option("ffn", activation="gelu_tanh")), None),
    "quick gelu": ("classifier", in_layers(with_option("ffn", activation="quick_gelu")), None),
    "causal": ("classifier", in_layers(with_option("attention", mask="causal")), None),
    "scale": ("features", in_layers(with_option("attention", scale=0.25)), None),
    "a layer too few": ("classifier", without_a_layer, None),
    "no bias of patches": ("features", in_tower(patch_bias=False), None),
    "positions shifted": ("classifier", None, shifted_positions),
    "positions antialiased": ("smaller", antialiased, None),
    "pooled without tanh": (
        "features",
        lambda config: attrs.evolve(config, pool_activation="sigmoid"),
        None,
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(make: Make, fault: str) -> None:
    name, change, rewrite = FAULTS[fault]
    made = make(name)
    family = vit.CLASSIFIER if CASES[name].kind == CLASSIFIER else vit.FEATURES
    # What the fault leaves out would be refused as unused; the numbers are to be the ones to tell.
    found = run(made, family, change, rewrite)
    errors = [
        np.abs(found[output].reshape(expected.shape) - expected).max() / expected.std()
        for output, expected in made.outputs.items()
    ]
    assert max(errors) > 2 * TOLERANCE


def test_without_a_fault_the_same_way_agrees(make: Make) -> None:
    for name, family in (("classifier", vit.CLASSIFIER), ("smaller", vit.CLASSIFIER)):
        made = make(name)
        found = run(made, family, None, None)
        for output, expected in made.outputs.items():
            error = np.abs(found[output].reshape(expected.shape) - expected).max()
            assert error / expected.std() <= TOLERANCE


def run(
    made: Made, family: Family, change: Plant | None, rewrite: Callable[[Graph], Graph] | None
) -> dict[str, np.ndarray]:
    """Run a checkpoint on numpy with a fault in it."""
    host = default_host()
    deaf = attrs.evolve(family, ignores=(Ignore("*", "a planted fault leaves it out"),))
    checkpoint = SAFETENSORS.open(made.folder)
    config = synapse_config(family, checkpoint)
    config = change(config) if change else config
    graph = bind_weights(build_graph(family, config, host, None, made.size), deaf, checkpoint)
    graph = optimise(rewrite(graph) if rewrite else graph)
    count = len(made.pixels)
    table = rows(*((slot, 0, 1) for slot in range(count)))
    call = Call("encode_image", {"pixels": made.pixels.reshape(count, -1)}, {"images": table})
    limits = Limits(rows={"images": count}, slots=count, positions=1)
    return Run("vit", graph, (call,), limits).run(NumpyBackend())[0]


def synapse_config(family: Family, checkpoint: Any) -> VisionConfig:
    """Read the config as the api does."""
    from synapse_core.families import model_config

    config = model_config(family, checkpoint)
    assert isinstance(config, VisionConfig)
    return config
