"""CLIP's tokenizer out of `bpe_simple_vocab_16e6.txt.gz`, and how its captions are cleaned.

Source: Radford et al. 2021; the file and the order of its tokens are those of OpenAI's CLIP.
"""

from __future__ import annotations

import json
import re
import unicodedata
import zlib
from pathlib import Path

from synapse_core.errors import FileError
from synapse_core.generate.byte_alphabet import BYTE_OF_CHARACTER
from synapse_core.generate.pre_tokenizers import PreTokenizer
from synapse_core.generate.tokenizer_spec import byte_level_spec, spec_text
from synapse_core.generate.vocabulary import CONTROL, NORMAL, Vocabulary

START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
# The file has more merges than the model has tokens: those that it was trained with come first.
MERGES = 49152 - 256 - 2
# The real file unpacks to 3.2 MB.
MOST_BYTES = 16 << 20
WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


def read_clip_merges(path: Path) -> list[str]:
    """Return the merges of the packed file, "left right", best first.

    Raises: FileError for a file that is no such list or unpacks to too much.
    """
    import gzip

    try:
        with gzip.open(path, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise FileError(path, f"cannot be unpacked: {error}") from None
    if len(data) > MOST_BYTES:
        raise FileError(path, f"unpacks to more than {MOST_BYTES} bytes")
    try:
        lines = data.decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise FileError(path, f"not UTF-8: {error.reason}", offset=error.start) from None
    if len(lines) <= MERGES:
        raise FileError(path, f"{len(lines)} lines, expected more than {MERGES}")
    return lines[1 : MERGES + 1]


def assets_of_clip(merges: list[str], file: object) -> dict[str, str]:
    """Return the texts of tokenizer.json and tokenizer_config.json.

    Raises: FileError naming the merge that makes no token.
    """
    bytes_first = [mark for mark, byte in BYTE_OF_CHARACTER.items() if mark == chr(byte)]
    bytes_first += [mark for mark, byte in BYTE_OF_CHARACTER.items() if mark != chr(byte)]
    texts = [*bytes_first, *(mark + WORD_END for mark in bytes_first)]
    texts += ["".join(merge.split(" ", 1)) for merge in merges]
    kinds = [NORMAL] * len(texts) + [CONTROL, CONTROL]
    vocabulary = Vocabulary.of([*texts, START, END], kinds, str(file), "merges")
    spec = byte_level_spec(vocabulary, merges, "merges", PreTokenizer((), composes=True))
    # Words only: what lies between them is dropped.
    spec["pre_tokenizer"]["pretokenizers"].insert(
        0,
        {"type": "Split", "pattern": {"Regex": WORDS}, "behavior": "Removed", "invert": True},
    )
    spec["normalizer"] = {
        "type": "Sequence",
        "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"},
        ],
    }
    spec["model"] |= {"end_of_word_suffix": WORD_END, "unk_token": END}
    spec["decoder"] = {
        "type": "Sequence",
        "decoders": [
            spec["decoder"],
            {"type": "Replace", "pattern": {"String": WORD_END}, "content": " "},
        ],
    }
    config = {"bos_token": START, "eos_token": END, "unk_token": END, "add_bos_token": True}
    return {
        "tokenizer.json": spec_text(spec, [(vocabulary.size - 1, END)]),
        "tokenizer_config.json": json.dumps(config),
    }


def clean_caption(text: str) -> str:
    """Return a caption as CLIP was trained on it.

    Quotes, ligatures and widths get one spelling, HTML's references are read, blanks become
    single and letters small. The package ftfy, by which OpenAI cleaned captions, also repairs
    wrongly decoded texts; nothing here does.
    """
    from html import unescape

    text = unescape(unescape(text)).translate(_SPELLINGS)
    text = re.sub(r"\s+", " ", _INVISIBLE.sub("", unicodedata.normalize("NFC", text)))
    return text.strip().lower()


_LIGATURES = {
    character: unicodedata.normalize("NFKC", chr(character))
    for character in (
        0x132,
        0x133,
        *range(0x1C4, 0x1CD),
        *range(0x1F1, 0x1F4),
        *range(0xFB00, 0xFB05),
    )
} | {0x149: "\u02bcn", 0xFB05: "\u017ft", 0xFB06: "st"}
_WIDTHS = {0x3000: " "} | {
    character: unicodedata.normalize("NFKC", chr(character)) for character in range(0xFF01, 0xFFF0)
}
_QUOTES = dict.fromkeys((0x2BC, *range(0x2018, 0x201C)), "'") | dict.fromkeys(
    range(0x201C, 0x2020), '"'
)
_SPELLINGS = {**_LIGATURES, **_WIDTHS, **_QUOTES}
# Controls that are no blanks, the byte order mark and the interlinear marks.
_INVISIBLE = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]")
