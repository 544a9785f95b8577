"""An op's options: completed, packed into the words of a record, and read back."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

from synapse_core.errors import GraphError
from synapse_core.ops.contract import Attribute, Op, Options, Scalar

ATTRIBUTE_WORDS = 12


def complete_options(op: Op, options: Options) -> dict[str, Scalar]:
    """Return the options with defaults filled in.

    Raises: GraphError naming op and option when one is missing, unknown, not a choice or not
    a number of its word's kind.
    """
    unknown = sorted(set(options) - {attribute.name for attribute in op.attributes})
    if unknown:
        raise GraphError(f"op {op.name!r} has no option {unknown[0]!r}")
    complete: dict[str, Scalar] = {}
    for attribute in op.attributes:
        value = options.get(attribute.name, attribute.default)
        if value is None:
            raise GraphError(f"op {op.name!r} needs option {attribute.name!r}")
        if attribute.kind == "enum" and value not in attribute.choices:
            choices = ", ".join(attribute.choices)
            raise GraphError(f"op {op.name!r}: {attribute.name}={value!r} is none of {choices}")
        complete[attribute.name] = _checked(op, attribute, value)
    return complete


def pack_attributes(op: Op, options: Options) -> tuple[int, ...]:
    """Return the 12 words of a record, in the order of `op.attributes`.

    Raises: GraphError as `complete_options` does, or when there are more than 12.
    """
    if len(op.attributes) > ATTRIBUTE_WORDS:
        raise GraphError(
            f"op {op.name!r} has {len(op.attributes)} attributes, a record {ATTRIBUTE_WORDS} words"
        )
    complete = complete_options(op, options)
    words = [_pack(op, attribute, complete[attribute.name]) for attribute in op.attributes]
    return (*words, *(0 for _ in range(ATTRIBUTE_WORDS - len(words))))


def unpack_attributes(op: Op, words: Sequence[int]) -> dict[str, Scalar]:
    """Return the options that `pack_attributes` packed.

    Raises: GraphError for the index of a choice that there is not, or words that the op lacks.
    """
    if len(words) < len(op.attributes) or any(words[len(op.attributes) :]):
        raise GraphError(
            f"op {op.name!r} has {len(op.attributes)} attributes, the record's words are"
            f" {list(words)}"
        )
    return {
        attribute.name: _unpack(op, attribute, word)
        for attribute, word in zip(op.attributes, words, strict=False)
    }


def _checked(op: Op, attribute: Attribute, value: Scalar) -> Scalar:
    if attribute.kind == "enum":
        return value
    what = f"op {op.name!r}: {attribute.name}={value!r}"
    if isinstance(value, (bool, str)):
        raise GraphError(f"{what} must be a number")
    if attribute.kind == "u32":
        if not math.isfinite(value) or value != int(value) or not 0 <= value < 1 << 32:
            raise GraphError(f"{what} must be a whole number below 2^32")
        return int(value)
    try:
        struct.pack("<f", value)
    except OverflowError:
        raise GraphError(f"{what} is too large for float32") from None
    if not math.isfinite(value):
        raise GraphError(f"{what} must be finite")
    return float(value)


def _pack(op: Op, attribute: Attribute, value: Scalar) -> int:
    if attribute.kind == "enum":
        return attribute.choices.index(str(value))
    if attribute.kind == "f32":
        return int.from_bytes(struct.pack("<f", float(value)), "little")
    return int(value)


def _unpack(op: Op, attribute: Attribute, word: int) -> Scalar:
    if attribute.kind == "enum":
        if word >= len(attribute.choices):
            raise GraphError(f"op {op.name!r}: {attribute.name} has no choice number {word}")
        return attribute.choices[word]
    if attribute.kind == "f32":
        return float(struct.unpack("<f", word.to_bytes(4, "little"))[0])
    return word
