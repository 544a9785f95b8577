"""Judge a model of the little world: against the grammar's own entropy, and by what it writes.

    python tools/evaluate_default_model.py MODEL [--format q8_0] [--backend cpu]
    python tools/evaluate_default_model.py MODEL --compare f32 --compare q8_0 --compare q4_k

Prints one JSON object: cross-entropy on held-out documents beside the grammar's own (exact, on the
same documents), the share of samples that parse, and how many training documents hold a held-out
sentence (none, by construction). It runs on Synapse itself: what is judged is what ships.
With --compare it prints instead, for each of these formats, what the matrices were really held in
and by how many percent the perplexity is above the first one's.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import click
import numpy as np
from tokenizers import Tokenizer

sys.path.insert(0, str(Path(__file__).parent))

from little_world.corpus import (
    TOPICS,
    held_out_documents,
    held_out_sentences,
    training_documents,
)
from little_world.grammar import BEGIN, STOP, log_probability, opening_sentences
from little_world.pen import ParseError

import synapse_core as synapse
from synapse_core.generate import make_sampler, settings_of
from synapse_core.generate.model_files import bytes_of

HELD_OUT_SEED, SAMPLE_SEED = 1001, 2002
# The documents of each round of the shipped model's training: one more than its --seed, and its
# --share and --topic.
ROUNDS = (
    (2, 0.0, "memory"),
    (12, 0.0, "memory"),
    (22, 0.6, "memory"),
    (32, 0.25, "memory"),
    (42, 0.5, "names"),
    (52, 0.2, "names"),
)


@click.command()
@click.argument("model", required=False)
@click.option("--format", "weight_format", help="Hold the matrices in this format.")
@click.option("--compare", "formats", multiple=True, help="Only the perplexities of formats.")
@click.option("--backend", default="auto")
@click.option("--documents", default=400, help="How many held-out documents.")
@click.option("--samples", default=100, help="How many texts to draw.")
@click.option(
    "--trained", default=20000, help="How many documents of each round of training to look at."
)
@click.option(
    "--round",
    "rounds",
    type=(int, float, click.Choice(list(TOPICS))),
    multiple=True,
    help="A round of MODEL's training: its seed, share and topic.",
)
def evaluate(
    model: str | None,
    weight_format: str | None,
    formats: tuple[str, ...],
    backend: str,
    documents: int,
    samples: int,
    trained: int,
    rounds: tuple[tuple[int, float, str], ...],
) -> None:
    """Evaluate MODEL, the shipped one if none is named."""
    if formats:
        compared = compare(model, formats, backend, held_out_documents(HELD_OUT_SEED, documents))
        click.echo(json.dumps(compared, indent=1))
        return
    with synapse.load(model, format=weight_format, backend=backend) as loaded:
        held_out = held_out_documents(HELD_OUT_SEED, documents)
        results = cross_entropy(loaded, held_out)
        results["parsed"] = sum(map(parses, sample(loaded, samples)))
        results["parsed_at_temperature_1"] = sum(map(parses, sample(loaded, samples, 1.0)))
    results["samples"] = samples
    shown = [(seed + 1, share, topic) for seed, share, topic in rounds] or ROUNDS
    unseen = {sentence for text, _ in held_out for sentence in held_out_sentences(text)}
    results["held_out_sentences"] = len(unseen)
    results["training_documents"] = trained * len(shown)
    results["held_out_sentences_in_training"] = sum(
        not unseen.isdisjoint(opening_sentences(document))
        for seed, share, topic in shown
        for document in islice(training_documents(seed, share, topic), trained)
    )
    click.echo(json.dumps(results, indent=1))


def compare(
    model: str | None, formats: Sequence[str], backend: str, documents: list[tuple[str, float]]
) -> list[dict[str, object]]:
    """Return for each format what the matrices were held in, their bytes, and the perplexity."""
    rows: list[dict[str, object]] = []
    first = None
    for name in formats:
        with synapse.load(model, format=name, backend=backend) as loaded:
            found = cross_entropy(loaded, documents)["perplexity_per_token"]
            choices = loaded.built.choices
        first = first or found
        rows.append(
            {
                "asked": name,
                "held_in": dict(Counter(choice.given for choice in choices)),
                "matrix_bytes": sum(choice.bytes for choice in choices),
                "nats_per_token": float(np.log(found)),
                "perplexity_per_token": found,
                "difference_percent": 100 * (found / first - 1),
            }
        )
    return rows


def cross_entropy(model: synapse.Model, documents: list[tuple[str, float]]) -> dict[str, float]:
    """Return nats per document of the model and of the grammar, and their ratio.

    The model's is the sum over all tokens after the first, which is always the same.
    """
    own, tokens = [], 0
    for text, _ in documents:
        ids = np.array(model.tokenizer.encode(text, special=False))
        logits = model.logits(ids[:-1]).astype(np.float64)
        top = logits.max(axis=1, keepdims=True)
        normaliser = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        own.append(float((normaliser - logits[np.arange(len(ids) - 1), ids[1:]]).sum()))
        tokens += len(ids) - 1
    grammar = -sum(log_probability for _, log_probability in documents)
    return {
        "grammar_nats_per_document": grammar / len(documents),
        "model_nats_per_document": sum(own) / len(documents),
        "ratio": sum(own) / grammar,
        "perplexity_per_token": float(np.exp(sum(own) / tokens)),
        "tokens": tokens,
    }


def sample(model: synapse.Model, count: int, temperature: float | None = None) -> list[str]:
    """Draw documents until stop or 400 tokens, each with a seed of its own.

    Without a temperature as `synapse run` does where nothing is said; 1 is the model's own.
    """
    engine = Tokenizer.from_buffer(bytes_of(model.built.assets, "tokenizer.json"))
    stop = engine.token_to_id(STOP)
    wanted = settings_of(model.built.assets, str(model.built.path))
    texts = []
    for number in range(count):
        seed = SAMPLE_SEED + number
        sampler = make_sampler(wanted.temperature, wanted.top_k, wanted.top_p, seed)
        if temperature is not None:
            sampler = make_sampler(temperature, seed=seed)
        ids = [engine.token_to_id(BEGIN)]
        logits = model.decoder.prefill(ids)
        while ids[-1] != stop and len(ids) < 400:
            ids.append(sampler.choose(logits))
            logits = model.decoder.step(ids[-1])
        texts.append(engine.decode(ids, skip_special_tokens=False))
    return texts


def parses(text: str) -> bool:
    """Whether the grammar can write a text."""
    try:
        log_probability(text)
    except ParseError:
        return False
    return True


if __name__ == "__main__":
    evaluate()
