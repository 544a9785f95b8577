"""The two long lists of a `tokenizer.json`, checked before the engine copies them.

The engine takes 300 MB for the largest real vocabularies and finds only then that the last merge is
none; what it surely refuses is refused here, in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any

from synapse_core.errors import FileError


def check_vocabulary(model: Any, file: str) -> None:
    """Check that every token has an id.

    Raises: FileError naming the token.
    """
    vocab = model.get("vocab") if isinstance(model, dict) else None
    if not isinstance(vocab, dict):
        return
    for text, id in vocab.items():
        if type(id) is not int or not 0 <= id < 1 << 32:
            problem = f"token {text!r:.40} has id {id!r:.40}, expected a whole number of 32 bits"
            raise FileError(file, problem, field="model.vocab")


def check_merges(model: Mapping[str, Any], parts: Iterable[list[Any]], file: str) -> None:
    """Check that every merge, given some at a time, is two tokens that make a third.

    Raises: FileError naming the merge.
    """
    vocab = model.get("vocab")
    if not isinstance(vocab, dict):
        return
    prefix = model.get("continuing_subword_prefix")
    skipped = len(prefix) if isinstance(prefix, str) else 0
    for number, merge in enumerate(chain.from_iterable(parts)):
        pair = merge.split(" ") if type(merge) is str else merge
        # A file's first line may be a comment; what else is no pair the engine tells.
        if type(pair) is not list or len(pair) != 2 or pair[0] == "#version:":
            continue
        left, right = pair
        if type(left) is not str or type(right) is not str:
            continue
        if left not in vocab or right not in vocab or left + right[skipped:] not in vocab:
            problem = f"found {merge!r:.80}, expected two tokens that make a third"
            raise FileError(file, problem, field=f"model.merges[{number}]")


def without_lists(spec: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a file's spec with its long lists empty, None where a model cannot be without them.

    A Unigram cannot, and the engine reads its list of pairs in little more than the list takes.
    """
    model = spec.get("model")
    if not isinstance(model, dict) or not isinstance(model.get("vocab"), dict):
        return None
    empty: dict[str, Any] = {"vocab": {}}
    if model.get("type", "BPE") == "BPE":
        empty["merges"] = []
    return {**spec, "model": model | empty}
