"""Contracts of tokenizers: files to a tokenizer, text to ids and back."""

from __future__ import annotations

from synapse_core.errors import PluginConflict, PluginError, SynapseError
from synapse_core.generate import ASSETS, Stream, Tokenizer, TokenizerReader
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


# The core reads them, or every model's folder may have one.
CORE_FILES = (*ASSETS, "tokenizer.model", "README.md")


def read_sample(subject: Subject) -> Tokenizer:
    """Return the tokenizer that the reader makes of its sample."""
    reader: TokenizerReader = subject.made()
    made: Tokenizer = reader.read(dict(subject.needs_sample()), "sample")
    return made


@contract
def names_files_of_its_own(subject: Subject) -> None:
    """It says which files it reads: none of the core's, and no other reader claims them."""
    reader: TokenizerReader = subject.made()
    require(reader.name == subject.name, f"listed as {subject.name!r}, it says {reader.name!r}")
    require(reader.name != "core", "'core' is what the core's own tokenizers are called")
    files = reader.files
    plain = isinstance(files, tuple) and bool(files) and all(isinstance(f, str) for f in files)
    require(plain, f"files are {files!r}, they must be a tuple of one name or more")
    for file in files:
        require(bool(file) and not {*file} & {*"/\\"}, f"{file!r} is no name of a file in a folder")
        require(file not in CORE_FILES, f"{file!r} is not its own: any model may have one")
    for name in subject.registry.names("tokenizer"):
        if name == subject.name:
            continue
        try:
            other = subject.registry.get("tokenizer", name)
        except (PluginError, PluginConflict):
            continue
        theirs = set((other() if isinstance(other, type) else other).files)
        both = theirs <= {*files} or theirs >= {*files}
        require(not both, f"tokenizer {name!r} claims folders with {', '.join(files)} too")


@contract
def refuses_what_is_damaged(subject: Subject) -> None:
    """Files cut short, emptied or of nonsense are read or refused with a SynapseError."""
    reader: TokenizerReader = subject.made()
    sample = dict(subject.needs_sample())
    nonsense = (
        "",
        "\n",
        "{}",
        "[null]",
        "\x00\ud7ff\n" * 9,
        "-1 99999999999999999999 x\n",
        "[" * 5000,
    )
    for file in reader.files:
        require(file in sample, f"the sample has no {file!r}, which it reads")
        text = sample[file]
        cut = (text[: len(text) // 2], text[:-2], text[1:], text + text)
        for damaged in (*cut, *nonsense):
            _reads_or_refuses(reader, {**sample, file: damaged}, f"{file} of {damaged[:20]!r}…")
    empty = {**sample, **dict.fromkeys(reader.files, "")}
    read = _reads_or_refuses(reader, empty, "empty files")
    require(not read, "a tokenizer was made of empty files")


def _reads_or_refuses(reader: TokenizerReader, files: dict[str, str], what: str) -> bool:
    try:
        reader.read(files, "sample")
    except SynapseError:
        return False
    except Exception as error:
        problem = f"raised {type(error).__name__} ({error}), it must be a SynapseError"
        require(False, f"{what}: {problem}")
    return True


@contract
def ids_are_in_range(subject: Subject) -> None:
    """Every id is from 0 to size − 1, the special ones too."""
    tokenizer = read_sample(subject)
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
    tokenizer = read_sample(subject)
    for text in TEXTS:
        for special in (False, True):
            back = tokenizer.decode(tokenizer.encode(text, special=special))
            require(back == text, f"{text!r} came back as {back!r} (special={special})")


@contract
def pieces_make_the_text(subject: Subject) -> None:
    """The bytes of the ids, joined, are the text: what is streamed is what is decoded."""
    tokenizer = read_sample(subject)
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
    tokenizer = read_sample(subject)
    special = tokenizer.special
    ids = sorted({*special.ends, *([] if special.bos is None else [special.bos])})
    text = tokenizer.decode(ids)
    require(text == "", f"special ids {ids} decode to {text!r}")
    text = tokenizer.decode([tokenizer.size])
    require(text == "", f"id {tokenizer.size}, which there is not, decodes to {text!r}")


@contract
def encodes_what_it_decodes(subject: Subject) -> None:
    """Encoding adds nothing of its own where it is told not to."""
    tokenizer = read_sample(subject)
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
        names_files_of_its_own,
        refuses_what_is_damaged,
        ids_are_in_range,
        text_comes_back,
        pieces_make_the_text,
        special_tokens_are_no_text,
        encodes_what_it_decodes,
    )
}
