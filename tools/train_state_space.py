"""Train a small recurrent model on the little world: Mamba-1 or RWKV-7.

    python tools/train_state_space.py FIRST --family mamba --tokenizer TOKENIZER --steps 5000
    python tools/train_state_space.py SECOND --family mamba --from FIRST --steps 1000 --hold 0

MODEL_CARD.md beside the shipped weights has the commands they were trained with. Needs
torch==2.13.0 and, for its batches, tools/train_default_model.py. It runs on one thread; the same
seed, number of steps and machine give the same model. Beside the model it keeps training.pt, by
which `--from` goes on with unrounded weights and what the optimiser knows, and `--resume` goes on
after an interruption as if there had been none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path

import click
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent))

from little_world.corpus import TOPICS, held_out_documents, training_documents
from little_world.grammar import BEGIN, END, STOP
from little_world.vocabulary import CHAT_TEMPLATE
from state_space.linear import Linear
from state_space.mamba import Mamba, Mixer
from state_space.native_scan import NativeScan
from state_space.rwkv7 import Rwkv7
from state_space.selective_scan import SelectiveScan
from train_default_model import POOL, batches, schedule

FAMILIES = {"mamba": Mamba, "rwkv7": Rwkv7}
# The projections, which Muon steps; all else goes with AdamW.
PROJECTIONS = (
    *("in_proj.weight", "x_proj.weight", "out_proj.weight"),
    *("receptance.weight", "key.weight", "value.weight", "output.weight"),
)
DECAY = 0.05
HELD_OUT_SEED, HELD_OUT = 1001, 100
STATE = "training.pt"


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--family", type=click.Choice(list(FAMILIES)), required=True)
@click.option("--seed", default=1)
@click.option("--steps", default=5000, help="How many steps to train.")
@click.option("--rate", default=4e-3, help="Highest learning rate.")
@click.option("--hold", default=1.0, help="Share of the steps before the rate falls.")
@click.option("--batch", default=3072, help="At most so many tokens a step.")
@click.option("--share", default=0.0, help="Share of documents of a topic.")
@click.option("--topic", type=click.Choice(list(TOPICS)), default="memory")
@click.option("--from", "first", type=click.Path(path_type=Path), help="Go on from this model.")
@click.option("--resume", is_flag=True, help="Go on where OUT was interrupted.")
@click.option("--tokenizer", "spelling", type=click.Path(path_type=Path), help="A tokenizer.json.")
@click.option("--bfloat16", is_flag=True, help="Multiply by the projections in bfloat16.")
@click.option("--native", is_flag=True, help="Run Mamba's scan in C; needs ziglang.")
@click.option("--every", default=250, help="Steps from one checkpoint to the next.")
def train(
    out: Path,
    family: str,
    seed: int,
    steps: int,
    rate: float,
    hold: float,
    batch: int,
    share: float,
    topic: str,
    first: Path | None,
    resume: bool,
    spelling: Path | None,
    bfloat16: bool,
    native: bool,
    every: int,
) -> None:
    """Train, and write config, tokenizer, float16 weights and the training's state into OUT."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    Linear.in_bfloat16 = bfloat16
    Mixer.scan = NativeScan if native else SelectiveScan
    before = out if resume else first
    known = spelling or (before / "tokenizer.json" if before else None)
    if known is None:
        raise click.UsageError("no tokenizer: name one with --tokenizer, or a model with --from")
    tokenizer = Tokenizer.from_file(str(known))
    model = FAMILIES[family](tokenizer.get_vocab_size())
    optimisers = optimisers_of(model, rate)
    start = load_state(before / STATE, model, optimisers) if before else 0
    start = start if resume else 0
    click.echo(f"{sum(p.numel() for p in model.parameters())} parameters", err=True)
    out.mkdir(parents=True, exist_ok=True)
    write_texts(out, model, tokenizer)
    tokens = 0
    for step, tensors in islice(enumerate(data(tokenizer, seed, share, topic, batch)), steps):
        tokens += int((tensors["labels"] >= 0).sum())
        if step < start:
            continue
        fallen = max(0.0, (step / steps - hold) / (1 - hold)) if hold < 1 else 0.0
        for optimiser in optimisers:
            for group in optimiser.param_groups:
                group["lr"] = rate * schedule(step, fallen)
        loss = loss_of(model, tensors)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        if (step + 1) % 50 == 0:
            click.echo(f"step {step + 1} tokens {tokens} loss {loss.item():.4f}", err=True)
        if (step + 1) % every == 0 or step + 1 == steps:
            save_state(out / STATE, model, optimisers, step + 1)
            write_weights(out, model)
            click.echo(f"step {step + 1} held out: {judge(model, tokenizer)}", err=True)


def data(
    tokenizer: Tokenizer, seed: int, share: float, topic: str, batch: int
) -> Iterator[dict[str, torch.Tensor]]:
    """Yield batches of documents of like length, for ever."""
    documents = training_documents(seed + 1, share, topic)
    for pool in count():
        encoded = [tokenizer.encode(document).ids for document in islice(documents, POOL)]
        yield from batches(encoded, batch, seed + pool)


def loss_of(model: nn.Module, tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return the mean cross-entropy of each token from those before it."""
    logits = model(tensors["input_ids"][:, :-1])
    return functional.cross_entropy(logits.flatten(0, 1), tensors["labels"][:, 1:].flatten())


def optimisers_of(model: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the projections and AdamW for the rest, alike in the size of their steps."""
    named = dict(model.named_parameters())
    projections = [p for name, p in named.items() if name.endswith(PROJECTIONS)]
    others = [p for name, p in named.items() if not name.endswith(PROJECTIONS)]
    return [
        torch.optim.Muon(projections, lr=rate, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


@torch.no_grad()
def judge(model: nn.Module, tokenizer: Tokenizer) -> str:
    """Return nats a token on held-out documents, beside the grammar's own."""
    documents = held_out_documents(HELD_OUT_SEED, HELD_OUT)
    nats, tokens = 0.0, 0
    for tensors in batches([tokenizer.encode(text).ids for text, _ in documents], 6144, 0):
        known = int((tensors["labels"][:, 1:] >= 0).sum())
        nats, tokens = nats + float(loss_of(model, tensors)) * known, tokens + known
    own = -sum(log_probability for _, log_probability in documents)
    return f"{nats / tokens:.4f} nats a token, the grammar {own / tokens:.4f}: {nats / own:.4f}"


def save_state(
    path: Path, model: nn.Module, optimisers: list[torch.optim.Optimizer], step: int
) -> None:
    """Write what a training needs to go on, whole or not at all."""
    state = {"model": model.state_dict(), "step": step}
    state["optimisers"] = [optimiser.state_dict() for optimiser in optimisers]
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def load_state(path: Path, model: nn.Module, optimisers: list[torch.optim.Optimizer]) -> int:
    """Take up what save_state wrote; return the step it was at."""
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimiser, known in zip(optimisers, state["optimisers"], strict=True):
        optimiser.load_state_dict(known)
    return int(state["step"])


def write_texts(out: Path, model: nn.Module, tokenizer: Tokenizer) -> None:
    """Write config, tokenizer and generation settings, spelled as published checkpoints do."""
    begin, stop, end = (tokenizer.token_to_id(name) for name in (BEGIN, STOP, END))
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    ids = {"bos_token_id": begin, "eos_token_id": stop}
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": True,
        "bos_token": BEGIN,
        "eos_token": STOP,
        "chat_template": CHAT_TEMPLATE,
    }
    for name, content in (
        ("config.json", {**model.config(), **ids, "torch_dtype": "float16"}),
        ("tokenizer_config.json", tokenizer_config),
        ("generation_config.json", {**ids, "eos_token_id": [stop, end]}),
    ):
        (out / name).write_text(json.dumps(content, indent=1) + "\n")


def write_weights(out: Path, model: nn.Module) -> None:
    """Write the weights as float16."""
    tensors = {
        name: tensor.detach().half().contiguous() for name, tensor in model.state_dict().items()
    }
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    train()
