"""Mamba-1 in torch, its tensors named as in transformers' MambaForCausalLM."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from state_space.linear import Linear
from state_space.selective_scan import SelectiveScan

SHAPE = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "expand": 2,
    "state_size": 8,
    "conv_kernel": 4,
    "time_step_rank": 8,
    "num_hidden_layers": 6,
}
EPSILON = 1e-5
TIME_STEP = (1e-3, 1e-1)


class Mixer(nn.Module):
    """A causal convolution and a selective scan, gated.

    The scan is SelectiveScan, or a faster one that computes the same.

    Shapes: rows (T, B, C); inside E = intermediate_size channels.
    Source: Gu & Dao 2023, figure 3.
    """

    scan = SelectiveScan

    def __init__(self, shape: dict[str, int]) -> None:
        super().__init__()
        inner, states = shape["intermediate_size"], shape["state_size"]
        self.rank, self.states = shape["time_step_rank"], states
        self.in_proj = Linear(shape["hidden_size"], 2 * inner, bias=False)
        self.conv1d = nn.Conv1d(inner, inner, shape["conv_kernel"], groups=inner)
        self.x_proj = Linear(inner, self.rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(self.rank, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, states + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        self.out_proj = Linear(inner, shape["hidden_size"], bias=False)
        low, high = map(math.log, TIME_STEP)
        first = torch.exp(torch.rand(inner) * (high - low) + low)
        with torch.no_grad():
            # softplus of the bias is the first time step.
            self.dt_proj.bias.copy_(first + torch.log(-torch.expm1(-first)))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Mix rows of one sequence each."""
        x, gate = self.in_proj(rows).chunk(2, dim=-1)
        x = functional.silu(self._convolve(x))
        sizes = (self.rank, self.states, self.states)
        low, b, c = self.x_proj(x).split(sizes, dim=-1)
        dt = functional.softplus(self.dt_proj(low))
        a = -torch.exp(self.A_log).T.contiguous()  # (N, E)
        b, c = (part.transpose(1, 2).contiguous() for part in (b, c))  # (T, N, B)
        y = Mixer.scan.apply(x, dt, a, b, c) + x * self.D
        return self.out_proj(y * functional.silu(gate))

    def _convolve(self, x: torch.Tensor) -> torch.Tensor:
        """Weigh each row and those just before it, channel by channel."""
        taps = self.conv1d.weight[:, 0].T  # (K, E)
        padded = functional.pad(x, (0, 0, 0, 0, len(taps) - 1, 0))
        y = self.conv1d.bias
        for k, tap in enumerate(taps):
            y = torch.addcmul(y, padded[k : k + len(x)], tap)
        return y


class Layer(nn.Module):
    """rows + mixer(norm(rows))."""

    def __init__(self, shape: dict[str, int]) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(shape["hidden_size"], eps=EPSILON)
        self.mixer = Mixer(shape)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the rows with what the mixer adds."""
        return rows + self.mixer(self.norm(rows))


class Backbone(nn.Module):
    """Embedding, layers and the last norm."""

    def __init__(self, shape: dict[str, int], vocabulary: int) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(vocabulary, shape["hidden_size"])
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape["num_hidden_layers"]))
        self.norm_f = nn.RMSNorm(shape["hidden_size"], eps=EPSILON)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the last rows of ids (B, T), time first: (T, B, C)."""
        rows = self.embeddings(ids.T)
        for layer in self.layers:
            rows = layer(rows)
        return self.norm_f(rows)


class Mamba(nn.Module):
    """A language model of Mamba-1 layers; the head is the embedding."""

    def __init__(self, vocabulary: int, shape: dict[str, int] | None = None) -> None:
        super().__init__()
        self.shape = SHAPE | (shape or {})
        self.backbone = Backbone(self.shape, vocabulary)
        nn.init.normal_(self.backbone.embeddings.weight, std=0.02)
        for layer in self.backbone.layers:
            layer.mixer.out_proj.weight.data /= math.sqrt(self.shape["num_hidden_layers"])

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits (B, T, V) of ids (B, T)."""
        rows = self.backbone(ids).transpose(0, 1)
        return functional.linear(rows, self.backbone.embeddings.weight)

    def config(self) -> dict[str, object]:
        """Return what config.json says of the shape, in transformers' words."""
        return {
            "architectures": ["MambaForCausalLM"],
            "model_type": "mamba",
            "hidden_act": "silu",
            "layer_norm_epsilon": EPSILON,
            "residual_in_fp32": True,
            "tie_word_embeddings": True,
            "use_bias": False,
            "use_conv_bias": True,
            "vocab_size": self.backbone.embeddings.num_embeddings,
            **self.shape,
        }
