"""The words of the little world, with their weights."""

from __future__ import annotations


def _zipf(*words: str) -> dict[str, float]:
    """Weigh words by 1 / (rank + 2): the first are common, the last still come up."""
    return {word: 1 / (rank + 2) for rank, word in enumerate(words)}


SHE = ("Mia", "Lily", "Anna", "Rosa", "Ella", "Nora", "Ivy", "Zoe")
HE = ("Tom", "Max", "Ben", "Leo", "Sam", "Finn", "Otto", "Paul")
NAMES = _zipf(*(name for pair in zip(SHE, HE, strict=True) for name in pair))
ANIMALS = _zipf("fox", "bear", "rabbit", "owl", "mouse", "frog", "duck", "cat", "hedgehog", "wolf")
ADJECTIVES = _zipf("small", "brave", "clever", "shy", "old", "kind", "hungry", "quick", "sleepy")
HOMES = _zipf(
    "in a deep forest",
    "by the river",
    "under a big tree",
    "on a green hill",
    "near the sea",
    "in a stone house",
    "behind the mill",
)
PLACES = _zipf("forest", "river", "meadow", "village", "lake", "mountain", "garden")
COLOURS = _zipf("red", "blue", "golden", "green", "silver", "white")
THINGS = _zipf("ball", "key", "shell", "kite", "drum", "lantern", "boat", "bell")
FEELINGS = _zipf("happy", "surprised", "curious", "excited", "proud")
TIMES = _zipf("morning", "evening", "afternoon", "night")
GAMES = _zipf("swim", "climb", "sing", "dance", "play", "run")
FOODS = _zipf("apples", "honey", "berries", "cheese", "nuts", "bread", "soup")


def without(options: dict[str, float], *gone: str) -> dict[str, float]:
    """Return the options but for some."""
    return {word: weight for word, weight in options.items() if word not in gone}


def pronoun(name: str) -> str:
    """Return the pronoun of a name."""
    return "She" if name in SHE else "He"


def article(word: str) -> str:
    """Return the indefinite article of a word."""
    return "an" if word[0] in "aeiou" else "a"
