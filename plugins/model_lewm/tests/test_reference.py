"""Against the public implementation, and faults that the tolerance must catch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import numpy as np
import pytest
from synapse_model_lewm import graph as own_graph
from synapse_model_lewm.family import FAMILY
from synapse_model_lewm.world_model import WorldModel

import synapse_core as synapse
from synapse_core.components import LayerNorm

from .cases import TINY, full
from .conftest import MakeTiny
from .public import TOLERANCE, Made, make, make_model, save

pytestmark = pytest.mark.reference
BACKENDS = ("numpy", "cpu")


def errors_of(made: Made, world: WorldModel) -> dict[str, float]:
    """Return the largest differences, of the deviation of what is compared."""
    frames, window = len(made.pixels), made.config["predictor"]["num_frames"]
    latents = world.encode_pixels(made.pixels)
    predicted = world.predict(made.latents[:window], made.actions[: min(frames, window)])
    rolled = world.rollout(latents, made.actions)
    pairs = {
        "encode": (latents, made.latents),
        "predict": (predicted, made.predicted[:window]),
        "rollout": (rolled, made.rolled),
    }
    for found, expected in pairs.values():
        assert found.shape == expected.shape
    return {
        name: float(np.abs(found - expected).max() / expected.std())
        for name, (found, expected) in pairs.items()
    }


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TINY)
def test_small_models_match_the_public_implementation(
    tiny: MakeTiny, name: str, backend: str
) -> None:
    made = tiny(name)
    assert 0.3 <= made.latents.std() <= 10
    assert 0.3 <= made.rolled[3:].std() <= 10
    with WorldModel.open(made.folder, backend=backend) as world:
        errors = errors_of(made, world)
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A random checkpoint of the published size."""
    return make(full(), tmp_path_factory.mktemp("full"), frames=3, steps=22)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_published_size_matches_the_public_implementation(
    published: Made, backend: str
) -> None:
    assert published.parameters == 18_034_478
    with WorldModel.open(published.folder, backend=backend) as world:
        assert world.model.built.program.host["parameters"] == 18_034_478
        errors = errors_of(published, world)
    assert max(errors.values()) <= TOLERANCE, errors


@pytest.mark.parametrize("size", [(25, 10), (10, 10), (30, 20)])
def test_another_size_of_images_has_the_public_positions(
    tiny: MakeTiny, size: tuple[int, int]
) -> None:
    import torch

    made = tiny("odd")
    pixels = np.random.default_rng(8).standard_normal((2, 3, *size)).astype(np.float32)
    with torch.no_grad():
        info = {"pixels": torch.from_numpy(pixels)[None]}
        expected = make_model(made.config).encode(info)["emb"][0].numpy()
    with synapse.load(made.folder, backend="cpu", image_size=size) as model:
        found = model.encode(pixels=pixels)
    assert np.abs(found - expected).max() <= TOLERANCE * expected.std()


def test_names_of_transformers_5_are_read_too(tiny: MakeTiny, tmp_path: Path) -> None:
    made = tiny("odd")
    save(make_model(made.config), made.config, tmp_path, "as they are now")
    with WorldModel.open(tmp_path, backend="numpy") as world:
        assert max(errors_of(made, world).values()) <= TOLERANCE


def test_a_pickle_becomes_a_folder_by_import_pt(tiny: MakeTiny, tmp_path: Path) -> None:
    import torch
    from click.testing import CliRunner

    from synapse_core.cli.frame import synapse

    from .public import published as named

    made = tiny("odd")
    torch.save(named(make_model(made.config).state_dict()), tmp_path / "weights.pt")
    (tmp_path / "config.json").write_text((made.folder / "config.json").read_text())
    command = ["import-pt", str(tmp_path / "weights.pt"), "-o", str(tmp_path / "model.safetensors")]
    done = CliRunner().invoke(synapse, command)
    assert done.exit_code == 0, done.output
    (tmp_path / "weights.pt").unlink()
    with WorldModel.open(tmp_path, backend="numpy") as world:
        assert max(errors_of(made, world).values()) <= TOLERANCE


# The window is full from the third step on: what a row sees of it counts.
def no_second_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(self: LayerNorm, g: object, x: object, w: object) -> object:
        inner = self.affine and ".predictor." in f".{w.prefix}." and "layers" in w.prefix
        return x if inner else plain(self, g, x, w)

    plain = LayerNorm.build
    monkeypatch.setattr(LayerNorm, "build", build)


def no_silu(monkeypatch: pytest.MonkeyPatch) -> None:
    def predict(g, latents, told, w, config):
        class Deaf:
            def __getattr__(self, name):
                return getattr(g, name)

            def op(self, op, *inputs, **options):
                if op == "activation" and options.get("kind") == "silu":
                    return inputs[0]
                return g.op(op, *inputs, **options)

        return plain(Deaf(), latents, told, w, config)

    plain = own_graph.predict
    monkeypatch.setattr(own_graph, "predict", predict)


def swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def modulated(g, x, shift, scale):
        return plain(g, x, scale, shift)

    plain = own_graph._modulated
    monkeypatch.setattr(own_graph, "_modulated", modulated)


def no_batch_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    def project(g, x, w, config):
        return plain(g, x, w, config and attrs.evolve(config, norm="none"))

    plain = own_graph.project
    monkeypatch.setattr(own_graph, "project", project)


def looks_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = own_graph.MultiHeadAttention

    def mixer(**options):
        return plain(**{**options, "mask": "full"})

    monkeypatch.setattr(own_graph, "MultiHeadAttention", mixer)


def fewer_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(g, w, config, registry):
        return plain(g, w, attrs.evolve(config, layers=config.layers // 2), registry)

    plain = own_graph.encode
    monkeypatch.setattr(own_graph, "encode", encode)


def scale_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from synapse_core.graph import WeightScope

    plain = WeightScope.vector

    def vector(self, name, size, transform=""):
        return plain(self, name, size)

    monkeypatch.setattr(WeightScope, "vector", vector)


def positions_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nowhere:
        def __init__(self, **options: object) -> None:
            pass

        def build(self, g, x, w):
            return x

    monkeypatch.setattr(own_graph, "Learned", Nowhere)


FAULTS: dict[str, tuple[str, Callable[[pytest.MonkeyPatch], None]]] = {
    "half of the encoder's layers": ("encode", fewer_layers),
    "shift and scale swapped": ("predict", swapped),
    "scale without one": ("predict", scale_without_one),
    "no second norm": ("predict", no_second_norm),
    "no SiLU": ("predict", no_silu),
    "no batch norm": ("encode", no_batch_norm),
    "no batch norm behind the predictor": ("predict", no_batch_norm),
    "not causal": ("predict", looks_ahead),
    "no positions": ("predict", positions_dropped),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_caught(
    tiny: MakeTiny, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, (where, plant) = tiny("odd"), FAULTS[fault]
    plant(monkeypatch)
    _deaf(monkeypatch)
    with WorldModel.open(made.folder, backend="numpy") as world:
        errors = errors_of(made, world)
    assert errors[where] > 4 * TOLERANCE, errors


def test_half_of_the_published_encoder_s_layers_is_caught(
    published: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer_layers(monkeypatch)
    _deaf(monkeypatch)
    with WorldModel.open(published.folder, backend="cpu") as world:
        error = np.abs(world.encode_pixels(published.pixels) - published.latents).max()
    assert error > 4 * TOLERANCE * published.latents.std()


def _deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be refused as unused: the numbers are to be the ones to tell."""
    monkeypatch.setattr("synapse_core.families.bind._check_unused", lambda *given: None)
    assert FAMILY.ignores
