"""A corpus of bad tokenizer files; run as a file it loads each under a bound on memory.

It writes one line of JSON for each case: its name, how it ended, and what it took.
"""

from __future__ import annotations

import base64
import json
import resource
import struct
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from synapse_core.errors import FileError
from synapse_core.generate import ChatTemplate, load_tokenizer
from synapse_core.generate.gguf_vocabulary import assets_of_gguf
from synapse_core.generate.sentencepiece_model import assets_of_sentencepiece

MOST_BYTES = 256 << 20
TEXT = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab the quick 你好 🚀 \u00a0 1234567890\n\n" * 3

MODEL = "m/tokenizer.model"

Case = tuple[str, Callable[[], object], str]


def spec(**parts: Any) -> str:
    vocab = {"a": 0, "b": 1, "ab": 2}
    model = {"type": "BPE", "vocab": vocab, "merges": ["a b"]} | parts.pop("model", {})
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model} | parts)


def split(regex: str) -> str:
    pattern = {"Regex": regex}
    return spec(
        pre_tokenizer={
            "type": "Split",
            "pattern": pattern,
            "behavior": "Isolated",
            "invert": False,
        }
    )


def added(id: int, text: str, **flags: bool) -> dict[str, Any]:
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"id": id, "content": text, **plain, **flags}


def sequence(key: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "Sequence", key: steps}


def replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": pattern}, "content": content}


def deep(levels: int) -> dict[str, Any]:
    node: dict[str, Any] = {"type": "NFC"}
    for _ in range(levels):
        node = sequence("normalizers", [node])
    return node


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
UNKNOWN_PIECE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}],
    "pair": [],
    "special_tokens": {},
}


def charsmap(texts: bytes) -> dict[str, str]:
    table = struct.pack("<I", 4) + b"\0\0\0\0" + texts
    return {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()}


def json_files() -> Iterator[tuple[str, str, str]]:
    """Yield (name, tokenizer.json, what its refusal must name; empty where it may load)."""
    file = "m/tokenizer.json: "
    yield "empty", "", file
    yield "list", "[]", file
    yield "object", "{}", file
    yield "null", "null", file
    yield "deep_json", '{"model": ' + "[" * 100_000, file
    yield "long_number", '{"model": ' + "9" * 100_000 + "}", file
    yield "cut", spec()[:-9], file
    yield "model_number", spec()[:-1].replace('"model": {', '"model": 5, "x": {') + "}", file
    yield "model_unknown", spec(model={"type": "Nothing"}), file
    yield "id_huge", spec(model={"vocab": {"a": 1 << 33}, "merges": []}), file
    yield "id_negative", spec(model={"vocab": {"a": -1}, "merges": []}), file
    yield "id_fraction", spec(model={"vocab": {"a": 0.5}, "merges": []}), file
    yield "id_sparse", spec(model={"vocab": {"a": (1 << 32) - 1}, "merges": []}), ""
    yield "id_twice", spec(model={"vocab": {"a": 0, "b": 0, "ab": 0}}), ""
    yield "vocab_empty", spec(model={"vocab": {}, "merges": []}), ""
    yield "merge_unknown", spec(model={"merges": ["a c"]}), file
    yield "merge_no_product", spec(model={"merges": ["b a"]}), file
    yield "merge_no_space", spec(model={"merges": ["ab"]}), file
    yield "dropout", spec(model={"dropout": 7}), file
    yield "surrogate", '{"model": {"type": "BPE", "vocab": {"\\ud800": 0}, "merges": []}}', file
    unigram = {"type": "Unigram", "vocab": [["a", -1.0]], "unk_id": 7}
    yield "unigram_unknown", json.dumps({"version": "1.0", "model": unigram}), file
    word = {"type": "WordPiece", "vocab": {"a": 0}, "unk_token": "a"}
    word |= {"continuing_subword_prefix": "", "max_input_chars_per_word": 1 << 60}
    yield "word_quadratic", json.dumps({"version": "1.0", "model": word}), f"{file}model.max"
    for name, regex in {
        "nested_plus": "(a+)+$",
        "two_ways": "(a|aa)+$",
        "same_choices": "(?:a|a)*b",
        "nested_star": "(a*)*b",
        "counted_loose": "(.*a){20}b",
        "optional_many": "(a?){40}a{40}",
        "choices_counted": "(?:(?:a|a){0,8}){0,8}c",
        "double_quantifier": "a**b",
        "unfolds": "((a{1000}){1000}){1000}",
        "back_reference": r"(a+)\1+b",
        "recursion": r"(?<n>a\g<n>?)b",
        "callout": "(?{x})",
        "absent": "(?~a)",
        "verb": "(*FAIL)",
        "condition": r"(?(1)a|b)",
        "unclosed": "(a",
        "closes": "a)",
        "class_open": "[a",
        "long": "a" * 20_000,
    }.items():
        yield f"regex_{name}", split(regex), file if name == "class_open" else f"{file}pre_token"
    begin, end = '{"type":"Sequence","normalizers":[' * 900, "]}" * 900
    yield "normalizer_deep", spec(normalizer=7).replace("7", f"{begin}{end}"), file
    yield "normalizer_long", spec(normalizer=sequence("normalizers", [{"type": "NFC"}] * 999)), file
    bomb = [replace("a", "a" * 10)] * 9
    yield "replace_bomb", spec(normalizer=sequence("normalizers", bomb)), f"{file}normalizer"
    yield "replace_long", spec(normalizer=replace("a", "b" * 1000)), f"{file}normalizer"
    yield "decoder_bomb", spec(decoder=sequence("decoders", bomb)), f"{file}decoder"
    prepends = [{"type": "Prepend", "prepend": "abc"}] * 40
    yield "prepend_bomb", spec(normalizer=sequence("normalizers", prepends)), f"{file}normalizer"
    doubles = sequence("pretokenizers", [BYTES] * 40)
    yield "bytes_doubling", spec(pre_tokenizer=doubles), f"{file}pre_tokenizer"
    doubles = sequence("normalizers", [{"type": "ByteLevel"}] * 40)
    yield "bytes_doubling_normalizer", spec(normalizer=doubles), f"{file}normalizer"
    yield "charsmap_long", spec(normalizer=charsmap(b"x" * 5000 + b"\0")), f"{file}normalizer"
    yield "charsmap_garbage", spec(normalizer=charsmap(b"\xff\xfe\0")), f"{file}normalizer"
    cut = base64.b64encode(struct.pack("<I", 400) + b"abcd").decode()
    short = {"type": "Precompiled", "precompiled_charsmap": cut}
    yield "charsmap_cut", spec(normalizer=short), f"{file}normalizer"
    bad = {"type": "Precompiled", "precompiled_charsmap": "!!"}
    yield "charsmap_no_base64", spec(normalizer=bad), f"{file}normalizer"
    yield "added_empty", spec(added_tokens=[added(3, "")]), ""
    yield "added_huge_id", spec(added_tokens=[added(1 << 31, "<x>")]), ""
    long = [added(3 + n, f"{n}" + "x" * 60_000, normalized=True) for n in range(80)]
    steps = replace("x", "y" * 60)
    yield "added_long", spec(added_tokens=long, normalizer=steps), f"{file}added_tokens"
    many = [added(3 + n, f"<{n}>") for n in range(70_000)]
    yield "added_many", spec(added_tokens=many), f"{file}added_tokens"
    yield "template_unknown", spec(post_processor=UNKNOWN_PIECE), f"{file}post_processor"
    yield "padding", spec(padding={"strategy": {"Fixed": 10**12}, "direction": "Right"}), file
    yield "decoder_unknown", spec(decoder={"type": "Nothing"}), file


def config_files() -> Iterator[tuple[str, dict[str, str], str]]:
    config, generation = "m/tokenizer_config.json: ", "m/generation_config.json: "
    for name, text, wanted in (
        ("config_cut", '{"a":', config),
        ("config_list", "[]", config),
        ("config_deep", "[" * 100_000, config),
        ("config_bos_number", '{"bos_token": 5}', f"{config}bos_token"),
        ("config_eos_list", '{"eos_token": [1]}', f"{config}eos_token"),
    ):
        yield name, {"tokenizer.json": spec(), "tokenizer_config.json": text}, wanted
    for name, text, wanted in (
        ("generation_ids", json.dumps({"eos_token_id": [1] * 99}), f"{generation}eos_token_id"),
        ("generation_huge", '{"eos_token_id": 1e400}', f"{generation}eos_token_id"),
    ):
        yield name, {"tokenizer.json": spec(), "generation_config.json": text}, wanted


def templates() -> Iterator[tuple[str, object]]:
    yield "template_number", 5
    yield "template_list_of_numbers", [{"name": "default", "template": 7}]
    yield "template_long", "x" * 300_000


def gguf(**changes: Any) -> dict[str, Any]:
    """A small valid byte-level vocabulary with changes; None takes a key away."""
    keys = {"model": "gpt2", "pre": "gpt-2", "tokens": ["a", "b", "ab", "<e>"]}
    keys |= {"token_type": [1, 1, 1, 3], "merges": ["a b"], "eos_token_id": 3}
    found = {f"tokenizer.ggml.{key}": value for key, value in (keys | changes).items()}
    return {key: value for key, value in found.items() if value is not None}


def scored(**changes: Any) -> dict[str, Any]:
    keys = {"model": "llama", "pre": "default", "tokens": ["<u>", "▁", "a", "▁a"], "merges": None}
    keys |= {"token_type": [2, 1, 1, 1], "scores": [0.0, -2.0, -3.0, -1.0], "eos_token_id": None}
    return gguf(**(keys | changes))


def vocabularies() -> Iterator[tuple[str, dict[str, Any], str]]:
    key = "m.gguf: tokenizer.ggml."
    yield "gguf_model_bert", gguf(model="bert"), f"{key}model"
    yield "gguf_model_number", gguf(model=7), f"{key}model"
    yield "gguf_pre_unknown", gguf(pre="acme-9"), f"{key}pre"
    yield "gguf_pre_missing", gguf(pre=None), f"{key}pre"
    yield "gguf_pre_number", gguf(pre=[1]), f"{key}pre"
    yield "gguf_no_tokens", gguf(tokens=None), f"{key}tokens"
    yield "gguf_tokens_text", gguf(tokens="ab"), f"{key}tokens"
    yield "gguf_tokens_empty", gguf(tokens=[], token_type=[]), f"{key}tokens"
    yield "gguf_token_number", gguf(tokens=["a", "b", "ab", 4]), f"{key}tokens[3]"
    yield "gguf_token_twice", gguf(tokens=["a", "b", "ab", "a"]), f"{key}tokens[3]"
    yield "gguf_token_long", gguf(tokens=["a", "b", "ab", "x" * 9999]), f"{key}tokens[3]"
    yield "gguf_token_surrogate", gguf(tokens=["a", "b", "ab", "\ud800"]), f"{key}tokens"
    yield "gguf_types_short", gguf(token_type=[1]), f"{key}tokens"
    yield "gguf_types_huge", gguf(token_type=[1, 1, 1, 1 << 40]), f"{key}tokens[3]"
    yield "gguf_types_text", gguf(token_type=["1"] * 4), f"{key}tokens[0]"
    yield "gguf_no_merges", gguf(merges=None), f"{key}merges"
    yield "gguf_merge_number", gguf(merges=[1]), f"{key}merges[0]"
    yield "gguf_merge_unknown", gguf(merges=["a b", "a c"]), f"{key}merges[1]"
    yield "gguf_merge_no_product", gguf(merges=["b a"]), f"{key}merges[0]"
    yield "gguf_eos_outside", gguf(eos_token_id=4), f"{key}eos_token_id"
    yield "gguf_bos_negative", gguf(bos_token_id=-1), f"{key}bos_token_id"
    yield "gguf_pad_true", gguf(padding_token_id=True), f"{key}padding_token_id"
    yield "gguf_add_bos_text", gguf(add_bos_token="yes"), f"{key}add_bos_token"
    yield "gguf_scores_short", scored(scores=[0.0]), f"{key}scores"
    yield "gguf_score_nan", scored(scores=[0.0, float("nan"), 1.0, 1.0]), f"{key}scores[1]"
    yield "gguf_score_text", scored(scores=["0"] * 4), f"{key}scores[0]"
    yield "gguf_scores_missing", scored(scores=None), f"{key}scores"
    runs = {"tokens": ["a" * n for n in range(1, 4000)], "token_type": [1] * 3999}
    yield "gguf_scored_squares", scored(**runs, scores=[0.0] * 3999), f"{key}tokens"
    template = {"tokenizer.chat_template": 5}
    yield "gguf_template_number", gguf() | template, "m.gguf: tokenizer.chat_template"
    many = {f"tokenizer.chat_template.{n}": "x" for n in range(99)}
    yield "gguf_templates_many", gguf() | many, "m.gguf: tokenizer.chat_template"


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def message(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def piece(text: bytes, kind: int = 1, score: float = 0.0) -> bytes:
    inner = message(1, text) + b"\x15" + struct.pack("<f", score) + b"\x18" + varint(kind)
    return message(1, inner)


TRAINER = message(2, b"\x18\x02")
NORMALIZER = message(3, b"\x20\x00")
PIECES = piece(b"<unk>", 2) + piece(b"<s>", 3) + piece(b"</s>", 3) + piece("▁".encode())
PIECES += piece(b"a", score=-2.0) + piece("▁a".encode(), score=-1.0)


def models() -> Iterator[tuple[str, bytes, str]]:
    file = f"{MODEL}: "
    rest = TRAINER + NORMALIZER
    yield "spm_empty", b"", file
    yield "spm_json", b'{"model": 1}', file
    yield "spm_cut", (PIECES + rest)[:-1], file
    yield "spm_varint_cut", PIECES + rest + b"\xff", file
    yield "spm_varint_long", PIECES + rest + b"\x08" + b"\xff" * 11, file
    yield "spm_length_huge", b"\x0a" + varint(1 << 62), file
    yield "spm_group", PIECES + rest + b"\x0b", file
    yield "spm_piece_number", b"\x08\x01" + rest, file
    yield "spm_text_number", message(1, b"\x08\x01") + rest, f"{file}pieces[0]"
    yield "spm_no_utf8", PIECES + piece(b"\xff") + rest, f"{file}pieces[6]"
    yield "spm_twice", PIECES + piece(b"a") + rest, f"{file}pieces[6]"
    yield "spm_kind", PIECES + piece(b"c", 99) + rest, f"{file}pieces[6]"
    yield "spm_score_nan", PIECES + piece(b"c", 1, float("nan")) + rest, f"{file}scores[6]"
    yield "spm_score_number", message(1, message(1, b"a") + b"\x10\x01") + rest, f"{file}pieces[0]"
    yield "spm_unigram", PIECES + message(2, b"\x18\x01") + NORMALIZER, f"{file}trainer_spec"
    rules = message(3, message(2, b"abc") + b"\x20\x00")
    yield "spm_rules", PIECES + TRAINER + rules, f"{file}normalizer_spec.precompiled_charsmap"
    yield "spm_squeezes", PIECES + TRAINER + message(3, b"\x20\x01"), f"{file}normalizer_spec.rem"
    outside = message(2, b"\x18\x02" + varint(41 << 3) + varint(99))
    yield "spm_bos_outside", PIECES + outside + NORMALIZER, f"{file}bos_token"


def used(files: dict[str, str], where: str) -> None:
    """Load a tokenizer and do with it what a run does."""
    tokenizer = load_tokenizer(files, where)
    tokenizer.decode(tokenizer.encode(TEXT, special=True))


def cases() -> Iterator[Case]:
    """Yield (name, what to do, what the refusal must begin with; empty where it may work)."""
    for name, text, wanted in json_files():
        yield name, lambda text=text: used({"tokenizer.json": text}, "m"), wanted
    for name, files, wanted in config_files():
        yield name, lambda files=files: used(files, "m"), wanted
    for name, template in templates():
        config = {"tokenizer_config.json": json.dumps({"chat_template": template})}
        wanted = "m/tokenizer_config.json: chat_template"
        yield name, lambda config=config: ChatTemplate.of(config, "m"), wanted
    for name, keys, wanted in vocabularies():
        yield name, lambda keys=keys: used(assets_of_gguf(keys, "m.gguf"), "m"), wanted
    for name, data, wanted in models():
        yield name, lambda data=data: used(assets_of_sentencepiece(data, MODEL), "m"), wanted


def controls() -> Iterator[Case]:
    """Yield valid files made by the same hands; all of them must load."""
    yield "control_json", lambda: used({"tokenizer.json": spec()}, "m"), ""
    good = split(r"(?i:'s|'t)|\s+(?!\S)|\p{N}{1,3}|[^\s\p{L}]?\p{L}+")
    yield "control_pattern", lambda: used({"tokenizer.json": good}, "m"), ""
    short = spec(normalizer=sequence("normalizers", [replace(" ", "▁"), deep(3)]))
    yield "control_normalizer", lambda: used({"tokenizer.json": short}, "m"), ""
    tokens = spec(added_tokens=[added(3, "<x>", special=True)])
    config = '{"bos_token": {"content": "<x>"}, "eos_token": "<x>"}'
    files = {"tokenizer.json": tokens, "tokenizer_config.json": config}
    yield "control_config", lambda: used(files, "m"), ""
    yield "control_gguf", lambda: used(assets_of_gguf(gguf(), "m.gguf"), "m"), ""
    yield "control_scored", lambda: used(assets_of_gguf(scored(), "m.gguf"), "m"), ""
    data = PIECES + TRAINER + NORMALIZER
    yield "control_spm", lambda: used(assets_of_sentencepiece(data, "m"), "m"), ""


def virtual_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def main() -> None:
    load_tokenizer({"tokenizer.json": spec()})
    most = virtual_bytes() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name, run, wanted in (*controls(), *cases()):
        print(json.dumps({"begun": name}), flush=True)
        begun = time.process_time()
        answer: dict[str, Any] = {"name": name, "wanted": wanted}
        try:
            run()
        except FileError as error:
            answer |= {"refused": str(error), "code": error.exit_code}
        answer["cpu_s"] = time.process_time() - begun
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    sys.exit(main())
