"""A tokenizer.json as the keys of a GGUF file: the inverse of `gguf_vocabulary`.

GGUF names how a text is cut and does not say it, so of the BPEs over bytes only those whose way
has a name can be written; SentencePiece's are in `gguf_scored`. Whether the keys mean the same
tokenizer is tried on texts afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from synapse_core.errors import SynapseError
from synapse_core.generate.gguf_scored import NotExpressible, is_scored, scored_keys
from synapse_core.generate.gguf_special import special_keys
from synapse_core.generate.gguf_vocabulary import KEY, TOKENS, assets_of_gguf
from synapse_core.generate.model_files import TOKENIZER_JSON, Files, bytes_of, text_of
from synapse_core.generate.pre_tokenizers import PRE_TOKENIZERS
from synapse_core.generate.sentencepiece_model import Pieces
from synapse_core.generate.tokenizer_json import JsonTokenizer, checked_spec, load_tokenizer
from synapse_core.generate.tokenizer_spec import SPACE_MARK
from synapse_core.generate.vocabulary import CONTROL, NORMAL, UNUSED, USER_DEFINED

GPT2_PATTERNS = PRE_TOKENIZERS["gpt-2"].patterns
# What tells one way of cutting from another: case, contractions, digits, marks, blanks, scripts.
PROBES = (
    "Hello, world! It's 1234567 o'clock; WE'LL see.\n\n\tTabs  and   blanks \r\n end ",
    "naïve café e\u0301 ÅÅ ﬁ 你好，世界。 こんにちは привет, мир! 123,456.789",
    "def f(x):\n    return x**2  # ¡olé! 🙂🙂 <|im_start|>user</s>",
)
PROBED_TOKENS, PROBED_MARKS = 1000, 64
NAME = "general.name"
# What reading a file of another shape raises.
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)
SPACED_OFTEN = (
    "read from GGUF the tokenizer puts a space also before a text that begins with one, and behind"
    " each special token"
)


def gguf_tokenizer(
    assets: Files,
    rows: int,
    arch: str,
    file: str,
    *,
    names: Sequence[str] = ("",),
    pieces: Pieces | None = None,
) -> tuple[dict[str, Any], str | None]:
    """Return the keys of a model's tokenizer, or none and the reason.

    `rows` are those of the token table: ids without a token get a filler. Of `names` the
    first is taken by which the keys are understood. `pieces` are those of a tokenizer.model beside
    the tokenizer.json. A reason beside keys is what they do not say.
    """
    if TOKENIZER_JSON not in assets:
        return {}, "there is no tokenizer.json"
    try:
        data = bytes_of(assets, TOKENIZER_JSON)
        checked_spec(data, f"{file}/{TOKENIZER_JSON}" if file else TOKENIZER_JSON)
        spec = json.loads(data)
        config = json.loads(text_of(assets, "tokenizer_config.json", "{}"))
        texts: tuple[str, ...] = (*PROBES, _marked_probe(spec))
        note = None
        if is_scored(spec):
            keys, often = scored_keys(spec, config, rows, pieces)
            texts = (*texts, *_vocabulary_probes(keys[TOKENS], keys[f"{KEY}token_type"]))
            if often:
                note = SPACED_OFTEN
                marks = [token["content"] for token in spec.get("added_tokens") or ()]
                texts = tuple(t.lstrip() for t in texts if not any(mark in t for mark in marks))
        else:
            keys = _keys(spec, rows)
        original = load_tokenizer(assets, file)
        keys |= special_keys(assets, config, original)
        said = {**keys, "general.architecture": arch}
        keys[NAME] = _understood(original, said, file, texts, names)
    except NotExpressible as reason:
        return {}, str(reason)
    except SynapseError as error:
        return {}, str(error)
    except MALFORMED as error:
        return {}, f"tokenizer.json is not as expected: {error}"
    return keys, note


def _marked_probe(spec: Mapping[str, Any]) -> str:
    """Return a text with the first of the tokens that are found before any is made, and blanks."""
    added = (spec.get("added_tokens") or ())[:PROBED_MARKS]
    return "".join(f"a {token['content']} \n b{token['content']}c" for token in added)


def _vocabulary_probes(tokens: Sequence[str], kinds: Sequence[int]) -> tuple[str, ...]:
    """Return texts that some hundreds of the plain tokens, from all over, make: merge by merge."""
    plain = [token for token, kind in zip(tokens, kinds, strict=True) if kind == NORMAL]
    step = max(1, len(plain) // PROBED_TOKENS)
    chosen = [token.replace(SPACE_MARK, " ") for token in plain[::step]]
    return "".join(chosen), " ".join(reversed(chosen))


def _keys(spec: dict[str, Any], rows: int) -> dict[str, Any]:
    model = spec["model"]
    if model.get("type") != "BPE" or model.get("byte_fallback") or model.get("dropout"):
        raise NotExpressible("it is no byte-level BPE")
    if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix"):
        raise NotExpressible("its words have a prefix or suffix")
    tokens = {id: text for text, id in model["vocab"].items()}
    kinds = dict.fromkeys(tokens, NORMAL)
    for added in spec.get("added_tokens") or ():
        if any(added.get(flag) for flag in ("lstrip", "rstrip", "single_word")):
            raise NotExpressible(f"token {added['content']!r:.40} takes blanks with it")
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = CONTROL if added.get("special") else USER_DEFINED
    if max(tokens) >= rows:
        raise NotExpressible(f"token {max(tokens)} has no row in a table of {rows}")
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    if not merges:
        raise NotExpressible("it has no merges")
    return {
        f"{KEY}model": "gpt2",
        f"{KEY}pre": _pre_tokenizer(spec),
        TOKENS: [tokens.get(id, f"[PAD{id}]") for id in range(rows)],
        f"{KEY}token_type": [kinds.get(id, UNUSED) for id in range(rows)],
        f"{KEY}merges": merges,
    }


def _pre_tokenizer(spec: dict[str, Any]) -> str:
    """Return the name of the way that a text is cut."""
    found = spec.get("pre_tokenizer") or {}
    steps = found.get("pretokenizers") if found.get("type") == "Sequence" else [found]
    *splits, last = steps or [{}]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        raise NotExpressible("it does not cut a text into bytes")
    patterns = []
    for split in splits:
        plain = split.get("type") == "Split" and split.get("behavior") == "Isolated"
        if not plain or split.get("invert") or "Regex" not in split["pattern"]:
            raise NotExpressible("it cuts a text in a way that GGUF has no name for")
        patterns.append(split["pattern"]["Regex"])
    if last.get("use_regex", True):
        patterns += GPT2_PATTERNS
    normalizer = spec.get("normalizer")
    if normalizer not in (None, {"type": "NFC"}):
        raise NotExpressible("it changes a text's characters")
    composes, whole = normalizer is not None, bool(spec["model"].get("ignore_merges"))
    for name, pre in PRE_TOKENIZERS.items():
        if (pre.patterns, pre.composes, pre.whole_words) == (tuple(patterns), composes, whole):
            return name
    raise NotExpressible("it cuts a text in a way that GGUF has no name for")


def _understood(
    original: JsonTokenizer,
    keys: Mapping[str, Any],
    file: str,
    texts: Sequence[str],
    names: Sequence[str],
) -> str:
    """Return the first name by which the keys are the same tokenizer."""
    for name in names[:-1]:
        try:
            _compare(original, {**keys, NAME: name}, file, texts)
        except NotExpressible:
            continue
        return name
    _compare(original, {**keys, NAME: names[-1]}, file, texts)
    return names[-1]


def _compare(
    original: JsonTokenizer, keys: Mapping[str, Any], file: str, texts: Sequence[str]
) -> None:
    again = load_tokenizer(assets_of_gguf(keys, file), file)
    for text in texts:
        for special in (False, True):
            if again.encode(text, special=special) != original.encode(text, special=special):
                raise NotExpressible("read back from GGUF it gives other ids")
    if not set(original.special.ends) <= set(again.special.ends):
        raise NotExpressible("it has more ends than GGUF has keys for")
