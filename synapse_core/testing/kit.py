"""The contracts as test classes: inherit one, say what the thing is, run pytest.

class TestMyAttention(AttentionContract):
    @pytest.fixture
    def thing(self):
        return MyAttention

    @pytest.fixture
    def sample(self):
        return {"heads": 4, "head_dim": 8}

`thing` is what the plugin's record names, a class or an object; `sample` what it is tried on
(`synapse_core.testing.sample`). Every contract of the kind is a test of its own name.
"""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from synapse_core.plugins import default_host
from synapse_core.testing.contracts import FAILED, SKIPPED, Contract, Subject, contracts_of, examine


class _Kit:
    kind: ClassVar[str]
    name: ClassVar[str | None] = None

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Make a test of every contract."""
        if "contract" in metafunc.fixturenames:
            found = contracts_of(self.kind)
            metafunc.parametrize("contract", found, ids=[contract.name for contract in found])

    @pytest.fixture
    def thing(self) -> Any:
        """Return the class or object under test."""
        raise NotImplementedError(f"{type(self).__name__} needs a fixture `thing`")

    @pytest.fixture
    def sample(self) -> Any:
        """Return what it is tried on; None where its kind needs nothing."""
        return None

    @pytest.fixture
    def subject(self, thing: Any, sample: Any) -> Subject:
        """Return the thing with its sample; its name is `name`, or what it says of itself."""
        said = self.name or getattr(thing, "name", None)
        if not isinstance(said, str) and isinstance(thing, type):
            said = getattr(_made(thing), "name", None)
        name = said if isinstance(said, str) else "thing"
        return Subject(self.kind, name, thing, default_host(), sample)

    def test_keeps_the_contract(self, subject: Subject, contract: Contract) -> None:
        """One contract holds."""
        finding = examine(contract, subject)
        if finding.state == SKIPPED:
            pytest.skip(finding.reason)
        if finding.state == FAILED:
            pytest.fail(f"{subject.kind} {subject.name!r}: {contract.name}: {finding.reason}")


def _made(factory: type) -> object:
    """Return an object of a class that needs no arguments, else None: components have no name."""
    try:
        return factory()
    except TypeError:
        return None


class AttentionContract(_Kit):
    """What every attention must do."""

    kind = "attention"


class FfnContract(_Kit):
    """What every feed-forward must do."""

    kind = "ffn"


class NormContract(_Kit):
    """What every normalisation must do."""

    kind = "norm"


class PositionContract(_Kit):
    """What every position must do."""

    kind = "position"


class QuantFormatContract(_Kit):
    """What every weight format must do."""

    kind = "quant_format"


class WeightLoaderContract(_Kit):
    """What every weight loader must do."""

    kind = "weight_loader"


class ModelContract(_Kit):
    """What every model family must do."""

    kind = "model"


class TokenizerContract(_Kit):
    """What every tokenizer must do."""

    kind = "tokenizer"


class PreprocessorContract(_Kit):
    """What every preprocessor must do."""

    kind = "preprocessor"


class SamplerContract(_Kit):
    """What every sampler must do."""

    kind = "sampler"


class OpContract(_Kit):
    """What every op must do."""

    kind = "op"


class PassContract(_Kit):
    """What every pass must do."""

    kind = "pass"


class TargetContract(_Kit):
    """What every target must do."""

    kind = "target"


class CommandContract(_Kit):
    """What every command must do."""

    kind = "command"
