"""What a contract is: a name, and a function that raises when a thing does not keep it.

Contracts need no test runner: `synapse check` examines an installed thing with them, the test
classes of `synapse_core.testing` run the same functions under pytest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from synapse_core.errors import CheckFailed
from synapse_core.hookspecs import Registry

OK, FAILED, SKIPPED = "ok", "failed", "skipped"


class Skipped(Exception):
    """A contract has nothing to look at here; the text says what is missing."""


@attrs.frozen(eq=False)
class Subject:
    """A thing under examination: what was provided, and what to try it on."""

    kind: str
    name: str
    thing: Any
    registry: Registry
    sample: Any = None

    def made(self) -> Any:
        """Return the thing itself: a class is called without arguments, an object is as it is."""
        return self.thing() if isinstance(self.thing, type) else self.thing

    def needs_sample(self) -> Any:
        """Return the sample.

        Raises: Skipped when there is none.
        """
        if self.sample is None:
            raise Skipped("nothing to try it on: name a sample in Provides(…, sample=)")
        return self.sample


@attrs.frozen(eq=False)
class Contract:
    """One promise of a kind; `hold` raises CheckFailed, naming both sides, when it is broken."""

    name: str
    hold: Callable[[Subject], None]


@attrs.frozen
class Finding:
    """How one contract went: state ok, failed or skipped, and why."""

    kind: str
    name: str
    contract: str
    state: str
    reason: str = ""


def contract(hold: Callable[[Subject], None]) -> Contract:
    """Make a function a contract; its name is the contract's, with spaces."""
    return Contract(hold.__name__.replace("_", " "), hold)


def require(holds: bool, problem: str) -> None:
    """Check one fact.

    Raises: CheckFailed with the problem, which names what was found and what must be.
    """
    if not holds:
        raise CheckFailed(problem)


def examine(contract: Contract, subject: Subject) -> Finding:
    """Return how a contract went; nothing that the thing raises passes through but an interrupt."""
    finding = Finding(subject.kind, subject.name, contract.name, OK)
    try:
        contract.hold(subject)
    except Skipped as reason:
        return attrs.evolve(finding, state=SKIPPED, reason=str(reason))
    except CheckFailed as error:
        return attrs.evolve(finding, state=FAILED, reason=str(error))
    except Exception as error:
        said = " ".join(str(error).split()) or "without a word"
        return attrs.evolve(finding, state=FAILED, reason=f"raised {type(error).__name__}: {said}")
    return finding
