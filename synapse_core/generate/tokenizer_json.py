"""`tokenizer.json`, read by the `tokenizers` package under our own bounds."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs

from synapse_core.errors import FileError, UsageError
from synapse_core.generate.assets import REFUSED
from synapse_core.generate.byte_alphabet import BYTE_OF_CHARACTER
from synapse_core.generate.merges_check import check_merges, check_vocabulary, without_lists
from synapse_core.generate.model_files import TOKENIZER_JSON, Files, bytes_of, text_of
from synapse_core.generate.spec_check import check_spec
from synapse_core.generate.special_tokens import special_tokens
from synapse_core.generate.tokenizer import SpecialTokens, decode_pieces
from synapse_core.loaders.json_bounds import (
    TOKENIZER,
    TOKENIZER_VALUES,
    check_values,
    uncollected,
)
from synapse_core.loaders.json_parts import array_parts

if TYPE_CHECKING:
    import msgspec
    from tokenizers import Tokenizer as Engine

# From this size on a file's short parts are tried before its long ones.
LARGE = 1 << 20
MOST_TEXT = 16 << 20
PROBE = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab The quick — 你好 🚀\n\t1234567890 ___<<<"
# The keys of a file and of each kind of model that the engine has.
FILE_KEYS = (
    "version truncation padding added_tokens normalizer pre_tokenizer post_processor decoder model"
)
MODEL_KEYS = (
    "type vocab merges dropout unk_token unk_id continuing_subword_prefix end_of_word_suffix"
    " fuse_unk byte_fallback ignore_merges max_input_chars_per_word"
)
BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
SPACE_MARK = "▁"


@attrs.frozen(eq=False)
class JsonTokenizer:
    """A tokenizer out of `tokenizer.json` and the files beside it.

    `hidden` are the special tokens, which are no text; `written` the bytes of other added tokens.
    """

    engine: Engine
    special: SpecialTokens
    hidden: frozenset[int]
    to_bytes: Callable[[str], bytes] | None
    leading_space: bool
    file: str = "tokenizer.json"
    written: Mapping[int, bytes] = attrs.field(factory=dict)
    _one_at_a_time: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    @property
    def size(self) -> int:
        """How many ids there are, added ones included."""
        return self.engine.get_vocab_size(with_added_tokens=True)

    def encode(self, text: str, special: bool, *, literal: bool = False) -> list[int]:
        """Return the ids of a text; `literal`: special tokens' names in it are text like any other.

        Raises: UsageError for a text that is too long or has lone surrogates; FileError where the
        tokenizer's own rules fail on it.
        """
        if len(text) > MOST_TEXT:
            raise UsageError(f"a text of {len(text)} characters; at most {MOST_TEXT} at once")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the text is not Unicode: {error.reason}") from None
        ids = self._ids(text, special, literal)
        bos = self.special.bos
        if not special or bos is None:
            return ids
        if self.special.add_bos and ids[:1] != [bos]:
            return [bos, *ids]
        if (
            self.special.add_bos is False
            and ids[:1] == [bos]
            and self._ids(text, False, literal)[:1] != [bos]
        ):
            return ids[1:]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        if self.to_bytes is None:
            with _contained(self.file, "decoding"):
                return self.engine.decode(list(ids), skip_special_tokens=True)
        pieces = (self.piece(id) or b"" for id in ids)
        return decode_pieces(pieces, leading_space=self.leading_space)

    def piece(self, id: int) -> bytes | None:
        """Return the bytes that an id adds, None where the decoder looks at neighbours."""
        if self.to_bytes is None:
            return None
        if id in self.hidden:
            return b""
        if id in self.written:
            return self.written[id]
        token = self.engine.id_to_token(id)
        return b"" if token is None else self.to_bytes(token)

    def token_id(self, token: str) -> int | None:
        """Return the id of a token's exact text."""
        return self.engine.token_to_id(token)

    def _ids(self, text: str, special: bool, literal: bool) -> list[int]:
        # Whether special tokens are looked for is a setting of the engine, not of a call.
        with self._one_at_a_time, _contained(self.file, "encoding"):
            self.engine.encode_special_tokens = literal
            return list(self.engine.encode(text, add_special_tokens=special).ids)


def load_tokenizer(files: Files, where: str = "") -> JsonTokenizer:
    """Load a tokenizer from the texts of its files, by their names; `where` is for messages.

    The file stays bytes, and its merges are parsed some at a time: text and values of the largest
    real one take over 300 MB together.

    Raises: FileError naming the file and what is wrong with it.
    """
    name = f"{where}/tokenizer.json" if where else "tokenizer.json"
    if TOKENIZER_JSON not in files and REFUSED in files:
        raise FileError(where or "tokenizer", text_of(files, REFUSED))
    if TOKENIZER_JSON not in files:
        raise FileError(name, "missing; text needs it (ids alone do not: `synapse logits`)")
    data = bytes_of(files, TOKENIZER_JSON)
    spec = checked_spec(data, name)
    to_bytes, leading_space = _decoder(spec.get("decoder"))
    rest = without_lists(spec) if len(data) > LARGE else None
    # The engine needs as much again as the values that were just checked.
    del spec
    with _contained(name, "loading"):
        from tokenizers import Tokenizer as Engine

        if rest is not None:
            Engine.from_str(json.dumps(rest))
        engine = Engine.from_buffer(data)
        engine.no_truncation()
        engine.no_padding()
        engine.encode(PROBE)
    added = engine.get_added_tokens_decoder()
    hidden = frozenset(id for id, token in added.items() if token.special)
    # In a vocabulary of bytes, an added token alone stands for the characters that it shows.
    by_bytes = to_bytes is _byte_level
    written = {id: token.content.encode() for id, token in added.items() if by_bytes}
    special = special_tokens(files, engine.token_to_id, where)
    return JsonTokenizer(engine, special, hidden, to_bytes, leading_space, name, written)


def checked_spec(data: bytes, name: str) -> dict[str, Any]:
    """Parse and check a `tokenizer.json`; its merges are checked and left out of what is returned.

    Raises: FileError naming file and field.
    """
    if len(data) > TOKENIZER.file:
        raise FileError(name, f"has {len(data)} bytes; at most {TOKENIZER.file} are read")
    import msgspec

    try:
        with uncollected():
            parts = _fields(msgspec.Raw(data), FILE_KEYS, name)
            model, merges = parts.pop("model", None), None
            fields: dict[str, msgspec.Raw] = {}
            if model is not None and _opens_with(model, b"{"):
                fields = _fields(model, MODEL_KEYS, name)
                merges = fields.pop("merges", None)
            check_values(name, [*parts.values(), *fields.values()], TOKENIZER_VALUES)
            spec = {key: msgspec.json.decode(part) for key, part in parts.items()}
            if fields:
                spec["model"] = {key: msgspec.json.decode(part) for key, part in fields.items()}
            check_spec(spec, name)
            check_vocabulary(spec.get("model"), name)
            if merges is not None and _opens_with(merges, b"["):
                check_merges(spec.get("model", {}), array_parts(merges), name)
    except (ValueError, RecursionError) as error:
        raise FileError(name, f"not JSON: {error}") from None
    return spec


def _fields(part: msgspec.Raw, keys: str, name: str) -> dict[str, msgspec.Raw]:
    """Return the fields of an object that are known, unparsed; the others may be small."""
    import msgspec

    kind = msgspec.defstruct("object", [(key, msgspec.Raw, msgspec.Raw()) for key in keys.split()])
    found = msgspec.structs.asdict(msgspec.json.decode(part, type=kind))
    known = {key: value for key, value in found.items() if len(memoryview(value))}
    others = len(memoryview(part)) - sum(len(memoryview(value)) for value in known.values())
    if others > LARGE:
        what = "model" if keys is MODEL_KEYS else None
        raise FileError(name, f"{others} bytes are no part of a tokenizer", field=what)
    return known


def _opens_with(part: msgspec.Raw, mark: bytes) -> bool:
    return bytes(memoryview(part)[:1]) == mark


@contextmanager
def _contained(file: str, doing: str) -> Iterator[None]:
    """Turn everything that `tokenizers` throws, panics too, into a FileError."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, GeneratorExit, ImportError, FileError):
        raise
    except BaseException as error:
        # pyo3's PanicException derives from BaseException only.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        lines = str(error).splitlines() or [type(error).__name__]
        raise FileError(file, f"{doing} failed: {lines[0][:300]}") from None


def _decoder(spec: Any) -> tuple[Callable[[str], bytes] | None, bool]:
    """Return what turns a token into bytes, and whether a text's first space is not part of it."""
    steps = spec.get("decoders", []) if _kind(spec) == "Sequence" else [spec]
    kinds = [_kind(step) for step in steps]
    if kinds == ["ByteLevel"]:
        return _byte_level, False
    if kinds == ["ByteLevel", "Replace"]:
        end, content = _literal(steps[1]), steps[1].get("content")
        if end and content == " ":
            return _byte_level_words(end), False
    if kinds == ["Metaspace"]:
        mark = str(steps[0].get("replacement", SPACE_MARK))
        return _marked(mark), steps[0].get("prepend_scheme", "always") != "never"
    if kinds and set(kinds) <= {"Replace", "ByteFallback", "Fuse", "Strip"} and "Fuse" in kinds:
        replaces = [step for step in steps if _kind(step) == "Replace"]
        strips = [step for step in steps if _kind(step) == "Strip"]
        plain = [r for r in replaces if r.get("pattern") == {"String": SPACE_MARK}]
        wanted = [s for s in strips if (s.get("content"), s.get("stop")) == (" ", 0)]
        counts = [s.get("start") for s in wanted]
        spaces = len(plain) == len(replaces) == 1 and plain[0].get("content") == " "
        if spaces and len(wanted) == len(strips) and counts in ([], [0], [1]):
            return _marked(SPACE_MARK, bytes_too="ByteFallback" in kinds), counts == [1]
    return None, False


def _literal(step: dict[str, Any]) -> str | None:
    """Return what a replacement looks for, None where that is a pattern."""
    pattern = step.get("pattern")
    text = pattern.get("String") if isinstance(pattern, dict) else None
    return text if isinstance(text, str) else None


def _kind(step: Any) -> str:
    return str(step.get("type")) if isinstance(step, dict) else ""


def _marked(mark: str, *, bytes_too: bool = False) -> Callable[[str], bytes]:
    def convert(token: str) -> bytes:
        byte = BYTE_TOKEN.fullmatch(token) if bytes_too else None
        return bytes([int(byte[1], 16)]) if byte else token.replace(mark, " ").encode()

    return convert


def _byte_level_words(end: str) -> Callable[[str], bytes]:
    """Read tokens that carry a mark where a word ends, as CLIP's do."""

    def convert(token: str) -> bytes:
        stem = token.removesuffix(end)
        return _byte_level(stem) + (b" " if stem != token else b"")

    return convert


def _byte_level(token: str) -> bytes:
    try:
        return bytes(BYTE_OF_CHARACTER[character] for character in token)
    except KeyError:
        return token.encode()
