"""The samples of a family, and what they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from synapse_core.families import Config, Family, Fields
from synapse_core.testing.contracts.contract import Skipped, Subject
from synapse_core.testing.sample import CheckpointSample


def samples(subject: Subject) -> Iterator[tuple[str, CheckpointSample]]:
    """Yield source and sample of each.

    Raises: Skipped when there is none.
    """
    found: Mapping[str, Mapping[str, Any] | CheckpointSample] = subject.needs_sample()
    for source in subject.thing.config:
        if source not in found:
            raise Skipped(f"the sample has no metadata of {source!r}")
        sample = found[source]
        yield source, sample if isinstance(sample, CheckpointSample) else CheckpointSample(sample)


def read(family: Family, source: str, sample: CheckpointSample) -> Config:
    """Return the config of a sample."""
    return family.config[source](Fields("config.json", sample.metadata, tensors=sample.opened()))


def architecture(source: str, metadata: Mapping[str, Any]) -> str:
    """Return the architecture that metadata name."""
    if source == "gguf":
        return str(metadata["general.architecture"])
    return str(metadata.get("architectures", [""])[0])
