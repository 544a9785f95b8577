"""Finding the functions of pictures and captions in a program, by their names."""

from __future__ import annotations

import math
from collections.abc import Mapping

import attrs

from synapse_core.errors import UsageError
from synapse_core.families import ENCODE_IMAGE, PIXELS
from synapse_core.ops import I32, unpack_attributes
from synapse_core.ops.rows import PATCHES
from synapse_core.program import FunctionTable, Program, Tables, functions_of, header_of

ENCODE_TEXT = "encode_text"


@attrs.frozen(kw_only=True)
class ImagePorts:
    """Where pictures go in and what comes out: `outputs` are names, the family's natural first.

    `shape` is (channels, height, width) of an image; `most` how many go in one call; `each` how
    many rows an output has for an image.
    """

    shape: tuple[int, int, int]
    space: str
    most: int
    outputs: tuple[str, ...]
    each: Mapping[str, int]


@attrs.frozen(kw_only=True)
class CaptionPorts:
    """Where texts go in: ids over `tokens`, and the row of each text's last id."""

    ids: str
    ends: str
    tokens: str
    vocabulary: int
    most_tokens: int
    most_texts: int
    positions: int
    outputs: tuple[str, ...]
    # Outputs with a row for each token; the others have one for each text.
    by_token: frozenset[str]


def encoder_ports(program: Program) -> tuple[ImagePorts | None, CaptionPorts | None]:
    """Return the ports of `encode_image` and of `encode_text`, None for one that is not there.

    Raises: UsageError for functions of these names that are of another kind.
    """
    functions = functions_of(program)
    slots = int(header_of(program.image)["max_slots"])
    image, text = functions.get(ENCODE_IMAGE), functions.get(ENCODE_TEXT)
    return (
        _image_ports(image, program, slots) if image else None,
        _caption_ports(text, slots) if text else None,
    )


def _image_ports(function: FunctionTable, program: Program, slots: int) -> ImagePorts:
    ports = [port for port in function.inputs if port.name == PIXELS]
    if len(function.inputs) != 1 or not ports or not ports[0].type.space.is_base:
        raise UsageError(f"function {ENCODE_IMAGE!r} does not take {PIXELS!r} alone")
    space = ports[0].type.space.name
    each = {port.name: port.type.space.multiple for port in function.outputs}
    return ImagePorts(
        shape=_shape_of(function, program, ports[0].type.cols),
        space=space,
        most=min(function.max_rows[space], slots),
        outputs=tuple(each),
        each=each,
    )


def _shape_of(function: FunctionTable, program: Program, cols: int) -> tuple[int, int, int]:
    """Return channels, height and width: the record of `patches` says them.

    A function that cuts its images otherwise has square ones of three channels.
    """
    kernels = Tables.of(program.image, program.path or "program").kernel_names()
    for record in function.ops:
        if kernels[int(record["kernel"])] == PATCHES.name:
            options = unpack_attributes(PATCHES, record["attributes"])
            channels, height, width = (int(options[n]) for n in ("channels", "height", "width"))
            if channels * height * width == cols:
                return channels, height, width
    side = math.isqrt(cols // 3)
    if 3 * side * side != cols:
        raise UsageError(f"function {ENCODE_IMAGE!r} takes rows of {cols}; of what height is open")
    return 3, side, side


def _caption_ports(function: FunctionTable, slots: int) -> CaptionPorts:
    whole = [port for port in function.inputs if port.type.dtype == I32]
    ids = [port for port in whole if not port.type.limit_space]
    ends = [port for port in whole if port.type.limit_space]
    if len(function.inputs) != 2 or len(ids) != 1 or len(ends) != 1:
        raise UsageError(f"function {ENCODE_TEXT!r} does not take ids and their ends")
    tokens, texts = ids[0].type.space.name, ends[0].type.space.name
    return CaptionPorts(
        ids=ids[0].name,
        ends=ends[0].name,
        tokens=tokens,
        vocabulary=ids[0].type.limit,
        most_tokens=function.max_rows[tokens],
        most_texts=min(function.max_rows[texts], slots),
        positions=function.max_position[tokens],
        outputs=tuple(port.name for port in function.outputs),
        by_token=frozenset(p.name for p in function.outputs if p.type.space.base == tokens),
    )
