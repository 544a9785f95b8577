"""`synapse new-plugin` writes what works, whole or not at all; `synapse check` judges it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from synapse_core.authoring import create, create_plugin
from synapse_core.errors import FileError, UsageError
from synapse_core.hookspecs import HOOK_OF_KIND, KINDS
from synapse_core.plugins import default_host

from .conftest import Place
from .faults import FAULTS
from .uses import MAKE_CHECKPOINT, USES, Use, shows

# One broken thing of every kind goes through the command line; backends' is the quickest to find.
BROKEN = {fault.kind: fault for fault in reversed(FAULTS)}


def start(folder: Path, kind: str, name: str = "mine") -> Path:
    return create_plugin(kind, name, folder / f"{kind}-{name}", default_host()).folder


@pytest.fixture(scope="module")
def all_kinds(tmp_path_factory):
    """One start of every kind, all installed together: their projects and where they are."""
    folder = tmp_path_factory.mktemp("all")
    (folder / "site").mkdir()
    place = Place(folder / "site")
    projects = {kind: start(folder, kind) for kind in KINDS}
    for project in projects.values():
        place.add(project)
    return place, projects


@pytest.fixture(scope="module")
def findings(all_kinds):
    """What `synapse check DIST --json` said of each, all asked in one process."""
    place, _ = all_kinds
    code = (
        "from synapse_core.cli.frame import run\n"
        f"for kind in {KINDS!r}:\n"
        "    code = run(['check', f'synapse-{kind}-mine'.replace('_', '-'), '--json'])\n"
        "    print('\\0', code, '\\0')\n"
    )
    parts = place.python("-c", code).stdout.split("\0")
    told = zip(KINDS, parts[0::2], parts[1::2], strict=False)
    return {kind: (int(code), json.loads(text)["findings"]) for kind, text, code in told}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_of_every_kind_keeps_its_contracts(findings, kind):
    code, found = findings[kind]
    assert code == 0, [finding for finding in found if finding["state"] == "failed"]
    assert {(finding["kind"], finding["name"]) for finding in found} == {(kind, "mine")}
    held = [finding["reason"] for finding in found if finding["state"] == "skipped"]
    assert all("cpu" in reason or "synapse[kernels]" in reason for reason in held), held
    assert len(found) > 4


def test_new_plugins_of_all_kinds_with_one_name_are_listed_together(all_kinds):
    place, _ = all_kinds
    listed = json.loads(place.synapse("plugins", "--json").stdout)["plugins"]
    found = {plugin["name"]: plugin for plugin in listed}
    for kind in KINDS:
        report = found[f"{kind}_mine"]
        assert report["distribution"] == f"synapse-{kind}-mine".replace("_", "-")
        assert (report["state"], len(report["provides"])) == ("ok", 1)
        assert (report["provides"][0]["kind"], report["provides"][0]["name"]) == (kind, "mine")


def test_the_tests_that_come_with_them_pass(all_kinds):
    place, projects = all_kinds
    folders = [str(project / "tests") for project in projects.values()]
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib")
    done = place.python("-m", "pytest", *options, *folders)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


WRITE_CHECKPOINT = """
import json
from pathlib import Path

import numpy as np
from synapse_model_mine.family import FAMILY, WEIGHTS
from synapse_model_mine.sample import SAMPLE

from synapse_core import registry
from synapse_core.families import Fields, build_graph

folder = Path("checkpoint")
folder.mkdir()
(folder / "config.json").write_text(json.dumps(SAMPLE["hf"]))
config = FAMILY.config["hf"](Fields("config.json", SAMPLE["hf"]))
for name, weight in build_graph(FAMILY, config, registry()).weights.items():
    if weight.source is None:
        layer = next((part for part in name.split(".") if part.isdigit()), "")
        theirs = WEIGHTS[name.replace(f".{layer}.", ".{n}.")].replace("{n}", layer)
        shape = (weight.cols,) if weight.rows == 1 else (weight.rows, weight.cols)
        np.save(folder / f"{theirs}.npy", np.ones(shape, np.float32))
"""


@pytest.fixture(scope="module")
def checkpoint(all_kinds):
    """A checkpoint of the new family, for the new loader, where all are installed."""
    place, _ = all_kinds
    done = place.python("-c", WRITE_CHECKPOINT)
    assert done.returncode == 0, done.stderr
    return place


@pytest.mark.parametrize(
    "command",
    [
        "inspect checkpoint",
        "graph checkpoint --stage mine",
        "logits checkpoint --tokens 1,2,3 --backend mine -o logits.npy",
        "mine checkpoint",
    ],
)
def test_they_work_together_as_their_readmes_say(checkpoint, command):
    done = checkpoint.synapse(*command.split())
    assert done.returncode == 0, done.stderr
    made = done.stdout.strip() or (checkpoint.folder / "logits.npy").exists()
    assert made


def test_the_sampler_is_used_by_its_name(all_kinds, shared_data):
    if "llama" not in default_host().names("model"):
        pytest.skip("no installed family reads llama")
    place, _ = all_kinds
    model = str(shared_data / "stories260K" / "hf")
    done = place.synapse("run", model, "-n", "5", "--sampler", "mine", "--backend", "numpy")
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """One start of every kind beside a family of `mine`s, and that family's checkpoint."""
    folder = tmp_path_factory.mktemp("used")
    place = Place(folder)
    for kind in KINDS:
        place.add(start(tmp_path_factory.mktemp("start"), kind))
    place.add(Path(__file__).parent / "all_parts")
    done = place.python(*MAKE_CHECKPOINT[1:])
    assert done.returncode == 0, done.stderr
    return place


def do(place: Place, use: Use) -> None:
    (program, *arguments), said = use
    done = (place.python if program == "python" else place.synapse)(*arguments)
    assert done.returncode == 0, f"{arguments}\n{done.stderr}"
    assert shows(done.stdout, said), f"{arguments}\n{done.stdout}"


@pytest.mark.parametrize("kind", KINDS)
def test_one_of_every_kind_is_used_by_its_verb(used, kind):
    if "cpu" not in default_host().names("backend") and any("cpu" in use[0] for use in USES[kind]):
        pytest.skip("synapse-backend-cpu is not installed")
    for use in USES[kind]:
        do(used, use)


def test_a_tokenizer_is_used_in_a_conversation(used):
    done = used.synapse("chat", "mixed", "-n", "3", "--greedy", "-v", stdin="there is\n")
    assert done.returncode == 0, done.stderr
    assert "5 prompt tokens" in done.stderr  # `there`, and the four letters behind it
    assert "3 tokens" in done.stderr


def test_two_tokenizers_for_one_folder_are_not_guessed_between(used):
    both = used.folder / "both"
    shutil.copytree(used.folder / "mixed", both)
    (both / "tokenizer.json").write_text("{}")
    done = used.synapse("tokenize", "both", "-p", "there")
    assert (done.returncode, done.stdout) == (3, "")
    assert "say --tokenizer core or --tokenizer mine" in done.stderr
    done = used.synapse("logits", "both", "--tokens", "1,2", "-o", "both.npy")
    assert done.returncode == 0, done.stderr
    done = used.synapse("tokenize", "both", "-p", "there", "--tokenizer", "mine")
    assert done.stdout == "261 257\n"


def test_a_target_that_is_not_there_and_a_folder_that_is_are_refused(used):
    (used.folder / "old").mkdir()
    for target, output, code, said in (
        ("nobody", "new", 2, "no target 'nobody' is installed; there are: mine"),
        ("mine", "old", 2, "old: is there already"),
        ("mine", "no/new", 3, "there is no folder no"),
    ):
        done = used.synapse("compile", "mixed", "--target", target, "-o", output)
        assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert list((used.folder / "old").iterdir()) == []
    assert not (used.folder / "new").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_broken_one_of_every_kind_fails_by_name(tmp_path, place, kind):
    fault = BROKEN[kind]
    file, old, new = (text.replace("NAME", "broken") for text in (fault.file, fault.old, fault.new))
    distribution = place.add(start(tmp_path, kind, "broken"), {file: (old, new)})
    done = place.synapse("check", distribution)
    assert done.returncode == 1
    line = f"failed   {kind} broken: {fault.contract}: "
    (failed,) = (text for text in done.stdout.splitlines() if text.startswith(line))
    assert fault.said in failed
    assert f"{kind} 'broken'" in done.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_its_files_say_what_they_are(tmp_path, kind):
    project = start(tmp_path, kind, "two-words")
    package = project / f"synapse_{kind}_two_words"
    files = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "README.md", "tests/test_two_words.py"} <= files
    assert HOOK_OF_KIND[kind] in (package / "plugin.py").read_text()
    for path in project.rglob("*.py"):
        text = path.read_text()
        compile(text, str(path), "exec")
        assert text.startswith('"""'), path
        assert max(map(len, text.splitlines())) <= 100, path
    assert "{{" not in "".join(p.read_text() for p in project.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "the first a letter"),
        ("Upper", "lower-case"),
        ("9lives", "the first a letter"),
        ("a b", "lower-case"),
        ("../up", "lower-case"),
        ("a--b", "parted by"),
        ("x" * 31, "at most 30"),
        ("import", "a word of Python"),
        ("gqa", "is installed already"),
    ],
)
def test_a_name_that_cannot_be_one_is_refused(tmp_path, name, problem):
    with pytest.raises(UsageError, match=problem):
        create_plugin("attention", name, tmp_path / "new", default_host())
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_is_refused(place):
    done = place.synapse("new-plugin", "atention", "mine")
    assert (done.returncode, "'atention'" in done.stderr) == (2, True)


def test_a_folder_that_is_there_is_refused_and_stays(place):
    (place.folder / "mine").mkdir()
    (place.folder / "mine" / "note.txt").write_text("mine")
    done = place.synapse("new-plugin", "norm", "mine", "-o", "mine")
    assert done.returncode == 2
    assert "is there already" in done.stderr
    assert [path.name for path in place.folder.rglob("*")] == ["mine", "note.txt"]


def test_the_folder_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    texts = create.render("norm", "mine")
    unwritable = {**texts, "README.md/below-a-file": "x"}
    monkeypatch.setattr(create, "render", lambda kind, name: unwritable)
    with pytest.raises(FileError, match="cannot be written"):
        create_plugin("norm", "mine", tmp_path / "new", default_host())
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_it_is_named_after_the_distribution(place):
    done = place.synapse("new-plugin", "quant_format", "nibbles", "--json")
    said = json.loads(done.stdout)
    assert said["folder"] == said["distribution"] == "synapse-quant-format-nibbles"
    files = {str(p.relative_to(place.folder / said["folder"])) for p in place.folder.rglob("*.*")}
    assert set(said["files"]) <= files


def test_a_distribution_that_is_not_installed_is_unavailable(place):
    done = place.synapse("check", "synapse-no-such")
    assert done.returncode == 4
    assert "no distribution 'synapse-no-such'" in done.stderr
    assert done.stdout == ""


def test_a_broken_plugin_is_unavailable_with_its_reason(tmp_path, place):
    edit = {"plugin.py": ("@hookimpl\n", "raise RuntimeError('not today')\n\n\n@hookimpl\n")}
    distribution = place.add(start(tmp_path, "norm"), edit)
    done = place.synapse("check", distribution)
    assert done.returncode == 4
    assert "RuntimeError: not today" in done.stderr


def test_a_part_that_cannot_be_imported_fails_by_name(tmp_path, place):
    edit = {"norm.py": ("import attrs\n", "import attrs\nimport no_such_module\n")}
    distribution = place.add(start(tmp_path, "norm"), edit)
    done = place.synapse("check", distribution)
    assert done.returncode == 1
    assert done.stdout.startswith("failed   norm mine: can be imported: ")
    assert "no_such_module" in done.stdout


def test_a_sample_path_without_a_colon_is_a_broken_record(tmp_path, place):
    edit = {"plugin.py": (".sample:SAMPLE", ".sample")}
    place.add(start(tmp_path, "norm"), edit)
    done = place.synapse("plugins", "--json")
    states = {plugin["name"]: plugin for plugin in json.loads(done.stdout)["plugins"]}
    assert states["norm_mine"]["state"] == "broken"
    assert "the sample 'synapse_norm_mine.sample'" in states["norm_mine"]["reason"]


def test_check_works_without_pytest(tmp_path, place):
    distribution = place.add(start(tmp_path, "ffn"))
    code = (
        "import sys; sys.modules['pytest'] = None\n"
        f"from synapse_core.cli import main; main(['check', {distribution!r}])"
    )
    done = place.python("-c", code)
    assert done.returncode == 0, done.stderr


def test_a_stranger_s_recurrent_op_and_its_attention_keep_their_contracts(place):
    distribution = place.add(Path(__file__).parents[1] / "third_party" / "acme")
    done = place.synapse("check", distribution)
    assert done.returncode == 0, done.stdout
    assert "ok       op acme.scan: reference is deterministic" in done.stdout


def test_what_the_core_provides_keeps_its_contracts(place):
    done = place.synapse("check", "synapse")
    assert done.returncode == 0, done.stderr
    assert "failed" not in done.stdout
