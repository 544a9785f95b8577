"""What a draft model's guesses gain: tokens a second with them and without, of equal texts.

    SHIPPED=plugins/model_decoder/synapse_model_decoder/default_model
    python tools/train_default_model.py BIG --shape big --tokenizer $SHIPPED/tokenizer.json \
        --steps 900 --batch 1024 --rate 1.5e-3 --bfloat16
    python benchmarks/draft.py BIG [--draft FOLDER] [--format f32] [--threads 1 --threads 2]

BIG was trained on the world of the shipped model, which is the draft unless another is named. The
prompts are the beginnings of held-out documents. A pair continues each of them twice, plain and
guessed; who begins changes from pair to pair. A pair whose texts differ ends the measurement. Time
is that of decoding, prompts not included, choosing a token included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from little_world.corpus import held_out_documents

import synapse_core as synapse
from synapse_core.generate import DraftModel, check_draft, make_sampler

HELD_OUT_SEED, PROMPT_TOKENS = 1001, 24
WAYS = {"greedy": 0.0, "sampled": 1.0}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--draft", type=Path, help="default: the shipped model")
    parser.add_argument("--format", help="hold the big model's matrices in this format")
    parser.add_argument("--draft-format")
    parser.add_argument("--threads", type=int, action="append")
    parser.add_argument("--draft-threads", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--documents", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=160)
    asked = parser.parse_args()
    head = ("threads", "choosing", "plain, tokens/s", "guessed", "ratio", "least", "most", "right")
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for threads in asked.threads or [1, 2]:
        with (
            synapse.load(asked.model, format=asked.format, threads=threads, context=512) as model,
            synapse.load(
                asked.draft,
                format=asked.draft_format,
                threads=min(asked.draft_threads, threads),
                context=512,
            ) as draft,
        ):
            check_draft(model.decoder, draft.decoder, (model.tokenizer, draft.tokenizer))
            for way, temperature in WAYS.items():
                print(row(asked, threads, way, pairs(asked, model, draft, temperature)), flush=True)
    print(f"load of the machine at the end: {os.getloadavg()[0]:.1f}")


def row(asked: argparse.Namespace, threads: int, way: str, measured: list[list[Run]]) -> str:
    """Return a line of the table."""
    plain, guessed = ([run.rate for run in runs] for runs in zip(*measured, strict=True))
    ratios = [b / a for a, b in zip(plain, guessed, strict=True)]
    right, made = (sum(getattr(g, k) for _, g in measured) for k in ("right", "made"))
    cells = [threads, way, f"{statistics.median(plain):.0f}", f"{statistics.median(guessed):.0f}"]
    cells += [f"{value:.2f}" for value in (statistics.median(ratios), min(ratios), max(ratios))]
    return f"| {' | '.join(map(str, cells))} | {right} of {made} |"


class Run:
    """All documents continued once: ids, seconds, and how many guesses were made and right."""

    def __init__(self, asked: argparse.Namespace, model: synapse.Model, temperature: float) -> None:
        self.asked, self.model, self.temperature = asked, model, temperature
        self.ids: list[list[int]] = []
        self.seconds, self.made, self.right = 0.0, 0, 0

    @property
    def rate(self) -> float:
        """Tokens a second; the first of each document comes of its prompt."""
        return sum(len(ids) - 1 for ids in self.ids) / self.seconds

    def continue_all(self, draft: synapse.Model | None) -> None:
        """Continue each prompt, with the sampler's seed its number."""
        for number, (text, _) in enumerate(held_out_documents(HELD_OUT_SEED, self.asked.documents)):
            prompt = self.model.tokenizer.encode(text, special=False)[:PROMPT_TOKENS]
            sampler = make_sampler(self.temperature, seed=number)
            answer = self.model.generate(
                prompt,
                max_tokens=self.asked.tokens,
                sampler=sampler,
                guesser=DraftModel(draft.decoder, sampler) if draft else None,
            )
            begun, ids = 0.0, []
            for id in answer.ids():
                begun = begun or time.perf_counter()
                ids.append(id)
            self.seconds += time.perf_counter() - begun
            self.ids.append(ids)
            self.made += answer.ahead.guessed
            self.right += answer.ahead.right


def pairs(
    asked: argparse.Namespace, model: synapse.Model, draft: synapse.Model, temperature: float
) -> list[list[Run]]:
    """Return the pairs, plain and guessed; the first, which warms up, is left out."""
    found = []
    for number in range(asked.pairs + 1):
        pair = [Run(asked, model, temperature), Run(asked, model, temperature)]
        for side in (0, 1) if number % 2 else (1, 0):
            pair[side].continue_all(draft if side else None)
        if pair[0].ids != pair[1].ids:
            raise SystemExit("the texts differ")
        found.append(pair)
    return found[1:]


if __name__ == "__main__":
    main()
