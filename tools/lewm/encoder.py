"""The picture's side of LeWM: a pre-norm ViT whose modules have transformers-4's names."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lewm.sizes import Sizes

EPSILON = 1e-12


class Encoder(nn.Module):
    """Pictures (N, 3, P, P), normalised, to their CLS token (N, width)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embeddings = Embeddings(sizes)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.layernorm = nn.LayerNorm(sizes.width, eps=EPSILON)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the CLS token behind the last norm: (N, width)."""
        hidden = self.embeddings(pixels)
        for layer in self.encoder.layer:
            hidden = layer(hidden)
        return self.layernorm(hidden[:, 0])


class Embeddings(nn.Module):
    """Patches, projected, after a CLS token, with learned positions added."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        tokens = (sizes.image // sizes.patch) ** 2 + 1
        self.cls_token = nn.Parameter(torch.randn(1, 1, sizes.width) * 0.02)
        self.position_embeddings = nn.Parameter(torch.randn(1, tokens, sizes.width) * 0.02)
        self.patch_embeddings = nn.Module()
        self.patch_embeddings.projection = nn.Conv2d(3, sizes.width, sizes.patch, sizes.patch)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the tokens (N, patches + 1, width)."""
        patches = self.patch_embeddings.projection(pixels).flatten(2).transpose(1, 2)
        cls = self.cls_token.expand(len(patches), -1, -1)
        return torch.cat([cls, patches], dim=1) + self.position_embeddings


class Layer(nn.Module):
    """Attention, then the feed-forward, each after a norm and added to what came in."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.attention = nn.Module()
        self.attention.attention = nn.Module()
        for name in ("query", "key", "value"):
            setattr(self.attention.attention, name, nn.Linear(sizes.width, sizes.width))
        self.attention.output = _dense(sizes.width, sizes.width)
        self.intermediate = _dense(sizes.width, sizes.ffn)
        self.output = _dense(sizes.ffn, sizes.width)
        self.layernorm_before = nn.LayerNorm(sizes.width, eps=EPSILON)
        self.layernorm_after = nn.LayerNorm(sizes.width, eps=EPSILON)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the tokens of the next layer, (N, tokens, width) as they came."""
        normed = self.layernorm_before(hidden)
        parts = self.attention.attention
        count, tokens, width = normed.shape
        query, key, value = (
            part(normed).view(count, tokens, self.heads, -1).transpose(1, 2)
            for part in (parts.query, parts.key, parts.value)
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        mixed = mixed.transpose(1, 2).reshape(count, tokens, width)
        hidden = hidden + self.attention.output.dense(mixed)
        wide = functional.gelu(self.intermediate.dense(self.layernorm_after(hidden)))
        return hidden + self.output.dense(wide)


def _dense(inputs: int, outputs: int) -> nn.Module:
    module = nn.Module()
    module.dense = nn.Linear(inputs, outputs)
    return module
