"""The recurrent models that tools/train_state_space.py trains, against others' and by the step."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from little_world.vocabulary import VOCABULARY, train_tokenizer
from safetensors.numpy import load_file

pytestmark = pytest.mark.reference
torch = pytest.importorskip("torch")
mamba = pytest.importorskip("state_space.mamba")
rwkv7 = pytest.importorskip("state_space.rwkv7")
scan = pytest.importorskip("state_space.selective_scan")
chunked = pytest.importorskip("state_space.wkv7")
training = pytest.importorskip("train_state_space")

BUDGET = 1e-4
IDS = 3 * chunked.CHUNK + 5


def random_weights(model, seed: int):
    """Move every tensor off its start, so that none is nought or one."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(0.3 * tensor.std(correction=0).clamp(min=0.3) * torch.randn_like(tensor))
    return model.eval()


def random_ids(seed: int):
    return torch.randint(VOCABULARY, (2, IDS), generator=torch.Generator().manual_seed(seed))


def test_mamba_says_what_transformers_says() -> None:
    transformers = pytest.importorskip("transformers")
    model, ids = random_weights(mamba.Mamba(VOCABULARY), 1), random_ids(2)
    config = transformers.MambaConfig(**model.config())
    other = transformers.MambaForCausalLM(config).eval()
    found = other.load_state_dict(model.state_dict(), strict=False)
    assert found.unexpected_keys == []
    assert found.missing_keys in ([], ["lm_head.weight"])
    with torch.no_grad():
        ours, theirs = model(ids), other(ids, use_cache=False).logits
    assert float(theirs.std()) > 0.1
    assert float((ours - theirs).abs().max()) < BUDGET * max(1.0, float(theirs.std()))


def test_rwkv7_says_what_its_author_s_package_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("RWKV_V7_ON", "1"), ("RWKV_JIT_ON", "0"), ("RWKV_CUDA_ON", "0")):
        monkeypatch.setenv(name, value)
    reference = pytest.importorskip("rwkv.model")
    model, ids = random_weights(rwkv7.Rwkv7(VOCABULARY), 3), random_ids(4)
    torch.save(model.state_dict(), tmp_path / "model.pth")
    other = reference.RWKV(model=str(tmp_path / "model"), strategy="cpu fp32")
    with torch.no_grad():
        for ours, row in zip(model(ids), ids, strict=True):
            theirs, _ = other.forward(row.tolist(), None, full_output=True)
            assert float(theirs.std()) > 0.1
            assert float((ours - theirs).abs().max()) < BUDGET * max(1.0, float(theirs.std()))


def test_the_gradient_of_the_scan_is_that_of_its_differences() -> None:
    generator = torch.Generator().manual_seed(5)

    def number(*shape: int):
        return torch.randn(*shape, dtype=torch.double, generator=generator).requires_grad_()

    x, dt, a, b, c = (
        number(5, 3, 4),
        number(5, 3, 4),
        number(2, 4),
        number(5, 2, 3),
        number(5, 2, 3),
    )
    assert torch.autograd.gradcheck(scan.SelectiveScan.apply, (x, dt, a, b, c))


def test_the_native_scan_is_the_scan() -> None:
    pytest.importorskip("ziglang")
    native = pytest.importorskip("state_space.native_scan")
    generator = torch.Generator().manual_seed(7)

    def number(*shape: int):
        return torch.randn(*shape, generator=generator)

    dt = torch.nn.functional.softplus(number(40, 3, 48) - 1)
    given = (number(40, 3, 48), dt, -number(8, 48).exp(), number(40, 8, 3), number(40, 8, 3))
    weights = number(40, 3, 48)
    found = []
    for function in (scan.SelectiveScan, native.NativeScan):
        leaves = [tensor.clone().requires_grad_() for tensor in given]
        y = function.apply(*leaves)
        y.backward(weights)
        found.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for one, other in zip(*found, strict=True):
        assert float(one.abs().max()) > 1
        assert float((one - other).abs().max()) < 1e-5 * float(one.abs().max())


@pytest.mark.parametrize("decay", [-8.0, 0.0, 8.0], ids=["slow", "middling", "fast"])
def test_wkv7_by_chunks_is_wkv7_by_steps(decay: float) -> None:
    generator = torch.Generator().manual_seed(6)
    shape = (2, 3 * chunked.CHUNK, 2, 8)
    r, k, v, w, kk, a = (torch.randn(shape, generator=generator) for _ in range(6))
    log_w = -math.exp(-0.5) * torch.sigmoid(w + decay)
    kk, a = torch.nn.functional.normalize(kk, dim=-1), torch.sigmoid(a)
    given = (r, log_w, k, v, -kk, kk * a)
    state = torch.zeros(2, 2, 8, 8, dtype=torch.double)
    for t, row in enumerate(chunked.wkv7(*given).unbind(1)):
        rt, wt, kt, vt, at, bt = (tensor[:, t].double() for tensor in given)
        removed = (state @ at[..., None]) @ bt[..., None, :]
        state = state * wt.exp()[..., None, :] + removed + vt[..., None] @ kt[..., None, :]
        exact = (state @ rt[..., None])[..., 0]
        assert float((row - exact).abs().max()) < BUDGET


@pytest.mark.parametrize("family", ["mamba", "rwkv7"])
def test_a_training_that_was_interrupted_ends_as_one_that_was_not(
    tmp_path: Path, family: str
) -> None:
    train_tokenizer(1).save(str(tmp_path / "tokenizer.json"))

    def run(out: str, steps: int, *options: str) -> dict[str, np.ndarray]:
        command = [str(tmp_path / out), "--family", family, "--steps", str(steps), "--batch", "256"]
        spelling = ["--tokenizer", str(tmp_path / "tokenizer.json")]
        done = CliRunner().invoke(training.train, command + spelling + list(options))
        assert done.exit_code == 0, done.output
        return load_file(tmp_path / out / "model.safetensors")

    whole = run("whole", 6)
    half = run("half", 3)
    assert any(not np.array_equal(half[name], whole[name]) for name in whole)
    resumed = run("half", 6, "--resume")
    assert resumed.keys() == whole.keys()
    assert all(np.array_equal(resumed[name], whole[name]) for name in whole)
