"""The LeWM that tools/train_lewm.py trains: against others', by the step, and what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch")
worlds = pytest.importorskip("synapse_model_lewm.worlds")
modelling = pytest.importorskip("lewm.model")
policies = pytest.importorskip("lewm.policies")
shape = pytest.importorskip("lewm.shape")
sizing = pytest.importorskip("lewm.sizes")
training = pytest.importorskip("train_lewm")

TINY = sizing.Sizes(
    width=24, layers=2, heads=3, ffn=40, projector=20, latent=8, depth=2, head=8, mlp=28
)


def random_model(seed: int):
    """A model none of whose tensors is as it starts, BatchNorm's statistics neither."""
    torch.manual_seed(seed)
    model = modelling.Lewm(TINY).eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point():
                tensor.add_(0.2 * torch.randn_like(tensor))
    return model


def some_pictures(count: int) -> np.ndarray:
    world = worlds.WORLDS["pushing"]
    return world.render(world.draw(np.random.default_rng(3), count), TINY.image)


def test_the_encoder_says_what_transformers_says() -> None:
    transformers = pytest.importorskip("transformers")
    model = random_model(1)
    config = transformers.ViTConfig(
        hidden_size=TINY.width,
        num_hidden_layers=TINY.layers,
        num_attention_heads=TINY.heads,
        intermediate_size=TINY.ffn,
        image_size=TINY.image,
        patch_size=TINY.patch,
    )
    other = transformers.ViTModel(config, add_pooling_layer=False).eval()
    pixels = torch.randn(3, 3, TINY.image, TINY.image)
    renamed = {_modern(name): value for name, value in model.encoder.state_dict().items()}
    theirs = renamed if set(renamed) == set(other.state_dict()) else model.encoder.state_dict()
    other.load_state_dict(theirs)
    with torch.no_grad():
        ours, expected = model.encoder(pixels), other(pixels).last_hidden_state[:, 0]
    assert float(expected.std()) > 0.1
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)


def _modern(name: str) -> str:
    """Return transformers 5's name of a tensor of transformers 4."""
    for old, new in (
        ("encoder.layer.", "layers."),
        ("attention.attention.query", "attention.q_proj"),
        ("attention.attention.key", "attention.k_proj"),
        ("attention.attention.value", "attention.v_proj"),
        ("attention.output.dense", "attention.o_proj"),
        ("intermediate.dense", "mlp.fc1"),
        ("output.dense", "mlp.fc2"),
    ):
        name = name.replace(old, new)
    return name


@pytest.mark.parametrize("backend", ["numpy", "cpu"])
def test_synapse_runs_what_was_trained(tmp_path: Path, backend: str) -> None:
    from synapse_model_lewm.world_model import WorldModel

    model = random_model(2)
    training.save(model, torch.optim.AdamW(model.parameters()), 0, tmp_path)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
        pictures, actions = some_pictures(3), torch.randn(3, 7, 2)
        latents = model.encode(torch.from_numpy(pictures))
        expected = model.rollout(latents, actions).numpy()
    with WorldModel.open(tmp_path, slots=3, backend=backend) as opened:
        begun = opened.encode(np.moveaxis(pictures, -1, 1))
        found = opened.rollout(begun[:, None], actions.numpy())
    scale = float(expected.std())
    assert scale > 0.1
    np.testing.assert_allclose(begun, latents.numpy(), atol=5e-4 * scale)
    np.testing.assert_allclose(found[:, 1:], expected, atol=5e-4 * scale)


def test_a_prediction_is_blind_to_what_comes_later() -> None:
    model = random_model(3)
    latents, actions = torch.randn(2, 3, TINY.latent), torch.randn(2, 3, 2)
    other = latents.clone()
    other[:, 2] += 1
    with torch.no_grad():
        first, second = model.predict(latents, actions), model.predict(other, actions)
    torch.testing.assert_close(first[:, :2], second[:, :2])
    assert float((first[:, 2] - second[:, 2]).abs().max()) > 1e-3


def test_sigreg_is_least_for_a_gaussian() -> None:
    draws = torch.Generator().manual_seed(4)
    normal = torch.randn(2, 512, 16, generator=draws)
    others = {
        "collapsed": torch.zeros_like(normal),
        "on a line": normal[..., :1].expand_as(normal),
        "too wide": 2 * normal,
        "off centre": normal + 1,
        "two heaps": torch.sign(normal[..., :1]).expand_as(normal),
    }
    least = float(modelling.sigreg(normal, torch.Generator().manual_seed(5)))
    for name, latents in others.items():
        assert float(modelling.sigreg(latents, torch.Generator().manual_seed(5))) > 10 * least, name


def test_sigreg_pushes_a_collapsed_encoder_apart() -> None:
    draws = torch.Generator().manual_seed(6)
    latents = (0.1 * torch.randn(1, 256, 8, generator=draws)).requires_grad_()
    modelling.sigreg(latents, draws).backward()
    outward = -(latents.grad * latents.detach()).sum(dim=(1, 2))
    assert float(outward) > 0


def test_training_goes_on_as_if_there_had_been_no_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "Sizes", lambda latent: TINY)
    monkeypatch.setattr(training, "report", lambda *told: None)
    common = ["--steps", "4", "--size", "8", "--every", "2"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    runner = CliRunner()
    for command in ([str(whole), *common], [str(halves), *common]):
        assert runner.invoke(training.train, command, catch_exceptions=False).exit_code == 0

    def interrupted(*given):
        if given[2][-1] == 3:
            raise KeyboardInterrupt
        return learn(*given)

    learn = training.learn
    monkeypatch.setattr(training, "learn", interrupted)
    again = tmp_path / "again"
    assert runner.invoke(training.train, [str(again), *common]).exit_code != 0
    monkeypatch.setattr(training, "learn", learn)
    runner.invoke(training.train, [str(again), *common, "--resume"], catch_exceptions=False)
    for name, expected in load_file(whole / "model.safetensors").items():
        np.testing.assert_array_equal(
            load_file(again / "model.safetensors")[name], expected, err_msg=name
        )


def test_what_is_written_has_published_names_and_fits(tmp_path: Path) -> None:
    model = modelling.Lewm(sizing.Sizes())
    training.save(model, torch.optim.AdamW(model.parameters()), 0, tmp_path)
    names = set(load_file(tmp_path / "model.safetensors"))
    assert {
        "encoder.encoder.layer.3.attention.attention.query.weight",
        "encoder.layernorm.bias",
        "projector.net.1.running_mean",
        "predictor.pos_embedding",
        "predictor.transformer.input_proj.weight",
        "predictor.transformer.layers.2.attn.to_out.0.bias",
        "predictor.transformer.layers.2.mlp.net.4.weight",
        "predictor.transformer.layers.2.adaLN_modulation.1.weight",
        "action_encoder.patch_embed.weight",
        "action_encoder.embed.2.bias",
    } <= names
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["predictor"]["num_frames"] == 3
    size = sum(path.stat().st_size for path in tmp_path.glob("*.[sj]*"))
    assert size <= 2_500_000


def test_windows_are_the_same_twice_and_follow_the_simulator() -> None:
    for world in worlds.WORLDS.values():
        first, again = (policies.windows(world, np.random.default_rng(7), 30, 3) for _ in range(2))
        for left, right in zip(first, again, strict=True):
            np.testing.assert_array_equal(left, right)
        states, actions = first
        assert np.abs(actions).max() <= 1
        for step in range(3):
            expected = worlds.act(world, states[:, step], actions[:, step])[-1]
            np.testing.assert_array_equal(states[:, step + 1], expected)


def test_many_windows_of_pushing_push() -> None:
    world = worlds.WORLDS["pushing"]
    states, _ = policies.windows(world, np.random.default_rng(8), 400, 3)
    moved = np.abs(states[:, -1, 2:] - states[:, 0, 2:]).max(axis=1) > 0.01
    assert 0.25 < moved.mean() < 0.9


def test_the_effective_rank_counts_directions() -> None:
    draws = np.random.default_rng(9).standard_normal((4000, 8))
    assert shape.collapse(draws)["rank"] == pytest.approx(8, abs=0.1)
    flat = draws[:, :2] @ np.ones((2, 8)) + 1e-9 * draws
    assert shape.collapse(flat)["rank"] == pytest.approx(1, abs=0.1)


def test_the_probe_tells_what_can_be_read_from_what_cannot() -> None:
    generator = np.random.default_rng(10)
    states = generator.uniform(size=(2000, 4))
    latents = np.hstack([states[:, :2] @ generator.standard_normal((2, 5)), states[:, 2:] * 0])
    found = shape.fit_places(latents, states)
    assert found["agent_r2"] == pytest.approx(1)
    assert found["agent_error"] < 1e-9
    assert abs(found["block_r2"]) < 0.05
    assert found["block_error"] == pytest.approx(0.25, abs=0.02)
