"""Which family reads a checkpoint, and how one that none reads is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synapse_core.errors import FileError, PluginConflict, Unavailable
from synapse_core.families import Claim, Family, choose_family
from synapse_core.loaders import Checkpoint

PLACE = Path("model")
PLAIN = Family(name="plain", claims=(Claim(hf="PlainForCausalLM"),), config={}, weights={})
TAKEN_OVER = Family(
    name="taken",
    claims=(Claim(hf="TakenForCausalLM", replaces_code=True),),
    config={},
    weights={},
    refuses={"TakenMoeForCausalLM": "a mixture of experts"},
)
CODE = {"AutoModelForCausalLM": "modeling.Model"}


class Families:
    """A registry of nothing but families."""

    def __init__(self, *families: Family) -> None:
        self.families = {family.name: family for family in families}

    def names(self, kind: str) -> tuple[str, ...]:
        return tuple(sorted(self.families))

    def get(self, kind: str, name: str) -> Any:
        return self.families[name]

    def advice(self, kind: str, name: str) -> str:
        return "; advice"


def choose(architecture: str, *families: Family, **metadata: Any) -> Family:
    """Choose for a checkpoint of this architecture."""
    values = {"architectures": [architecture], **metadata}
    checkpoint = Checkpoint(PLACE, "hf", values, {}, PLACE)
    return choose_family(checkpoint, Families(*families or (PLAIN, TAKEN_OVER)))


def test_the_family_that_claims_the_architecture_is_chosen() -> None:
    assert choose("PlainForCausalLM") is PLAIN
    assert choose("TakenForCausalLM") is TAKEN_OVER


def test_an_architecture_that_looks_like_a_familys_is_refused_with_what_it_is() -> None:
    text = "'TakenMoeForCausalLM' is a mixture of experts; family 'taken' does not read it"
    with pytest.raises(Unavailable, match=text):
        choose("TakenMoeForCausalLM")


def test_a_refusal_gives_way_to_a_family_that_does_read_it() -> None:
    other = Family(name="a", claims=(Claim(hf="TakenMoeForCausalLM"),), config={}, weights={})
    assert choose("TakenMoeForCausalLM", other, TAKEN_OVER) is other


def test_an_unknown_architecture_is_refused_by_name_with_advice() -> None:
    with pytest.raises(
        Unavailable, match=r"no installed family reads .*'OtherForCausalLM'; advice"
    ):
        choose("OtherForCausalLM")


def test_an_unknown_architecture_of_a_megabyte_is_shortened() -> None:
    with pytest.raises(Unavailable, match=r"'xxxx.*…xxxx.*'; advice") as caught:
        choose("x" * (1 << 20))
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("architecture", ["PlainForCausalLM", "OtherForCausalLM"])
def test_a_checkpoint_with_code_of_its_own_is_refused(architecture: str) -> None:
    with pytest.raises(FileError, match="auto_map: the model brings its own code"):
        choose(architecture, auto_map=CODE)


def test_code_that_a_family_stands_in_for_is_passed_over() -> None:
    assert choose("TakenForCausalLM", auto_map=CODE) is TAKEN_OVER


def test_two_families_that_claim_one_architecture_are_both_named() -> None:
    second = Family(name="again", claims=PLAIN.claims, config={}, weights={})
    with pytest.raises(PluginConflict, match="'again' and 'plain'"):
        choose("PlainForCausalLM", PLAIN, second)


def test_a_config_without_the_key_is_known_by_others_or_refused() -> None:
    own = Family(
        name="own",
        claims=(Claim(hf="", when=lambda metadata: "d_model" in metadata),),
        config={},
        weights={},
    )
    known, other = ({"d_model": 4}, {"d_modal": 4})
    found = Checkpoint(PLACE, "hf", known, {}, PLACE)
    assert choose_family(found, Families(own, PLAIN)) is own
    for metadata in (other, {"architectures": [""], **other}):
        with pytest.raises(FileError, match=r"config\.json: architectures: "):
            choose_family(Checkpoint(PLACE, "hf", metadata, {}, PLACE), Families(own, PLAIN))
