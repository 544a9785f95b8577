"""Train the model that ships in synapse-model-decoder, on the little world.

    python tools/train_default_model.py FIRST --seed 1 --steps 6000

and three more rounds, each going on from the last with `--from`; MODEL_CARD.md beside the shipped
weights has all four commands. Needs torch==2.13.0 and transformers; nothing else of the project
does. The same seed, number of steps and threads give the same model on the same machine. What the
grammar asks to be remembered is learnt last: `--share` shows more of it.

`--shape wide` trains the bigger model of benchmarks/wide_model, whose rows of 256 and 768 hold
K-quants; `--device cuda` does it on a GPU. `--shape big` trains one for benchmarks/draft.py, which
has the command; it is too big to keep.
"""

from __future__ import annotations

import json
import math
import sys
from itertools import islice
from pathlib import Path

import click
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import Qwen3Config, Qwen3ForCausalLM

sys.path.insert(0, str(Path(__file__).parent))

from little_world.corpus import TOPICS, training_documents
from little_world.grammar import BEGIN, END, STOP
from little_world.vocabulary import CHAT_TEMPLATE, VOCABULARY, train_tokenizer

SHAPES = {
    "default": {
        "hidden_size": 128,
        "intermediate_size": 288,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "max_position_embeddings": 512,
    },
    "wide": {
        "hidden_size": 256,
        "intermediate_size": 768,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 32,
        "max_position_embeddings": 512,
    },
    "big": {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 64,
        "max_position_embeddings": 512,
    },
}
BATCH_TOKENS = 6144
POOL = 2048
WARM_UP = 100


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--seed", default=1)
@click.option("--steps", default=6000, help="How many steps to train.")
@click.option("--rate", default=4e-3, help="Highest learning rate.")
@click.option("--share", default=0.0, help="Share of documents of a topic.")
@click.option("--topic", type=click.Choice(list(TOPICS)), default="memory")
@click.option("--from", "first", type=click.Path(path_type=Path), help="Go on from this model.")
@click.option("--shape", type=click.Choice(list(SHAPES)), default="default")
@click.option(
    "--tokenizer", "spelling", type=click.Path(path_type=Path), help="Its tokenizer.json."
)
@click.option("--batch", default=BATCH_TOKENS, help="At most so many tokens a step.")
@click.option("--bfloat16", is_flag=True, help="Multiply in bfloat16.")
@click.option("--device", default="cpu", help="A device of torch.")
def train(
    out: Path,
    seed: int,
    steps: int,
    rate: float,
    share: float,
    topic: str,
    first: Path | None,
    shape: str,
    spelling: Path | None,
    batch: int,
    bfloat16: bool,
    device: str,
) -> None:
    """Train, and write config, tokenizer and float16 weights into OUT."""
    torch.manual_seed(seed)
    known = spelling or (first / "tokenizer.json" if first else None)
    tokenizer = Tokenizer.from_file(str(known)) if known else train_tokenizer(seed)
    ids = {name: tokenizer.token_to_id(name) for name in (BEGIN, END, STOP)}
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        tie_word_embeddings=True,
        rope_theta=10000.0,
        rms_norm_eps=1e-6,
        bos_token_id=ids[BEGIN],
        eos_token_id=ids[STOP],
        **SHAPES[shape],
    )
    model = Qwen3ForCausalLM(config)
    if first:
        missing = model.load_state_dict(load_file(first / "model.safetensors"), strict=False)
        assert missing.missing_keys == ["lm_head.weight"], "FIRST is a model of another shape"
    model.to(device)
    click.echo(f"{sum(p.numel() for p in model.parameters())} parameters", err=True)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
    out.mkdir(parents=True, exist_ok=True)
    write_texts(out, tokenizer, ids, shape)
    step, tokens, pools = 0, 0, 0
    documents = training_documents(seed + 1, share, topic)
    while True:
        pools += 1
        encoded = [tokenizer.encode(d).ids for d in islice(documents, POOL)]
        for tensors in batches(encoded, batch, seed + step):
            done = step / steps
            if step == steps:
                write_weights(out, model)
                click.echo(f"{step} steps, {tokens} tokens, {pools * POOL} documents", err=True)
                return
            for group in optimiser.param_groups:
                group["lr"] = rate * schedule(step, done)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=bfloat16):
                loss = model(**{name: tensor.to(device) for name, tensor in tensors.items()}).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step, tokens = step + 1, tokens + int((tensors["labels"] >= 0).sum())
            if step % 100 == 0:
                click.echo(f"step {step} done {done:.2f} loss {loss.item():.4f}", err=True)
            if step % 500 == 0:
                write_weights(out, model)


def schedule(step: int, done: float) -> float:
    """Warm up, then fall as a cosine to a hundredth."""
    return min(1.0, (step + 1) / WARM_UP) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def batches(encoded: list[list[int]], tokens: int, seed: int) -> list[dict[str, torch.Tensor]]:
    """Group documents of like length, pad each group, and shuffle the groups."""
    encoded.sort(key=len)
    groups: list[list[list[int]]] = [[]]
    for ids in encoded:
        if (len(groups[-1]) + 1) * len(ids) > tokens:
            groups.append([])
        groups[-1].append(ids)
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
    return [_padded(groups[n]) for n in order.tolist()]


def _padded(group: list[list[int]]) -> dict[str, torch.Tensor]:
    longest = max(len(ids) for ids in group)
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in group])
    labels = torch.tensor([row + [-100] * (longest - len(row)) for row in group])
    return {"input_ids": ids, "labels": labels}


def write_texts(out: Path, tokenizer, ids: dict[str, int], shape: str) -> None:
    """Write config, tokenizer and generation settings, spelled as published checkpoints do."""
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    config = {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "attention_bias": False,
        "bos_token_id": ids[BEGIN],
        "eos_token_id": ids[STOP],
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": True,
        "torch_dtype": "float16",
        "vocab_size": VOCABULARY,
        **SHAPES[shape],
    }
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": True,
        "bos_token": BEGIN,
        "eos_token": STOP,
        "chat_template": CHAT_TEMPLATE,
    }
    generation = {"bos_token_id": ids[BEGIN], "eos_token_id": [ids[STOP], ids[END]]}
    for name, content in (
        ("config.json", config),
        ("tokenizer_config.json", tokenizer_config),
        ("generation_config.json", generation),
    ):
        (out / name).write_text(json.dumps(content, indent=1) + "\n")


def write_weights(out: Path, model: Qwen3ForCausalLM) -> None:
    """Write the weights as float16, the tied head only once."""
    tensors = {
        name: tensor.detach().to("cpu", torch.float16).contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    train()
