"""A deliberately broken thing fails each contract by its name, and a working one keeps it."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest

from synapse_core.authoring.create import render
from synapse_core.authoring.kinds import STARTS
from synapse_core.families import Family, ImageShape, image_input
from synapse_core.graph import WeightScope
from synapse_core.hookspecs import KINDS
from synapse_core.ops import Op, TensorType
from synapse_core.plugins import default_host
from synapse_core.testing import Finding, Subject, contracts_of, examine

from .faults import FAULTS, Fault

NEEDS_CPU = ("c kernel equals the reference", "c kernel refuses operands of another kind")
# Contracts whose breaking needs an op that leaks between rows, or two providers; see below.
ELSEWHERE = {
    "batched equals alone": ("attention", "position"),
    "rows are independent": ("ffn", "norm"),
    "natively equals numpy": ("attention", "ffn", "norm", "position"),
    "claims no other family s models": ("model",),
    "images alone equal images together": ("model",),
}


def require_native() -> None:
    if "cpu" not in default_host().names("backend"):
        pytest.skip("synapse-backend-cpu is not installed")
    pytest.importorskip("ziglang")


def load(folder: Path, kind: str, name: str, fault: Fault | None = None) -> Subject:
    """Write a start, break it, import it, and return it as a subject."""
    for path, text in render(kind, name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    package = f"synapse_{kind}_{name}"
    if fault is not None:
        file = folder / package / fault.file.replace("NAME", name)
        old, text = fault.old.replace("NAME", name), file.read_text()
        assert text.count(old) == 1, f"{file.name} has {text.count(old)} of {old!r}"
        file.write_text(text.replace(old, fault.new.replace("NAME", name)))
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        module = importlib.import_module(f"{package}.{STARTS[kind].module}")
        has_sample = STARTS[kind].sample
        sample = importlib.import_module(f"{package}.sample").SAMPLE if has_sample else None
    finally:
        sys.path.remove(str(folder))
    spelt = {"Camel": name.capitalize(), "UPPER": name.upper(), "name": name}
    thing = getattr(module, STARTS[kind].object.format(**spelt))
    return Subject(kind, name, thing, default_host(), sample)


def find(subject: Subject, contract: str) -> Finding:
    """Return how one contract goes."""
    (found,) = (c for c in contracts_of(subject.kind) if c.name == contract)
    return examine(found, subject)


@pytest.mark.parametrize(
    ("number", "fault"), list(enumerate(FAULTS)), ids=[f"{f.kind}-{f.contract}" for f in FAULTS]
)
def test_broken_thing_fails_the_contract_by_name(tmp_path, number: int, fault: Fault) -> None:
    if fault.contract in NEEDS_CPU:
        require_native()
    finding = find(load(tmp_path, fault.kind, f"bad{number}", fault), fault.contract)
    assert (finding.state, finding.kind) == ("failed", fault.kind)
    assert fault.said in finding.reason


def test_every_contract_has_a_broken_sample() -> None:
    broken = {(fault.kind, fault.contract) for fault in FAULTS}
    broken |= {(kind, contract) for contract, kinds in ELSEWHERE.items() for kind in kinds}
    component = ("attention", "ffn", "norm", "position")
    missing = []
    for kind in KINDS:
        # The four kinds of component share the functions: one broken sample of any is enough.
        kinds = component if kind in component else (kind,)
        for contract in contracts_of(kind):
            if not any((other, contract.name) in broken for other in kinds):
                missing.append((kind, contract.name))
    assert missing == []


@attrs.frozen
class Other:
    """The installed plugins with one thing in the place of theirs."""

    kind: str
    name: str
    thing: Any

    def get(self, kind: str, name: str) -> Any:
        if (kind, name) == (self.kind, self.name):
            return self.thing
        return default_host().get(kind, name)

    def names(self, kind: str) -> tuple[str, ...]:
        own = (self.name,) if kind == self.kind else ()
        return tuple(sorted({*default_host().names(kind), *own}))

    def advice(self, kind: str, name: str) -> str:
        return ""


def _leak(call: Any, inputs: Any, options: Any) -> Any:
    """Every row sees the mean of all rows of the call, whose slot they are in or not."""
    return (inputs[0] + inputs[0].mean(axis=0, keepdims=True),)


def _alike(inputs: Any, options: Any) -> tuple[TensorType, ...]:
    return (inputs[0],)


LEAK = Op("test.leak", "x + the mean over all rows", _alike, _leak)


class Leaky:
    def build(self, g: Any, x: Any, w: Any) -> Any:
        return g.op("test.leak", x)


def _leaky_family(leaks: bool) -> Family:
    """Return a family of one product over pixels, and what its images are told of each other."""

    def build(builder: Any, config: Any, registry: Any) -> None:
        g = builder.function("encode_image")
        shape = ImageShape(channels=3, height=4, width=4, patch=2)
        x = image_input(g, shape)
        x = g.op("test.leak", x) if leaks else x
        x = g.linear(x, WeightScope(builder).matrix("head.weight", 5, shape.cols))
        g.output("logits", x)

    toy = default_host().get("model", "llama")
    return attrs.evolve(toy, name="toy", build=build)


@pytest.mark.parametrize("leaks", [False, True])
def test_a_family_whose_images_see_each_other_is_found(leaks: bool) -> None:
    from synapse_model_decoder.samples import LLAMA

    subject = Subject("model", "toy", _leaky_family(leaks), Other("op", LEAK.name, LEAK), LLAMA)
    finding = find(subject, "images alone equal images together")
    assert finding.state == ("failed" if leaks else "ok"), finding
    assert ("'logits' of images together and of each alone differ" in finding.reason) == leaks


@pytest.mark.parametrize(
    ("kind", "contract", "said"),
    [
        ("attention", "batched equals alone", "a slot beside another and the same slot alone"),
        ("attention", "mixes rows of one slot only", "a row of slot 0 changes rows of slot 1"),
        ("position", "batched equals alone", "a slot beside another and the same slot alone"),
        ("ffn", "rows are independent", "six rows together and each alone: differ by"),
        ("norm", "rows are independent", "six rows together and each alone: differ by"),
    ],
)
def test_what_leaks_between_slots_or_rows_is_found(kind: str, contract: str, said: str) -> None:
    subject = Subject(kind, "leaky", Leaky, Other("op", LEAK.name, LEAK))
    finding = find(subject, contract)
    assert (finding.state, said in finding.reason) == ("failed", True), finding


def test_a_component_that_is_another_on_the_native_backend_is_found() -> None:
    require_native()
    linear = default_host().get("op", "linear")

    def reference(call: Any, inputs: Any, options: Any) -> Any:
        return tuple(y * 1.01 for y in linear.reference(call, inputs, options))

    changed = Other("op", "linear", attrs.evolve(linear, reference=reference))
    swiglu = default_host().get("ffn", "swiglu")
    finding = find(Subject("ffn", "swiglu", swiglu, changed), "natively equals numpy")
    assert (finding.state, finding.reason[:23]) == ("failed", "cpu and numpy differ by")


def test_two_families_that_claim_one_architecture_are_found(tmp_path) -> None:
    subject = load(tmp_path, "model", "claimed")
    twin = attrs.evolve(subject.thing, name="twin")
    subject = attrs.evolve(subject, registry=Other("model", "twin", twin))
    finding = find(subject, "claims no other family s models")
    assert finding.state == "failed"
    assert "'ClaimedForCausalLM' is claimed by 'claimed' and by 'twin'" in finding.reason


def test_without_a_sample_a_contract_is_skipped_and_says_what_to_name() -> None:
    class Odd:
        def __init__(self, unheard_of: int) -> None:
            pass

    finding = find(Subject("ffn", "odd", Odd, default_host()), "keeps the shape")
    assert (finding.state, "'unheard_of'" in finding.reason) == ("skipped", True)
    assert "sample" in finding.reason
