"""How a byte-level BPE cuts a text into words before it merges, by the names that GGUF files use.

Each is a list of patterns, applied one after the other: what a pattern finds in a piece becomes a
piece of its own, and so does what lies between. The names are those of `tokenizer.ggml.pre`; the
patterns are those of the models' own `tokenizer.json`, from which llama.cpp's are rewritten for a
regex engine without Unicode classes.
"""

from __future__ import annotations

import attrs

from synapse_core.errors import FileError


@attrs.frozen
class PreTokenizer:
    """`patterns` in order; `whole_words`: a word that is a token is not put together from parts.

    `adds_bos` holds where a file does not say it. `composes`: the model's own tokenizer brings
    texts into Unicode's NFC first.
    """

    patterns: tuple[str, ...]
    whole_words: bool = False
    adds_bos: bool = False
    composes: bool = False


def _cl100k(*, digits: str, letters: str = r"\p{L}", marks: str = "") -> str:
    """OpenAI's second pattern, from which most later ones differ in the digits of a number."""
    return (
        rf"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?{letters}+|{digits}"
        rf"| ?[^\s\p{{L}}{marks}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


def _cased(*, digits: str, contractions: str) -> str:
    """OpenAI's third pattern: a word begins anew where small letters turn into capitals."""
    upper, lower = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
    before = r"[^\r\n\p{L}\p{N}]?"
    return (
        rf"{before}{upper}*{lower}+{contractions}|{before}{upper}+{lower}*{contractions}|{digits}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_CJK = "[一-龥ࠀ-一가-퟿]+"
_DEEPSEEK_LETTERS = (
    r"\s?["
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕ"
    "ἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\u1f7dᾀ-ᾴᾶ-ᾼ\u1fbeῂ-ῄῆ-ῌῐ-\u1fd3ῖ-\u1fdbῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\u2126ℨ"
    "\u212a-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
    "]+"
)
_DEEPSEEK3_WORDS = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_LLAMA3 = PreTokenizer((_cl100k(digits=r"\p{N}{1,3}"),), whole_words=True, adds_bos=True)
_THREE_DIGITS = PreTokenizer((_cl100k(digits=r"\p{N}{1,3}"),))
_ONE_DIGIT = PreTokenizer((_cl100k(digits=r"\p{N}"),))
_QWEN2 = PreTokenizer(_ONE_DIGIT.patterns, composes=True)
_QWEN35 = PreTokenizer(
    (_cl100k(digits=r"\p{N}", letters=r"[\p{L}\p{M}]", marks=r"\p{M}"),), composes=True
)
_PLAIN = PreTokenizer((_GPT2,))
_NEOX = PreTokenizer((_GPT2,), composes=True)
_SINGLE_DIGITS = PreTokenizer((r"\p{N}", _GPT2))
_O200K = PreTokenizer((_cased(digits=r"\p{N}{1,3}", contractions=_CONTRACTIONS),))
_TEKKEN = PreTokenizer((_cased(digits=r"\p{N}", contractions=""),), whole_words=True, adds_bos=True)
_DEEPSEEK3 = PreTokenizer((r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK3_WORDS))
_BLOOM = PreTokenizer((r" ?[^(\s|.,!?…。，、।۔،)]+",))
_BAILING = PreTokenizer(
    (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*"
        r"|\s*[\r\n]|\s+(?!\S)|\s+",
    )
)

PRE_TOKENIZERS = {
    "default": PreTokenizer(
        (r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"),
    ),
    "gpt-2": _PLAIN,
    "phi-2": _PLAIN,
    "gigachat": _PLAIN,
    "mellum": _PLAIN,
    "modern-bert": _PLAIN,
    "jais": _PLAIN,
    "trillion": _PLAIN,
    "granite-docling": _PLAIN,
    "exaone4": _PLAIN,
    "mpt": _NEOX,
    "olmo": _NEOX,
    "starcoder": _SINGLE_DIGITS,
    "refact": _SINGLE_DIGITS,
    "command-r": PreTokenizer(_SINGLE_DIGITS.patterns, composes=True),
    "smollm": _SINGLE_DIGITS,
    "codeshell": _SINGLE_DIGITS,
    "exaone": _SINGLE_DIGITS,
    "minerva-7b": _SINGLE_DIGITS,
    "falcon": PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]")),
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "llama-bpe": _LLAMA3,
    "falcon3": _LLAMA3,
    "falcon-h1": _LLAMA3,
    "pixtral": _LLAMA3,
    "midm-2.0": _LLAMA3,
    "lfm2": _LLAMA3,
    "jina-v5-nano": _LLAMA3,
    "dbrx": _THREE_DIGITS,
    "smaug-bpe": _THREE_DIGITS,
    "glm4": _THREE_DIGITS,
    "chatglm-bpe": _THREE_DIGITS,
    "qwen2": _QWEN2,
    "deepseek-r1-qwen": _ONE_DIGIT,
    "megrez": _ONE_DIGIT,
    "qwen35": _QWEN35,
    "stablelm2": _ONE_DIGIT,
    "hunyuan": _ONE_DIGIT,
    "grok-2": _ONE_DIGIT,
    "solar-open": _ONE_DIGIT,
    "tekken": _TEKKEN,
    "gpt-4o": _O200K,
    "llama4": _O200K,
    "minimax-m2": _O200K,
    "tiny_aya": PreTokenizer((r"\d{1,3}(?=(?:\d{3})*\b)", *_O200K.patterns)),
    "exaone-moe": PreTokenizer(
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+"
            r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+",
        )
    ),
    "deepseek-llm": PreTokenizer(
        (
            r"[\r\n]",
            _DEEPSEEK_LETTERS,
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            _CJK,
            r"\p{N}+",
        )
    ),
    "deepseek-coder": PreTokenizer((r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, r"\p{N}")),
    "deepseek-v3": _DEEPSEEK3,
    "hunyuan-dense": _DEEPSEEK3,
    "joyai-llm": _DEEPSEEK3,
    "bloom": _BLOOM,
    "poro-chat": _BLOOM,
    "gpt3-finnish": _BLOOM,
    "viking": PreTokenizer((*_BLOOM.patterns, r"\p{N}")),
    "bailingmoe": _BAILING,
    "bailingmoe2": _BAILING,
    "llada-moe": _BAILING,
    "seed-coder": PreTokenizer(
        (
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}"
            r"| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+",
        )
    ),
}
# Patterns that are run wherever they stand: each of them has been looked at.
KNOWN_PATTERNS = frozenset(pattern for pre in PRE_TOKENIZERS.values() for pattern in pre.patterns)
# An architecture that was trained with one tokenizer only says as much as a name: EleutherAI's
# GPT-NeoX and the Mambas use that of GPT-NeoX-20B, which MPT took over under its own name.
BY_ARCHITECTURE = {"gptneox": "mpt", "mamba": "mpt"}


def choose_pre_tokenizer(name: object, architecture: object, file: str) -> PreTokenizer:
    """Return what a file's `tokenizer.ggml.pre` names; a missing name is never guessed.

    Raises: FileError for a name that is unknown, or missing where the architecture does not fix it.
    """
    field = "tokenizer.ggml.pre"
    if name is None:
        name = BY_ARCHITECTURE.get(str(architecture))
        if name is None:
            raise FileError(
                file,
                "missing, so how texts are cut is unknown; convert the model again, or add the"
                " name with gguf_new_metadata --pre-tokenizer",
                field=field,
            )
    if not isinstance(name, str) or name not in PRE_TOKENIZERS:
        raise FileError(
            file,
            f"pre-tokenizer {name!r:.60} is unknown and none is guessed; run the checkpoint that"
            " the file was made from, by its own tokenizer.json; known are"
            f" {', '.join(sorted(PRE_TOKENIZERS))}",
            field=field,
        )
    return PRE_TOKENIZERS[name]
