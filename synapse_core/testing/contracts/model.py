"""Contracts of model families: whom they claim, what they refuse, and that all is mapped."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from synapse_core.backends import NumpyBackend
from synapse_core.errors import FileError, PluginConflict, PluginError, SynapseError
from synapse_core.families import (
    Family,
    Made,
    Part,
    bind_weights,
    build_graph,
)
from synapse_core.families.bind import map_entry
from synapse_core.graph import Graph
from synapse_core.loaders import Checkpoint, FileTensor
from synapse_core.ops import RowTable
from synapse_core.passes import optimise
from synapse_core.program import Limits
from synapse_core.testing.agreement import MODEL_TOLERANCE
from synapse_core.testing.case import Case, fill_weights, rows
from synapse_core.testing.contracts.contract import Contract, Skipped, Subject, contract, require
from synapse_core.testing.contracts.model_images import images_alone_equal_images_together
from synapse_core.testing.contracts.model_samples import architecture, read, samples
from synapse_core.testing.sample import CheckpointSample

# What may stand in a config.json in the place of anything.
NONSENSE: tuple[Any, ...] = (None, -1, 0, 1.5, 10**30, "x", [], {}, True, [None], {"x": []})


def reads_back_only(family: Family, source: str) -> bool:
    """Whether a source is only what the family writes, as files that another one claims.

    Mistral's GGUF is a `llama`.
    """
    claimed = any(claim.gguf is not None for claim in family.claims)
    return source == "gguf" and family.to_gguf is not None and not claimed


@contract
def claims_no_other_family_s_models(subject: Subject) -> None:
    """No two installed families claim one architecture unconditionally, or one sample."""
    family: Family = subject.thing
    require(bool(family.claims), "it claims no architecture, so no checkpoint finds it")
    for name in subject.registry.names("model"):
        if name == subject.name:
            continue
        try:
            other: Family = subject.registry.get("model", name)
        except (PluginError, PluginConflict):
            continue
        for mine in family.claims:
            for theirs in other.claims:
                same = any(
                    a is not None and a == b
                    for a, b in ((mine.hf, theirs.hf), (mine.gguf, theirs.gguf))
                )
                both = same and mine.when is None and theirs.when is None
                shown = mine.hf or mine.gguf
                require(not both, f"{shown!r} is claimed by {family.name!r} and by {other.name!r}")
        if subject.sample is not None:
            for source, sample in samples(subject):
                if reads_back_only(family, source):
                    continue
                metadata = sample.metadata
                claimed = other.claim_of(source, architecture(source, metadata), metadata)
                require(claimed is None, f"its sample ({source}) is claimed by family {name!r} too")


@contract
def claims_its_sample(subject: Subject) -> None:
    """The sample's architecture is one that it claims, and its config is read as its own."""
    family: Family = subject.thing
    require(family.name == subject.name, f"listed as {subject.name!r}, it says {family.name!r}")
    for source, sample in samples(subject):
        config = read(family, source, sample)
        if not reads_back_only(family, source):
            named = architecture(source, sample.metadata)
            found = family.claim_of(source, named, sample.metadata)
            require(found is not None, f"it does not claim its own sample, architecture {named!r}")
            require(
                config.family == family.name,
                f"its config says family {config.family!r}, it is {family.name!r}",
            )
        again = type(config).from_json(config.to_json())
        require(again == config, "its config changes on the way through JSON")


@contract
def refuses_a_bad_config_by_key(subject: Subject) -> None:
    """An empty config, and any key that is nonsense, is read or refused with a FileError.

    Some keys may be anything, as they are not the family's; the sizes may not.
    """
    family: Family = subject.thing
    for source in family.config:
        empty = CheckpointSample({})
        require(_refused(family, source, empty, "an empty config"), "an empty config was read")
    for source, sample in samples(subject):
        refused, metadata = 0, sample.metadata
        for key in metadata:
            for value in NONSENSE:
                what = f"{key} = {value!r}"
                changed = attrs.evolve(sample, metadata={**metadata, key: value})
                refused += _refused(family, source, changed, what)
            short = {k: v for k, v in metadata.items() if k != key}
            refused += _refused(family, source, attrs.evolve(sample, metadata=short), f"no {key}")
        require(refused > 0, "no value of any key is ever refused")


def _refused(family: Family, source: str, sample: CheckpointSample, what: str) -> bool:
    try:
        read(family, source, sample)
    except FileError:
        return True
    except Exception as error:
        require(False, f"{what}: raised {type(error).__name__} ({error}), it must be a FileError")
    return False


@contract
def weight_map_covers_the_graph(subject: Subject) -> None:
    """Every weight has a tensor, no tensor fills two, and a checkpoint of just these binds."""
    family: Family = subject.thing
    for source, sample in samples(subject):
        require(source in family.weights, f"it reads {source}, its map of weights has none")
        graph = build_graph(family, read(family, source, sample), subject.registry)
        names = family.weights[source]
        tensors = sample.opened()
        filled: set[str] = set()
        for name, weight in graph.weights.items():
            if weight.source is not None:
                continue
            entry = map_entry(name, names)
            if entry is None:
                require(False, f"weight {name!r} of the graph has no tensor in the map of {source}")
                continue
            if isinstance(entry, Part):
                tensors[entry.tensor] = _zeros(entry.tensor, *_stacked_shape(entry, graph))
                continue
            shape: tuple[int, ...] = weight.stored or (weight.rows, weight.cols)
            if isinstance(entry, Made):
                shape, entry = entry.shape(*shape), entry.tensor
            if weight.make is None:  # several may be made of one tensor
                require(entry not in filled, f"tensor {entry!r} fills two weights of the graph")
                filled.add(entry)
            tensors[entry] = _zeros(entry, *shape)
        checkpoint = Checkpoint(Path("sample"), source, sample.metadata, tensors, Path("sample"))
        try:
            bind_weights(graph, family, checkpoint)
        except SynapseError as error:
            require(False, f"a checkpoint of just the mapped tensors does not bind: {error}")


def _zeros(name: str, *shape: int) -> FileTensor:
    shape = shape[1:] if shape[0] == 1 and len(shape) > 1 else shape
    data = np.zeros(4 * math.prod(shape), np.uint8)
    return FileTensor(name, shape, "f32", Path("sample"), 0, data)


def _stacked_shape(part: Part, graph: Graph) -> tuple[int, int]:
    weights = [graph.weights[name] for name in part.parts]
    widths = [weight.cols for weight in weights]
    if len(set(widths)) > 1:  # vectors, one behind the other
        return 1, sum(widths)
    return sum(weight.rows for weight in weights), widths[0]


@contract
def runs_in_chunks_as_in_one_call(subject: Subject) -> None:
    """A model of the sample's size, with random weights, runs on numpy: logits finite, causal."""
    family: Family = subject.thing
    for source, sample in samples(subject):
        config = read(family, source, sample)
        graph = optimise(fill_weights(build_graph(family, config, subject.registry), 61))
        if "forward" not in graph.functions:
            raise Skipped("it has no function 'forward' of tokens")
        ids = next(port for port in graph.functions["forward"].inputs if port.name == "ids")
        _run_both_ways(graph, ids.type.limit, subject)


def _run_both_ways(graph: Graph, vocabulary: int, subject: Subject) -> None:
    used = {node.op for node in graph.functions["forward"].nodes}
    ops = tuple(subject.registry.get("op", name) for name in sorted(used))
    limits = Limits(rows={"tokens": 16, "outputs": 16}, slots=1, positions=16, kv="f32")
    case = Case(subject.name, graph, (), limits, ops)
    ids = np.random.default_rng(62).integers(0, vocabulary, 9)

    def logits(*cuts: int) -> np.ndarray:
        session = NumpyBackend().open(case.executable())
        parts = []
        for a, b in itertools.pairwise(cuts):
            inputs = {"ids": ids[a:b], "select": np.arange(b - a)}
            table: RowTable = rows((0, a, b - a))
            parts.append(session.run("forward", inputs, {"tokens": table})["logits"])
        session.close()
        return np.concatenate(parts)

    whole, chunks = logits(0, 9), logits(0, 1, 6, 9)
    require(whole.shape == (9, vocabulary), f"logits are {whole.shape}, not {(9, vocabulary)}")
    require(bool(np.isfinite(whole).all()), "a logit is not finite")
    scale = float(whole.std()) or 1.0
    error = float(np.abs(whole - chunks).max()) / scale
    require(error <= MODEL_TOLERANCE, f"chunks and the whole differ by {error:.2g}")


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "model": (
        claims_no_other_family_s_models,
        claims_its_sample,
        refuses_a_bad_config_by_key,
        weight_map_covers_the_graph,
        runs_in_chunks_as_in_one_call,
        images_alone_equal_images_together,
    )
}
