"""What prompt lookup gains on a text that repeats, and costs on one that does not.

    python benchmarks/lookup.py FILE.gguf [--threads 2] [--pairs 5]

The texts are given: a sampler says the next token whatever the logits are. Pairs continue the same
prompt plain and guessed, by turns first; a ratio of more than 1 is faster. Only decoding is timed.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import attrs
import numpy as np

from synapse_core.api import Model, load
from synapse_core.generate import PromptLookup

PROMPT, TOKENS, PERIOD = 36, 96, 12


@attrs.define
class Given:
    """Says a text."""

    ids: list[int]
    said: int = 0

    def choose(self, logits: np.ndarray) -> int:
        """Return the next id of the text."""
        self.said += 1
        return self.ids[self.said - 1]


def seconds(model: Model, text: list[int], *, guesses: bool) -> float:
    """Return how long a text takes behind its first tokens."""
    answer = model.generate(
        text[:PROMPT],
        max_tokens=TOKENS,
        sampler=Given(text[PROMPT:]),
        guesser=PromptLookup() if guesses else None,
    )
    if list(answer.ids()) != text[PROMPT:]:
        raise SystemExit("guessing changed the text")
    return answer.decode_s


def main() -> None:
    """Print the median ratio of each text, with the least and the most."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    asked = parser.parse_args()
    rng = np.random.default_rng(4)
    with load(asked.file, backend="cpu", threads=asked.threads, context=512) as model:
        most = model.decoder.ports.vocabulary
        once = rng.integers(0, most, PERIOD).tolist()
        texts = {
            f"repeats {PERIOD} tokens": once * ((PROMPT + TOKENS) // PERIOD),
            "random": rng.integers(0, most, PROMPT + TOKENS).tolist(),
        }
        for name, text in texts.items():
            ratios = []
            for pair in range(asked.pairs):
                order = (False, True) if pair % 2 else (True, False)
                taken = {guesses: seconds(model, text, guesses=guesses) for guesses in order}
                ratios.append(taken[False] / taken[True])
            middle = statistics.median(ratios)
            print(f"{name}: {middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
