"""The tokenizer inside a GGUF file, as the files that a Hugging Face folder has.

Source: the keys `tokenizer.*` of ggml's docs/gguf.md, with the defaults of llama.cpp.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from synapse_core.errors import FileError
from synapse_core.generate.pre_tokenizers import choose_pre_tokenizer
from synapse_core.generate.tokenizer_spec import byte_level_spec, scored_spec, spec_text
from synapse_core.generate.vocabulary import CONTROL, NORMAL, USER_DEFINED, Vocabulary

KEY = "tokenizer.ggml."
MODEL = f"{KEY}model"
CORE_MODELS = (None, "none", "gpt2", "llama")
TOKENS = f"{KEY}tokens"
TEMPLATE = "tokenizer.chat_template"
MOST_TEMPLATES = 64
END_IDS = ("eos_token_id", "eot_token_id", "eom_token_id")
# How a model wants to be sampled, by the names of generation_config.json.
SAMPLING = "general.sampling."
DRAWN = {"temperature": "temp", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}
PENALTY = ("repetition_penalty", "penalty_repeat")
# Tokens that end a turn whatever the ids say: files name one end, chat models have several.
TURN_ENDS = (
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|end_of_turn|>",
    "<|end_of_text|>",
    "<|endoftext|>",
    "<end_of_turn>",
    "<｜end▁of▁sentence｜>",
    "<|return|>",
    "<|call|>",
    "<EOT>",
)
# Where both of these are tokens (gpt-oss), `<|end|>` parts two channels of one answer.
NOT_THE_END = {"<|return|>", "<|call|>"}


def assets_of_gguf(metadata: Mapping[str, Any], file: object) -> dict[str, str]:
    """Return the texts of tokenizer.json, tokenizer_config.json and generation_config.json.

    A file without a tokenizer (`tokenizer.ggml.model` missing or "none") has none of them.

    Raises: FileError naming file and key for a tokenizer that is malformed or of an unknown kind.
    """
    name = str(file)
    model = metadata.get(MODEL)
    if model is None or model == "none":
        return {}
    if model not in CORE_MODELS:
        problem = f"tokenizer {model!r:.40}; built are gpt2 (BPE) and llama (SentencePiece BPE)"
        raise FileError(name, problem, field=MODEL)
    vocabulary = vocabulary_of_gguf(metadata, name)
    ids = {
        key: vocabulary.id_in(metadata.get(f"{KEY}{key}"), f"{KEY}{key}")
        for key in ("bos_token_id", "unknown_token_id", "padding_token_id", *END_IDS)
    }
    if model == "gpt2":
        pre = metadata.get(f"{KEY}pre")
        cut = choose_pre_tokenizer(pre, metadata.get("general.architecture"), name)
        adds_bos = cut.adds_bos
        merges = _list(metadata, f"{KEY}merges", name)
        spec = byte_level_spec(vocabulary, merges, f"{KEY}merges", cut)
    else:
        adds_bos = True
        scores = _list(metadata, f"{KEY}scores", name)
        space = _flag(metadata, f"{KEY}add_space_prefix", name)
        spec = scored_spec(
            vocabulary,
            scores,
            f"{KEY}scores",
            space_before=space is not False,
            unknown=ids["unknown_token_id"],
            strips_after=_strips_after(metadata, vocabulary),
        )
    asked = _flag(metadata, f"{KEY}add_bos_token", name)
    eos = ids["eos_token_id"]
    closes = _flag(metadata, f"{KEY}add_eos_token", name) and eos is not None
    ends = [(eos, vocabulary.texts[eos])] if closes and eos is not None else []
    config: dict[str, Any] = {"add_bos_token": adds_bos if asked is None else asked}
    for key, id in (
        ("bos_token", ids["bos_token_id"]),
        ("eos_token", eos),
        ("unk_token", ids["unknown_token_id"]),
        ("pad_token", ids["padding_token_id"]),
    ):
        if id is not None:
            config[key] = vocabulary.texts[id]
    template = _template(metadata, name)
    if template is not None:
        config["chat_template"] = template
    generation: dict[str, Any] = _sampling(metadata, name)
    generation["eos_token_id"] = _end_ids(vocabulary, ids)
    if ids["bos_token_id"] is not None:
        generation["bos_token_id"] = ids["bos_token_id"]
    return {
        "tokenizer.json": spec_text(spec, ends),
        "tokenizer_config.json": json.dumps(config, ensure_ascii=False),
        "generation_config.json": json.dumps(generation),
    }


def vocabulary_of_gguf(metadata: Mapping[str, Any], file: object) -> Vocabulary:
    """Return the tokens of a GGUF file with their kinds, checked.

    Raises: FileError naming file and key.
    """
    file = str(file)
    texts = _list(metadata, TOKENS, file)
    key = f"{KEY}token_type"
    kinds = _list(metadata, key, file) if key in metadata else [NORMAL] * len(texts)
    return Vocabulary.of(texts, kinds, file, TOKENS)


def _list(metadata: Mapping[str, Any], key: str, file: str) -> Sequence[Any]:
    """Return an array of the file as Python values, whatever the reader holds it in."""
    value = metadata.get(key)
    plain = getattr(value, "tolist", None)
    value = plain() if callable(plain) else value
    if not isinstance(value, list | tuple):
        found = "nothing" if value is None else type(value).__name__
        raise FileError(file, f"found {found}, expected an array", field=key)
    return value


def _flag(metadata: Mapping[str, Any], key: str, file: str) -> bool | None:
    value = metadata.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise FileError(file, f"found {value!r:.40}, expected true or false", field=key)


def _template(metadata: Mapping[str, Any], file: str) -> str | list[dict[str, str]] | None:
    """Return the chat template, or the named ones where the file has several."""
    found: dict[str, str] = {}
    for key, value in metadata.items():
        if key == TEMPLATE or key.startswith(f"{TEMPLATE}."):
            if not isinstance(value, str):
                problem = f"found {type(value).__name__}, expected a text"
                raise FileError(file, problem, field=key)
            found[key.removeprefix(TEMPLATE).removeprefix(".") or "default"] = value
        if len(found) > MOST_TEMPLATES:
            raise FileError(file, f"more than {MOST_TEMPLATES} chat templates", field=TEMPLATE)
    if found.keys() <= {"default"}:
        return found.get("default")
    return [{"name": key, "template": value} for key, value in found.items()]


def _sampling(metadata: Mapping[str, Any], file: str) -> dict[str, Any]:
    """Return how the model is sampled; what is not said of one that is has no effect."""
    found: dict[str, Any] = {}
    for name, key in (*DRAWN.items(), PENALTY):
        value = metadata.get(f"{SAMPLING}{key}")
        if value is None:
            continue
        if type(value) not in (int, float) or not abs(value) < float("inf"):
            problem = f"found {value!r:.40}, expected a finite number"
            raise FileError(file, problem, field=f"{SAMPLING}{key}")
        found[name] = value
    if found.keys() & DRAWN.keys():
        found["do_sample"] = True
    return found


def _end_ids(vocabulary: Vocabulary, ids: Mapping[str, int | None]) -> list[int]:
    """Return all ids that end a generation: those that are named, and the known ends of turns."""
    marked = {
        text: id
        for id, text in enumerate(vocabulary.texts)
        if text in TURN_ENDS and vocabulary.kinds[id] in (CONTROL, USER_DEFINED)
    }
    if marked.keys() >= NOT_THE_END:
        marked.pop("<|end|>", None)
    named = {id for key in END_IDS if (id := ids[key]) is not None}
    return sorted(named | set(marked.values()))


def _strips_after(metadata: Mapping[str, Any], vocabulary: Vocabulary) -> frozenset[int]:
    """Return the tokens behind which blanks are dropped.

    GGUF has no key for it; Phi-3's tokenizer does so behind all its marked tokens but three, and
    llama.cpp knows the model by its name too.
    """
    model = str(metadata.get("general.name", "")).lower()
    if "phi-3" not in model and "phi3" not in model:
        return frozenset()
    kept = {"<unk>", "<s>", "<|endoftext|>"}
    return frozenset(id for id, text, _ in vocabulary.marked() if text not in kept)
