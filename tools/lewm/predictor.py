"""LeWM's predictor: causal attention over past latents, steered by actions (adaLN-zero)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lewm.sizes import Sizes

BLOCK_EPSILON = 1e-6


class Predictor(nn.Module):
    """Latents and encoded actions (N, T, latent) to what follows each latent (N, T, width)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.randn(1, sizes.frames, sizes.latent) * 0.02)
        self.transformer = nn.Module()
        self.transformer.layers = nn.ModuleList(Block(sizes) for _ in range(sizes.depth))
        self.transformer.norm = nn.LayerNorm(sizes.width)
        for name in ("input_proj", "cond_proj"):
            same = sizes.latent == sizes.width
            module = nn.Identity() if same else nn.Linear(sizes.latent, sizes.width)
            setattr(self.transformer, name, module)

    def forward(self, latents: Tensor, actions: Tensor) -> Tensor:
        """Return, for each latent, what follows it, before the last projector."""
        parts = self.transformer
        hidden = parts.input_proj(latents + self.pos_embedding[:, : latents.shape[1]])
        condition = parts.cond_proj(actions)
        for layer in parts.layers:
            hidden = layer(hidden, condition)
        return parts.norm(hidden)


class Block(nn.Module):
    """One layer; its norms have no weights of their own, the action gives shift, scale and gate."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        width = sizes.width
        self.attn = Attention(sizes)
        # The third is a place: published files count a dropout there.
        self.mlp = nn.Module()
        self.mlp.net = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, sizes.mlp),
            nn.GELU(),
            nn.Identity(),
            nn.Linear(sizes.mlp, width),
        )
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))
        nn.init.zeros_(self.adaLN_modulation[1].weight)
        nn.init.zeros_(self.adaLN_modulation[1].bias)

    def forward(self, hidden: Tensor, condition: Tensor) -> Tensor:
        """Return the rows of the next layer; rows and conditions are (N, T, width)."""
        modulation = self.adaLN_modulation(condition).chunk(6, dim=-1)
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation
        hidden = hidden + gate * self.attn(_norm(hidden) * (1 + scale) + shift)
        normed = _norm(hidden) * (1 + mlp_scale) + mlp_shift
        return hidden + mlp_gate * self.mlp.net(normed)


class Attention(nn.Module):
    """Causal attention with a norm of its own before it."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        inner = sizes.predictor_heads * sizes.head
        self.heads = sizes.predictor_heads
        self.norm = nn.LayerNorm(sizes.width)
        self.to_qkv = nn.Linear(sizes.width, 3 * inner, bias=False)
        self.to_out = nn.Sequential(nn.Linear(inner, sizes.width))

    def forward(self, hidden: Tensor) -> Tensor:
        """Mix every row with those before it: (N, T, width)."""
        count, frames, _ = hidden.shape
        qkv = self.to_qkv(self.norm(hidden)).view(count, frames, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.to_out(mixed.transpose(1, 2).reshape(count, frames, -1))


def _norm(hidden: Tensor) -> Tensor:
    return functional.layer_norm(hidden, hidden.shape[-1:], eps=BLOCK_EPSILON)
