"""Rotary positions as config.json says them.

Two spellings are in use: `rope_theta` with `rope_scaling` (as published) and `rope_parameters`
(as transformers 5 saves it), there also one for each kind of layer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from synapse_core.components import SCALINGS, Scaling
from synapse_core.families import MOST_CONTEXT, ComponentConfig, Fields

FULL, SLIDING = "full_attention", "sliding_attention"
THETA = 10000.0
MOST_THETA = 1e12
LEAST_FACTOR, MOST_FACTOR = 1e-3, 1e6
TRAINED = "original_max_position_embeddings"
PARTIAL = "partial_rotary_factor"
# The first files of Phi-3 call longrope so.
TYPE_NAMES: Mapping[str, str] = MappingProxyType({"su": "longrope"})


@attrs.frozen(kw_only=True)
class RopeReader:
    """Reads the ropes of heads of `head_dim` columns in a model of `context` positions.

    `partial` says whether some columns may stay as they are. `known` are the scalings that the
    family has, `types` other names for them.
    """

    head_dim: int
    context: int
    partial: bool = False
    known: Collection[str] = tuple(SCALINGS)
    types: Mapping[str, str] = TYPE_NAMES

    def read(self, read: Fields, *, theta: float = THETA) -> ComponentConfig:
        """Return the rope of all layers; `theta` is that of a file which says none.

        Raises: FileError naming the key.
        """
        both = read.has("rope_parameters") and read.has("rope_scaling")
        if both and read.values["rope_parameters"] != read.values["rope_scaling"]:
            raise read.error("rope_scaling", "is given beside rope_parameters, and differs")
        key = "rope_parameters" if read.has("rope_parameters") else "rope_scaling"
        return self._rope(read, _inner(read, key), "rope_theta", theta)

    def read_kinds(
        self, read: Fields, *, sliding: float, full: float
    ) -> dict[str, ComponentConfig]:
        """Return the ropes of sliding and of full layers; the thetas are those of a silent file.

        Raises: FileError naming the key.
        """
        if read.has("rope_parameters"):
            if read.has("rope_scaling"):
                raise read.error("rope_scaling", "is given beside rope_parameters")
            kinds = read.object("rope_parameters")
            kinds.only((FULL, SLIDING))
            inner = {kind: _inner(kinds, kind) for kind in (FULL, SLIDING)}
        else:
            # Only full layers were ever stretched.
            inner = {FULL: _inner(read, "rope_scaling"), SLIDING: Fields(read.file, {})}
        return {
            FULL: self._rope(read, inner[FULL], "rope_theta", full),
            SLIDING: self._rope(read, inner[SLIDING], "rope_local_base_freq", sliding),
        }

    def _rope(self, read: Fields, inner: Fields, key: str, theta: float) -> ComponentConfig:
        """Return one rope: `inner` are its own parameters, `key` names its theta beside them."""
        theta = _either(read, key, inner, "rope_theta", theta, least=1, most=MOST_THETA)
        options = {"head_dim": self.head_dim, "theta": theta, "scaling": {}}
        part = _either(read, PARTIAL, inner, PARTIAL, 1.0, least=0, most=1)
        turned = int(self.head_dim * part)
        if part != 1:
            if not self.partial or turned < 2 or turned % 2:
                problem = f"found {part:g}; {turned} of a head's {self.head_dim} columns would turn"
                raise (inner if inner.has(PARTIAL) else read).error(PARTIAL, problem)
            options["rotary_dim"] = turned
        options["scaling"] = self._scaling(read, inner, turned // 2)
        return ComponentConfig("position", "rope", options)

    def _scaling(self, read: Fields, inner: Fields, pairs: int) -> dict[str, Any]:
        """Return a scaling's type and parameters, {} for none."""
        type, scaling = self._type(inner)
        inner.only(("rope_type", "type", "rope_theta", PARTIAL, *_spelt(type, scaling)))
        if type == "default":
            return {}
        values: dict[str, Any] = {"type": type}
        for name in scaling.parameters:
            values[name] = self._number(read, inner, type, name)
        for name in scaling.optional:
            found = inner.number(name, least=0, most=MOST_FACTOR, default=None)
            # 0 means "not given" to transformers too.
            if found:
                values[name] = found
        for name in scaling.lists:
            values[name] = _numbers(inner, name, pairs)
        for name in scaling.flags:
            if name in inner.values:
                values[name] = inner.flag(name)
        _check_order(inner, values, "low_freq_factor", "high_freq_factor", equal=False)
        both = {**scaling.optional, **values}
        _check_order(inner, both, "beta_slow", "beta_fast", equal=True)
        return values

    def _type(self, inner: Fields) -> tuple[str, Scaling]:
        found = {}
        for key in ("rope_type", "type"):
            if inner.has(key):
                found[key] = self.types.get(inner.text(key), inner.text(key))
                if found[key] not in self.known:
                    inner.choice(key, self.known)
        if len(set(found.values())) > 1:
            raise inner.error("type", f"found {found['type']}, rope_type is {found['rope_type']}")
        type = next(iter(found.values()), "default")
        return type, SCALINGS[type]

    def _number(self, read: Fields, inner: Fields, type: str, name: str) -> float:
        if name == TRAINED and type == "dynamic":
            return self.context
        if name == TRAINED:
            return self._trained(read, inner, type)
        if name == "factor" and type == "longrope" and not inner.has("factor"):
            return max(1.0, self.context / self._trained(read, inner, type))
        found: float = inner.number(name, least=LEAST_FACTOR, most=MOST_FACTOR)
        return found

    def _trained(self, read: Fields, inner: Fields, type: str) -> int:
        """Return the length before stretching; Phi-3 has it beside the scaling, not in it."""
        places = [fields for fields in (read, inner) if fields.has(TRAINED)]
        found: set[int] = {fields.whole(TRAINED, most=MOST_CONTEXT) for fields in places}
        if len(found) > 1:
            raise inner.error(TRAINED, f"found {inner.values[TRAINED]}, and another beside it")
        if not found and type == "yarn":
            return self.context
        if not found:
            raise inner.error(TRAINED, "is missing")
        return found.pop()


def stretched_context(context: int, rope: ComponentConfig) -> int:
    """Return for how many positions a model serves whose file says `context`.

    Where `dynamic` or `yarn` stretch, files often keep the length that the model was trained on.
    """
    scaling = rope.options["scaling"]
    if scaling.get("type") not in ("dynamic", "yarn"):
        return context
    return min(MOST_CONTEXT, max(context, int(scaling[TRAINED] * scaling["factor"])))


def _inner(read: Fields, key: str) -> Fields:
    return read.object(key) if read.has(key) else Fields(read.file, {}, f"{read.path}{key}.")


def _either(
    read: Fields, key: str, inner: Fields, name: str, default: float, *, least: float, most: float
) -> float:
    """Return a number that stands in one of two places, or in both and agrees."""
    outside = read.number(key, least=least, most=most) if read.has(key) else None
    inside = inner.number(name, least=least, most=most) if inner.has(name) else None
    if None not in (outside, inside) and outside != inside:
        raise inner.error(name, f"found {inside:g}, beside it stands {outside:g}")
    found = inside if outside is None else outside
    return default if found is None else found


def _spelt(type: str, scaling: Scaling) -> tuple[str, ...]:
    """Return the keys that a file may give for a scaling: a dynamic one's length is the model's."""
    return tuple(name for name in scaling.names if (type, name) != ("dynamic", TRAINED))


def _numbers(inner: Fields, key: str, count: int) -> list[float]:
    values = inner.values.get(key)
    if not isinstance(values, list) or len(values) != count:
        found = f"a list of {len(values)}" if isinstance(values, list) else type(values).__name__
        raise inner.error(key, f"found {found}, expected {count} numbers, one for each pair")
    items = Fields(inner.file, {f"{key}[{n}]": v for n, v in enumerate(values)}, inner.path)
    return [items.number(name, least=LEAST_FACTOR, most=MOST_FACTOR) for name in items.values]


def _check_order(
    inner: Fields, values: Mapping[str, Any], low: str, high: str, *, equal: bool
) -> None:
    if low not in values or high not in values:
        return
    found, bound = values[low], values[high]
    if found > bound or (found == bound and not equal):
        raise inner.error(low, f"found {found:g}, expected less than {high} {bound:g}")
