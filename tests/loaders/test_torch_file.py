"""Torch pickles as safetensors: hand-made files, hostile ones, and the one that was trained."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file

from synapse_core.api.import_pt import Imported, import_pt
from synapse_core.api.source import open_checkpoint
from synapse_core.errors import FileError, UsageError
from synapse_core.plugins import default_host
from tests.loaders.hostile_torch_files import GOOD, good_files, hostile_files
from tests.loaders.torch_files import archive, dictionary, pickled, tensor, torch_zip, zipped

ROOT = Path(__file__).parents[2]
SIX = np.arange(6, dtype="<f4").reshape(2, 3)
# The promise of SECURITY.md for files of any content, here of a few kB to 3 MB.
MOST_CPU_S = 1.0
MOST_PEAK_BYTES = 256 << 20

# How the file's maker named what blinkdl's RWKV-7 calls otherwise.
RENAMED = (
    (r"^emb\.", "e."),
    (r"^head\.", "o."),
    (r"^ln_out\.", "lno."),
    (r"^blocks\.0\.att\.output\.bias", "rosa1.o.bias"),
    (r"^blocks\.1\.att\.output\.bias", "rosa2.o.bias"),
    (r"^blocks\.0\.(att|ffn)\.", r"\g<1>1."),
    (r"^blocks\.1\.(att|ffn)\.", r"\g<1>2."),
    (r"^blocks\.0\.ln(\d)\.", r"ln1\g<1>."),
    (r"^blocks\.1\.ln(\d)\.", r"ln2\g<1>."),
    (r"^att", "rwkv"),
    (r"^ln(\d)1\.", r"ln\g<1>a."),
    (r"^ln(\d)2\.", r"ln\g<1>b."),
)


def imported(folder: Path, data: bytes, **options: Any) -> tuple[Imported, dict[str, np.ndarray]]:
    """Import a file and read what was written with the safetensors package."""
    source, output = folder / "in.pth", folder / "out.safetensors"
    source.write_bytes(data)
    done = import_pt(source, output, **options)
    return done, load_file(output)


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `synapse import-pt` said to each hostile file and each control."""
    folder = tmp_path_factory.mktemp("hostile")
    canary = folder / "canary"
    files = {name: data for name, (data, _) in hostile_files(canary).items()}
    files |= {f"good {name}": data for name, data in good_files().items()}
    lines = []
    for name, data in files.items():
        source = folder / f"{name}.pth"
        source.write_bytes(data)
        lines.append(["import-pt", str(source), "-o", str(folder / f"{name}.safetensors")])
    (folder / "commands.json").write_text(json.dumps(lines))
    command = [sys.executable, "-m", "tests.forked", folder / "commands.json", folder / "report"]
    subprocess.run(command, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    found = json.loads((folder / "report").read_text())
    return {"folder": folder, "canary": canary, **dict(zip(files, found, strict=True))}


HOSTILE = {name: words for name, (_, words) in hostile_files(Path("canary")).items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_file_is_refused_in_one_line(name: str, refusals: dict[str, Any]) -> None:
    found = refusals[name]
    assert found["code"] == 3, found
    assert found["stderr"].count("\n") == 1
    assert f"{name}.pth" in found["stderr"]
    assert re.search(HOSTILE[name], found["stderr"]), found["stderr"]
    assert found["stderr"].isascii()
    assert len(found["stderr"]) < 600
    assert found["cpu_s"] < MOST_CPU_S
    assert found["peak_bytes"] < MOST_PEAK_BYTES
    assert not (refusals["folder"] / f"{name}.safetensors").exists()


def test_nothing_in_a_hostile_file_was_run(refusals: dict[str, Any]) -> None:
    assert not refusals["canary"].exists()
    assert len(HOSTILE) >= 120
    assert list(refusals["folder"].glob(".*")) == []


def test_what_was_not_run_runs_in_pickle(tmp_path: Path) -> None:
    # The canaries are no dummies: python's own machine obeys these files.
    canary = tmp_path / "canary"
    data = hostile_files(canary)["eval"][0]
    pickle = data[data.index(b"\x80\x02") : data.index(b"R.") + 2]
    load = "import pickle, sys; pickle.loads(sys.stdin.buffer.read())"
    subprocess.run([sys.executable, "-c", load], input=pickle, check=True)
    assert canary.exists()


@pytest.mark.parametrize("name", good_files())
def test_control_is_read(name: str, refusals: dict[str, Any]) -> None:
    found = refusals[f"good {name}"]
    assert found["code"] == 0, found
    written = load_file(refusals["folder"] / f"good {name}.safetensors") if name != "half" else {}
    if "w" in written:
        np.testing.assert_array_equal(written["w"].ravel(), SIX.ravel())
    with safe_open(refusals["folder"] / f"good {name}.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt"}


def test_views_are_made_contiguous_and_named(tmp_path: Path) -> None:
    done, written = imported(tmp_path, good_files()["views"])
    np.testing.assert_array_equal(written["t"], SIX.T)
    np.testing.assert_array_equal(written["row"], SIX[1])
    assert (done.copied, done.tied) == (("t",), ())


def test_a_large_view_is_written_in_parts_with_all_its_numbers(tmp_path: Path) -> None:
    numbers = np.arange(3 * 700_001, dtype="<f4").reshape(3, 700_001)
    views = {
        "t": tensor(shape=(700_001, 3), strides=(1, 700_001), count=numbers.size),
        "odd": tensor(shape=(3, 350_000), strides=(700_001, 2), offset=1, count=numbers.size),
    }
    _, written = imported(tmp_path, torch_zip(dictionary(views), {"0": numbers.tobytes()}))
    np.testing.assert_array_equal(written["t"], numbers.T)
    np.testing.assert_array_equal(written["odd"], numbers[:, 1::2][:, :350_000])


def test_tied_tensors_are_written_under_each_name_and_told(tmp_path: Path) -> None:
    done, written = imported(tmp_path, good_files()["tied"])
    assert done.tied == (("a", "b"),)
    np.testing.assert_array_equal(written["a"], written["b"])


def test_nested_dictionary_is_found_or_chosen(tmp_path: Path) -> None:
    assert imported(tmp_path, good_files()["nested"])[0].key == "state_dict"
    other = dictionary({"v": tensor()})
    two = torch_zip(dictionary({"model": GOOD, "ema": other, "state_dict": other}))
    with pytest.raises(FileError, match="under state_dict, model; choose one with --key"):
        imported(tmp_path, two)
    done, written = imported(tmp_path, two, key="ema")
    assert (done.key, list(written)) == ("ema", ["v"])
    with pytest.raises(FileError, match="'nothing': is no dictionary"):
        imported(tmp_path, two, key="nothing")


def test_tensors_of_other_types_can_be_left_out_by_name(tmp_path: Path) -> None:
    ids = tensor("1", (2,), (1,), count=2, kind="LongStorage")
    data = torch_zip(
        dictionary({"w": tensor(), "position_ids": ids}), {"0": SIX.tobytes(), "1": bytes(16)}
    )
    with pytest.raises(FileError, match=r"'position_ids'.*int64.*--without"):
        imported(tmp_path, data)
    done, written = imported(tmp_path, data, without=("*_ids",))
    assert (done.left_out, list(written)) == (("position_ids",), ["w"])


def test_the_name_of_the_output_is_checked(tmp_path: Path) -> None:
    source = tmp_path / "in.safetensors"
    source.write_bytes(good_files()["plain"])
    with pytest.raises(UsageError, match="is the input"):
        import_pt(source, source)
    (tmp_path / "link.safetensors").symlink_to(source)
    with pytest.raises(UsageError, match="is the input"):
        import_pt(source, tmp_path / "link.safetensors")
    (tmp_path / "hard.safetensors").hardlink_to(source)
    with pytest.raises(UsageError, match="is the input"):
        import_pt(source, tmp_path / "hard.safetensors")
    with pytest.raises(UsageError, match="must end in"):
        import_pt(source, tmp_path / "out.bin")
    (tmp_path / "d.safetensors").mkdir()
    with pytest.raises(FileError, match="is a folder"):
        import_pt(source, tmp_path / "d.safetensors")
    assert source.read_bytes() == good_files()["plain"]


def test_every_cut_of_a_file_is_refused(tmp_path: Path) -> None:
    for name in ("plain", "legacy"):
        data = good_files()[name]
        for length in range(0, len(data), 7):
            with pytest.raises(FileError):
                imported(tmp_path, data[:length])


def test_refusal_names_the_byte_in_the_file(tmp_path: Path) -> None:
    data = hostile_files(tmp_path / "canary")["os_system"][0]
    with pytest.raises(FileError) as refused:
        imported(tmp_path, data)
    assert refused.value.offset == data.index(b"cos\nsystem")
    assert refused.value.field == "entry 'archive/data.pkl'"


def test_folder_with_a_pickle_says_how_to_import_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    place = tmp_path / "pytorch_model.bin"
    place.write_bytes(zipped(archive(pickled(GOOD))))
    (tmp_path / "training_args.bin").write_bytes(b"")
    for path in (tmp_path, place):
        with pytest.raises(FileError, match=rf"synapse import-pt {re.escape(str(place))} -o "):
            open_checkpoint(path, default_host())


def test_trained_rwkv7_is_imported_as_its_makers_numbers(tmp_path: Path, shared_data: Path) -> None:
    place = shared_data / "rwkv7_reverse"
    done = import_pt(place / "260123_reverse_L2_only_rwkv7.pth", tmp_path / "x.safetensors")
    written = load_file(tmp_path / "x.safetensors")
    expected = load_file(place / "model_blinkdl.safetensors")
    assert (done.tensors, done.tied, done.copied) == (99, (), ())
    assert len(expected) == 73
    for name, numbers in expected.items():
        old = name
        for pattern, replacement in RENAMED:
            old = re.sub(pattern, replacement, old)
        assert written[old].shape == numbers.shape
        assert written[old].tobytes() == numbers.tobytes(), name
