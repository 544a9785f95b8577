"""From options to a sampler: the command line before the model's files before our defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from synapse_core.errors import UsageError

if TYPE_CHECKING:
    from synapse_core.api import Model
    from synapse_core.generate import Sampler


@attrs.frozen
class Sampling:
    """What the sampling options said; None where they were silent."""

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    seed: int | None = None
    greedy: bool = False
    sampler: str | None = None

    def make(self, model: Model) -> Sampler:
        """Return the sampler.

        Raises: UsageError for options that exclude each other or make no sense.
        """
        from synapse_core.generate import Greedy, make_sampler, settings_of

        drawn = (self.temperature, self.top_k, self.top_p, self.seed)
        others = any(option is not None for option in drawn)
        if (self.greedy and self.sampler) or (others and (self.greedy or self.sampler)):
            raise UsageError("--greedy and --sampler take no other sampling option")
        if self.sampler:
            from synapse_core.plugins import default_host

            found = default_host().get("sampler", self.sampler)
            sampler: Sampler = found() if isinstance(found, type) else found
            return sampler
        if self.greedy:
            return Greedy()
        wanted = settings_of(model.built.assets, str(model.built.path))
        return make_sampler(
            _first(self.temperature, wanted.temperature),
            int(_first(self.top_k, wanted.top_k)),
            _first(self.top_p, wanted.top_p),
            self.seed,
        )


def _first(said: float | None, otherwise: float) -> float:
    return otherwise if said is None else said
