"""Endless seeded documents of the little world, split so that held-out sentences stay unseen.

A document is held out when one of its opening sentences (who somebody is, and where they live)
falls into one of sixteen classes by its hash. Training documents have no such sentence, so no
held-out sentence is ever trained on; everything else about the two sets is alike.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from little_world.grammar import opening_sentences, write

CLASSES = 16


def is_held_out(sentence: str) -> bool:
    """Whether an opening sentence belongs to the held-out class."""
    return hashlib.sha256(sentence.encode()).digest()[0] % CLASSES == 0


def held_out_sentences(text: str) -> list[str]:
    """Return the opening sentences of a document that are held out."""
    return [sentence for sentence in opening_sentences(text) if is_held_out(sentence)]


def asks_to_remember(text: str) -> bool:
    """Whether somebody wants a story about something, or says twice who they are."""
    said = sum(text.count(words) for words in ("I am ", "My name is ", "I live "))
    return "Tell me a story about a" in text or said >= 2


def says_a_name_twice(text: str) -> bool:
    """Whether somebody who has said who they are is asked for their name, or the other way."""
    return "My name is " in text and "I am " in text


TOPICS = {"memory": asks_to_remember, "names": says_a_name_twice}


def training_documents(seed: int, share: float = 0.0, topic: str = "memory") -> Iterator[str]:
    """Yield documents without any held-out sentence, for ever.

    A share of them is drawn from those of a topic, the rest from all.
    """
    belongs = TOPICS[topic]
    rng = random.Random(seed)
    while True:
        wanted = share > 0 and rng.random() < share
        text, _ = write(rng)
        while held_out_sentences(text) or (wanted and not belongs(text)):
            text, _ = write(rng)
        yield text


def held_out_documents(seed: int, count: int) -> list[tuple[str, float]]:
    """Return documents with a held-out sentence, and their log-probabilities in nats."""
    rng = random.Random(seed)
    found: list[tuple[str, float]] = []
    while len(found) < count:
        text, log_probability = write(rng)
        if held_out_sentences(text):
            found.append((text, log_probability))
    return found
