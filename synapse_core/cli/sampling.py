"""From options to a sampler: the command line before the model's files before our defaults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import attrs

from synapse_core.errors import UsageError

if TYPE_CHECKING:
    from synapse_core.api import Model
    from synapse_core.generate import Penalties, Sampler, Settings


@attrs.frozen
class Sampling:
    """What the sampling options said; None where they were silent."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    seed: int | None = None
    greedy: bool = False
    sampler: str | None = None
    repetition_penalty: float | None = None
    repetition_window: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: Sequence[str] = ()
    stop: Sequence[str] = ()

    def make(self, model: Model) -> Sampler:
        """Return the sampler.

        Raises: UsageError for options that exclude each other or make no sense.
        """
        from synapse_core.generate import Greedy, make_sampler

        drawn = (self.temperature, self.top_k, self.top_p, self.min_p, self.seed)
        others = any(option is not None for option in drawn)
        if (self.greedy and self.sampler) or (others and (self.greedy or self.sampler)):
            raise UsageError("--greedy and --sampler take no other option of drawing")
        if self.sampler:
            from synapse_core.plugins import default_host

            found = default_host().get("sampler", self.sampler)
            sampler: Sampler = found() if isinstance(found, type) else found
            return sampler
        if self.greedy:
            return Greedy()
        wanted = _settings(model)
        return make_sampler(
            _first(self.temperature, wanted.temperature),
            int(_first(self.top_k, wanted.top_k)),
            _first(self.top_p, wanted.top_p),
            self.seed,
            _first(self.min_p, wanted.min_p),
        )

    def penalty(self, model: Model) -> Penalties:
        """Return the penalties; the model's files are not asked by --greedy and --sampler.

        Raises: UsageError for a bias that is no ID=VALUE.
        """
        from synapse_core.generate import Penalties, Settings

        wanted = Settings() if self.greedy or self.sampler else _settings(model)
        return Penalties(
            _first(self.repetition_penalty, wanted.repetition_penalty),
            int(_first(self.repetition_window, 0)),
            _first(self.frequency_penalty, 0.0),
            _first(self.presence_penalty, 0.0),
            dict(_bias(given) for given in self.logit_bias),
        )

    def stops(self, model: Model) -> tuple[str, ...]:
        """Return the strings that end a text: those given, else the model's own."""
        return tuple(self.stop) or _settings(model).stop


def _settings(model: Model) -> Settings:
    from synapse_core.generate import settings_of

    return settings_of(model.built.assets, str(model.built.path))


def _bias(given: str) -> tuple[int, float]:
    id, _, value = given.partition("=")
    try:
        return int(id), float(value)
    except ValueError:
        raise UsageError(f"--logit-bias {given!r}: expected ID=VALUE, as 42=-1.5") from None


def _first(said: float | None, otherwise: float) -> float:
    return otherwise if said is None else said
