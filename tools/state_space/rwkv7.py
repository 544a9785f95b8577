"""RWKV-7 in torch, its tensors named and shaped as in BlinkDL's checkpoints."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from state_space.linear import Linear
from state_space.wkv7 import CHUNK, wkv7

SHAPE = {
    "hidden_size": 128,
    "num_hidden_layers": 4,
    "head_dim": 32,
    "intermediate_size": 288,
}
RANKS = {"w": 8, "a": 8, "v": 8, "g": 16}
EPSILON = 1e-5
# 1e-5 times the square of head_size_divisor, which is 8 whatever the width of a head.
HEAD_EPSILON = 64e-5


def before(rows: torch.Tensor) -> torch.Tensor:
    """Return each row's predecessor minus itself; nought comes before the first."""
    return functional.pad(rows, (0, 0, 1, -1)) - rows


class TimeMix(nn.Module):
    """The recurrence over time.

    Shapes: rows (B, T, C); mixes, biases of LoRA pairs (1, 1, C); r_k (H, N).
    Source: Peng et al. 2025 (RWKV-7), eq. 1 to 22.
    """

    def __init__(self, shape: dict[str, int], layer: int) -> None:
        super().__init__()
        width, self.head = shape["hidden_size"], shape["head_dim"]
        self.layer = layer
        depth = layer / max(1, shape["num_hidden_layers"] - 1)
        place = torch.arange(width) / (width - 1)
        rising = torch.arange(width) / width
        for name, power in (("r", 0.2), ("w", 0.9), ("k", 0.7), ("v", 0.7), ("a", 0.9), ("g", 0.2)):
            mix = 1 - rising ** (power * (1 - layer / shape["num_hidden_layers"]))
            setattr(self, f"x_{name}", nn.Parameter(mix.view(1, 1, -1)))
        zigzag = (torch.arange(width) % self.head - (self.head - 1) / 2) / ((self.head - 1) / 2)
        bias = {
            "w": -6 + 6 * place ** (1 + math.sqrt(depth)) + 0.5 + 2.5 * zigzag * zigzag.abs(),
            "a": -0.19 + 0.3 * zigzag + 0.4 * (place - 0.5),
            "v": 0.73 - 0.4 * (place - 0.5),
        }
        for name, rank in RANKS.items():
            if name == "v" and layer == 0:
                continue
            if name in bias:
                setattr(self, f"{name}0", nn.Parameter(bias[name].view(1, 1, -1)))
            setattr(self, f"{name}1", nn.Parameter(torch.zeros(width, rank)))
            up = nn.init.orthogonal_(torch.empty(rank, width), gain=0.1 * math.sqrt(width / rank))
            setattr(self, f"{name}2", nn.Parameter(up))
        nn.init.orthogonal_(self.g1, gain=0.1)
        self.k_k = nn.Parameter((0.71 - 0.1 * (place - 0.5)).view(1, 1, -1))
        self.k_a = nn.Parameter(torch.full((1, 1, width), 1.02))
        self.r_k = nn.Parameter(torch.full((width // self.head, self.head), -0.04))
        for name, gain in (("receptance", 1.0), ("key", 0.1), ("value", 1.0), ("output", 0.0)):
            setattr(self, name, Linear(width, width, bias=False))
            nn.init.orthogonal_(getattr(self, name).weight, gain=gain)
        self.ln_x = nn.GroupNorm(width // self.head, width, eps=HEAD_EPSILON)
        nn.init.constant_(self.ln_x.weight, ((layer + 1) / shape["num_hidden_layers"]) ** 0.7)

    def forward(
        self, rows: torch.Tensor, v_first: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what is added to the rows, and the values of the first layer."""
        delta = before(rows)
        xr, xw, xk, xv, xa, xg = (
            torch.addcmul(rows, delta, mix)
            for mix in (self.x_r, self.x_w, self.x_k, self.x_v, self.x_a, self.x_g)
        )
        r, k, v = self.receptance(xr), self.key(xk), self.value(xv)
        low = torch.tanh(xw @ self.w1) @ self.w2
        log_w = -math.exp(-0.5) * torch.sigmoid(self.w0 + low)
        if v_first is None:
            v_first = v
        else:
            v = v + (v_first - v) * torch.sigmoid(self.v0 + xv @ self.v1 @ self.v2)
        a = torch.sigmoid(self.a0 + xa @ self.a1 @ self.a2)
        g = torch.sigmoid(xg @ self.g1) @ self.g2
        heads = (*rows.shape[:2], -1, self.head)
        kk = functional.normalize((k * self.k_k).view(heads), dim=-1)
        k = (k * (1 + (a - 1) * self.k_a)).view(heads)
        r, v_heads = r.view(heads), v.view(heads)
        y = wkv7(r, log_w.view(heads), k, v_heads, -kk, kk * a.view(heads))
        y = self.ln_x(y.flatten(2).flatten(0, 1)).view(rows.shape)
        bonus = (r * k * self.r_k).sum(-1, keepdim=True) * v_heads
        return self.output((y + bonus.flatten(2)) * g), v_first


class ChannelMix(nn.Module):
    """A feed-forward part with a squared ReLU, over each row and the one before.

    Source: Peng et al. 2025 (RWKV-7), eq. 23 and 24.
    """

    def __init__(self, shape: dict[str, int], layer: int) -> None:
        super().__init__()
        width, inner = shape["hidden_size"], shape["intermediate_size"]
        rising = torch.arange(width) / width
        mix = 1 - rising ** ((1 - layer / shape["num_hidden_layers"]) ** 4)
        self.x_k = nn.Parameter(mix.view(1, 1, -1))
        self.key = Linear(width, inner, bias=False)
        self.value = Linear(inner, width, bias=False)
        nn.init.orthogonal_(self.key.weight, gain=math.sqrt(inner / width))
        nn.init.zeros_(self.value.weight)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what is added to the rows."""
        mixed = torch.addcmul(rows, before(rows), self.x_k)
        return self.value(torch.relu(self.key(mixed)) ** 2)


class Block(nn.Module):
    """Time mix, then channel mix, each behind a layer norm; one more norm before the first."""

    def __init__(self, shape: dict[str, int], layer: int) -> None:
        super().__init__()
        width = shape["hidden_size"]
        if layer == 0:
            self.ln0 = nn.LayerNorm(width, eps=EPSILON)
        self.ln1 = nn.LayerNorm(width, eps=EPSILON)
        self.ln2 = nn.LayerNorm(width, eps=EPSILON)
        self.att = TimeMix(shape, layer)
        self.ffn = ChannelMix(shape, layer)


class Rwkv7(nn.Module):
    """A language model of RWKV-7 layers."""

    def __init__(self, vocabulary: int, shape: dict[str, int] | None = None) -> None:
        super().__init__()
        self.shape = SHAPE | (shape or {})
        width = self.shape["hidden_size"]
        self.emb = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(
            Block(self.shape, layer) for layer in range(self.shape["num_hidden_layers"])
        )
        self.ln_out = nn.LayerNorm(width, eps=EPSILON)
        self.head = Linear(width, vocabulary, bias=False)
        nn.init.uniform_(self.emb.weight, -1e-4, 1e-4)
        nn.init.orthogonal_(self.head.weight, gain=0.5 * math.sqrt(max(1, vocabulary / width)))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, T, V) of ids (B, T)."""
        steps = ids.shape[1]
        rows = self.blocks[0].ln0(self.emb(functional.pad(ids, (0, -steps % CHUNK))))
        v_first = None
        for block in self.blocks:
            added, v_first = block.att(block.ln1(rows), v_first)
            rows = rows + added
            rows = rows + block.ffn(block.ln2(rows))
        return self.head(self.ln_out(rows[:, :steps]))

    def config(self) -> dict[str, object]:
        """Return what config.json says of the shape."""
        return {
            "architectures": ["RWKV7ForCausalLM"],
            "model_type": "rwkv7",
            "num_heads": self.shape["hidden_size"] // self.shape["head_dim"],
            "norm_eps": EPSILON,
            "has_ln0": True,
            "attention_output_bias": False,
            "head_bias": False,
            "tie_word_embeddings": False,
            "vocab_size": self.emb.num_embeddings,
            **self.shape,
        }
