"""Contracts of tokenizers: text to ids and back."""

from __future__ import annotations

from synapse_core.generate import Stream, Tokenizer
from synapse_core.testing.contracts.contract import Contract, Skipped, Subject, contract, require

TEXTS = (
    "",
    "a",
    "Once upon a time",
    " two  spaces ",
    "línea ñ\n\ttab",
    "日本語のテキスト",
    "🙂🙃 emoji",
    "3.14159",
)


@contract
def ids_are_in_range(subject: Subject) -> None:
    """Every id is from 0 to size − 1, the special ones too."""
    tokenizer: Tokenizer = subject.made()
    size = tokenizer.size
    require(size > 0, f"size is {size}")
    special = tokenizer.special
    ids = [*special.ends, *([] if special.bos is None else [special.bos])]
    for text in TEXTS:
        ids += tokenizer.encode(text, special=True)
    wrong = [id for id in ids if not (isinstance(id, int) and 0 <= id < size)]
    require(not wrong, f"id {wrong and wrong[0]!r} is not from 0 to {size - 1}")


@contract
def text_comes_back(subject: Subject) -> None:
    """decode(encode(text)) is the text, with special tokens and without."""
    tokenizer: Tokenizer = subject.made()
    for text in TEXTS:
        for special in (False, True):
            back = tokenizer.decode(tokenizer.encode(text, special=special))
            require(back == text, f"{text!r} came back as {back!r} (special={special})")


@contract
def pieces_make_the_text(subject: Subject) -> None:
    """The bytes of the ids, joined, are the text: what is streamed is what is decoded."""
    tokenizer: Tokenizer = subject.made()
    for text in TEXTS:
        ids = tokenizer.encode(text, special=False)
        stream = Stream(tokenizer)
        streamed = "".join([stream.add(id) for id in ids]) + stream.end()
        decoded = tokenizer.decode(ids)
        require(streamed == decoded, f"streamed {streamed!r}, decoded {decoded!r}")
        pieces = [tokenizer.piece(id) for id in ids]
        if text and all(piece is not None for piece in pieces):
            joined = b"".join(piece for piece in pieces if piece is not None).decode()
            joined = joined.removeprefix(" ") if tokenizer.leading_space else joined
            require(joined == decoded, f"pieces make {joined!r}, decoded {decoded!r}")


@contract
def special_tokens_are_no_text(subject: Subject) -> None:
    """What begins and ends a text decodes to nothing; so does an id that there is not."""
    tokenizer: Tokenizer = subject.made()
    special = tokenizer.special
    ids = sorted({*special.ends, *([] if special.bos is None else [special.bos])})
    text = tokenizer.decode(ids)
    require(text == "", f"special ids {ids} decode to {text!r}")
    text = tokenizer.decode([tokenizer.size])
    require(text == "", f"id {tokenizer.size}, which there is not, decodes to {text!r}")


@contract
def encodes_what_it_decodes(subject: Subject) -> None:
    """Encoding adds nothing of its own where it is told not to."""
    tokenizer: Tokenizer = subject.made()
    ids = tokenizer.encode("", special=False)
    require(ids == [], f"the empty text without special tokens is {ids}")
    ends = tokenizer.special.ends
    if not ends and tokenizer.special.bos is None:
        raise Skipped("it has no special tokens")
    for text in TEXTS:
        found = set(tokenizer.encode(text, special=False)) & {*ends, tokenizer.special.bos}
        require(not found, f"{text!r} without special tokens has the special ids {found}")


CONTRACTS: dict[str, tuple[Contract, ...]] = {
    "tokenizer": (
        ids_are_in_range,
        text_comes_back,
        pieces_make_the_text,
        special_tokens_are_no_text,
        encodes_what_it_decodes,
    )
}
