"""GPT-2's alphabet: how a token's text stands for bytes that need not be a text."""

from __future__ import annotations

from synapse_core.errors import InternalError


def _characters_of_bytes() -> dict[str, int]:
    """Printable Latin-1 bytes are themselves, the rest follow from U+0100 on."""
    table: dict[str, int] = {}
    moved = 0
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174:
            table[chr(byte)] = byte
        else:
            table[chr(256 + moved)] = byte
            moved += 1
    return table


BYTE_OF_CHARACTER = _characters_of_bytes()
if len(BYTE_OF_CHARACTER) != 256:
    raise InternalError("the byte alphabet must have 256 characters")
