"""What torch.save writes is read as the tensors it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synapse_core.api.import_pt import import_pt
from synapse_core.errors import FileError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.reference
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# How torch.save may be asked to write: its containers and its pickles' protocols.
WAYS: dict[str, dict[str, Any]] = {
    "zip": {},
    "legacy": {"_use_new_zipfile_serialization": False},
    "protocol_4": {"pickle_protocol": 4},
    "protocol_5": {"pickle_protocol": 5},
    "legacy_protocol_4": {"_use_new_zipfile_serialization": False, "pickle_protocol": 4},
}


def bits(tensor: Any) -> np.ndarray:
    """Return a tensor's numbers as unsigned integers of its shape."""
    plain = tensor.detach().contiguous()
    kind = {4: torch.int32, 2: torch.int16}[plain.element_size()]
    return plain.view(kind).numpy() if plain.ndim else plain.reshape(1).view(kind).numpy()[0]


def round_trip(folder: Path, saved: Any, expected: dict[str, Any], **ways: Any) -> Any:
    from safetensors.torch import load_file

    torch.save(saved, folder / "in.pt", **ways)
    done = import_pt(folder / "in.pt", folder / "out.safetensors")
    written = load_file(folder / "out.safetensors")
    assert set(written) == set(expected)
    for name, tensor in expected.items():
        assert written[name].dtype == tensor.dtype
        assert written[name].shape == tensor.shape, name
        np.testing.assert_array_equal(bits(written[name]), bits(tensor), err_msg=name)
    return done


def random_tensors(seed: int) -> dict[str, Any]:
    """Return tensors of all types and of shapes from scalars and nothing to five axes."""
    rng = np.random.default_rng(seed)
    made = {}
    for n in range(int(rng.integers(1, 40))):
        shape = tuple(int(size) for size in rng.integers(0, 7, size=rng.integers(0, 6)))
        numbers = torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
        made[f"layers.{n}.wäight"] = numbers.to(DTYPES[n % 3])
    return made


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("seed", range(5))
def test_random_dictionaries_come_back(tmp_path: Path, seed: int, ways: dict[str, Any]) -> None:
    tensors = random_tensors(seed)
    round_trip(tmp_path, tensors, tensors, **ways)


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_views_and_ties_come_back(tmp_path: Path, ways: dict[str, Any]) -> None:
    whole = torch.arange(24.0).reshape(4, 6)
    tensors = {
        "whole": whole,
        "tied": whole,
        "transposed": whole.T,
        "columns": whole[:, 1::2],
        "rows": whole[1:3],
        "last": whole[3, 5],
        "swapped": torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1).to(torch.bfloat16),
    }
    done = round_trip(tmp_path, tensors, tensors, **ways)
    assert done.tied == (("whole", "tied", "transposed"),)
    assert done.copied == ("transposed", "columns", "swapped")


@pytest.mark.parametrize("ways", WAYS.values(), ids=WAYS)
def test_state_of_a_module_comes_back(tmp_path: Path, ways: dict[str, Any]) -> None:
    model = torch.nn.Sequential(
        torch.nn.Embedding(11, 8), torch.nn.LayerNorm(8), torch.nn.Linear(8, 11, bias=False)
    )
    model[2].weight = model[0].weight
    state = model.state_dict()
    assert round_trip(tmp_path, state, state, **ways).tied == (("0.weight", "2.weight"),)
    parameters = dict(model.named_parameters())
    round_trip(tmp_path, parameters, parameters, **ways)


def test_checkpoint_of_a_training_run_gives_its_model(tmp_path: Path) -> None:
    model = torch.nn.Linear(5, 3)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(5)).sum().backward()
    optimizer.step()
    state = {
        "epoch": 3,
        "loss": 0.5,
        "state_dict": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "device": torch.device("cpu"),
        "dtype": torch.bfloat16,
        "size": torch.Size([1, 2]),
        "rng": torch.get_rng_state(),
    }
    assert round_trip(tmp_path, state, model.state_dict()).key == "state_dict"


def test_file_without_checksums_is_read(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        round_trip(tmp_path, {"w": torch.ones(9)}, {"w": torch.ones(9)})
    finally:
        torch.serialization.set_crc32_options(before)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda: torch.zeros(3, dtype=torch.float64), "float64"),
        (lambda: torch.zeros(3, dtype=torch.int64), "int64"),
        (lambda: torch.zeros(3, dtype=torch.bool), "bool"),
        (lambda: torch.zeros(3, dtype=torch.complex64), "complex64"),
        (lambda: torch.zeros(3, dtype=torch.float8_e4m3fn), "float8_e4m3fn"),
        (lambda: torch.zeros(3, dtype=torch.uint16), "uint16"),
        (lambda: torch.zeros(1).expand(5, 5), "repeats"),
        (lambda: torch.zeros(3, 3).to_sparse(), "_rebuild_sparse_tensor"),
        (lambda: torch.zeros(3, device="meta"), "_rebuild_meta_tensor"),
        (lambda: torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.qint8), "_rebuild_qtensor"),
        (lambda: torch.nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (lambda: np.float64(3.0), "numpy"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, made: Any, words: str) -> None:
    torch.save({"w": made()}, tmp_path / "in.pt")
    with pytest.raises(FileError, match=words):
        import_pt(tmp_path / "in.pt", tmp_path / "out.safetensors")


def test_torchscript_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "in.pt")
    with pytest.raises(FileError, match="__torch__"):
        import_pt(tmp_path / "in.pt", tmp_path / "out.safetensors")
