"""How many tokens to guess: as many as have paid, none where guesses are wrong."""

from __future__ import annotations

import attrs

# How much of what is newly measured is believed.
TRUST = 0.25
# Where guessing does not pay it is tried again after so many tokens, then after twice as many.
FIRST_PAUSE, LONGEST_PAUSE = 16, 256
TRIED = 2


@attrs.define
class Pace:
    """Measures what calls of so many rows take and how often guesses hold.

    It decides by time, and time decides about nothing but time: the tokens are the same whatever is
    guessed. `most` guesses are made at once.

    Units: seconds.
    """

    most: int
    _held: float = attrs.field(default=0.4, init=False)
    _cost: dict[int, float] = attrs.field(factory=dict, init=False)
    _guess_s: float = attrs.field(default=0.0, init=False)
    _idle: int = attrs.field(default=0, init=False)
    _pause: int = attrs.field(default=FIRST_PAUSE, init=False)

    def length(self) -> int:
        """Return how many tokens to guess now."""
        if 1 not in self._cost:
            return 0
        best = max(range(self.most + 1), key=self._rate)
        if best:
            return best
        self._idle += 1
        return min(TRIED, self.most) if self._idle % self._pause == 0 else 0

    def called(self, rows: int, seconds: float, guess_s: float) -> None:
        """Note what a call took, and what each of its guesses did."""
        old = self._cost.get(rows)
        self._cost[rows] = seconds if old is None else old + TRUST * (seconds - old)
        if rows > 1:
            self._guess_s += TRUST * (guess_s / (rows - 1) - self._guess_s)

    def judged(self, guessed: int, right: int) -> None:
        """Note how many guesses of a call were right before the first wrong one."""
        for n in range(min(right + 1, guessed)):
            self._held += TRUST * ((n < right) - self._held)
        if right == guessed:
            self._pause = FIRST_PAUSE
        elif self._rate(0) >= max(self._rate(n) for n in range(self.most + 1)):
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _rate(self, guesses: int) -> float:
        """Return the tokens a second that so many guesses promise."""
        tokens = sum(self._held**n for n in range(guesses + 1))
        seconds = self._seconds(guesses + 1) + guesses * self._guess_s
        return tokens / seconds if seconds > 0 else tokens

    def _seconds(self, rows: int) -> float:
        """Return what so many rows take: as measured, or between or beyond what was."""
        if rows in self._cost:
            return self._cost[rows]
        below = max(n for n in self._cost if n < rows)
        above = min((n for n in self._cost if n > rows), default=None)
        if above is None:
            first = self._cost[1]
            each = max(0.0, (self._cost[below] - first) / (below - 1)) if below > 1 else 0.0
            return self._cost[below] + each * (rows - below)
        share = (rows - below) / (above - below)
        return self._cost[below] + share * (self._cost[above] - self._cost[below])
