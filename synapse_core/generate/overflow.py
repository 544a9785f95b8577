"""What happens when the context is full before the answer is done."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from synapse_core.errors import UsageError

OVERFLOWS = ("stop", "slide", "error")
# Xiao et al. 2023, "Efficient Streaming Language Models with Attention Sinks": four are enough.
SINKS = 4


@attrs.frozen
class Overflow:
    """`policy` "stop" ends the answer, "error" raises, "slide" goes on with a part of the text.

    That part is the first `sinks` tokens and the last ones, half of the context together.
    """

    policy: str
    sinks: int
    positions: int

    @classmethod
    def of(cls, policy: str, sinks: int, positions: int) -> Overflow:
        """Check the options.

        Raises: UsageError for an unknown policy, or sinks that leave no room for the last token.
        """
        if policy not in OVERFLOWS:
            raise UsageError(f"overflow {policy!r}: must be {', '.join(OVERFLOWS[:-1])} or error")
        if policy == "slide" and not 0 <= sinks < positions // 2:
            raise UsageError(
                f"{sinks} sinks: a context of {positions} tokens slides with 0 to"
                f" {positions // 2 - 1}"
            )
        return cls(policy, sinks, positions)

    @property
    def recent(self) -> int:
        """How many of the last tokens are kept."""
        return self.positions // 2 - self.sinks

    def shortened(self, seen: Sequence[int]) -> list[int]:
        """Return what is kept of a text that is too long by one."""
        return [*seen[: self.sinks], *seen[len(seen) - self.recent :]]

    def note(self) -> str:
        """Say in one line what the model sees from now on."""
        return (
            f"the context of {self.positions} tokens is full: the model goes on with the first"
            f" {self.sinks} and the last {self.recent}"
        )

    def fail(self, made: int, wanted: int) -> None:
        """Raise UsageError where the policy is "error"."""
        if self.policy == "error":
            raise UsageError(
                f"the context of {self.positions} tokens is full after {made} of {wanted} tokens;"
                " ask for fewer (-n) or plan for more (--ctx)"
            )
