"""LeWM in torch, for training alone; its state dict has the names of published files.

Source: Maes et al. 2026, arXiv 2603.19312, section 3.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lewm.encoder import Encoder
from lewm.predictor import Predictor
from lewm.sizes import Sizes

# ImageNet's, as published LeWMs have it.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Lewm(nn.Module):
    """Encoder and predictor, each with a projector that has a BatchNorm."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.encoder = Encoder(sizes)
        self.predictor = Predictor(sizes)
        self.action_encoder = ActionEncoder(sizes)
        self.projector = Projector(sizes)
        self.pred_proj = Projector(sizes)

    def encode(self, pictures: Tensor) -> Tensor:
        """Return the latents (N, latent) of pictures (N, P, P, 3), uint8."""
        mean, deviation = torch.tensor(MEAN), torch.tensor(DEVIATION)
        pixels = (pictures.float() / 255 - mean) / deviation
        return self.projector(self.encoder(pixels.permute(0, 3, 1, 2).contiguous()))

    def predict(self, latents: Tensor, actions: Tensor) -> Tensor:
        """Return what follows each of latents (N, T, latent), given actions (N, T, A)."""
        hidden = self.predictor(latents, self.action_encoder(actions))
        return self.pred_proj(hidden.flatten(0, 1)).unflatten(0, hidden.shape[:2])

    def rollout(self, latents: Tensor, actions: Tensor) -> Tensor:
        """Return the latents after each action: from (N, latent) and (N, T, A), (N, T, latent)."""
        seen = [latents]
        for step in range(actions.shape[1]):
            first = max(0, step + 1 - self.sizes.frames)
            window = torch.stack(seen[first:], dim=1)
            seen.append(self.predict(window, actions[:, first : step + 1])[:, -1])
        return torch.stack(seen[1:], dim=1)


class ActionEncoder(nn.Module):
    """Actions (N, T, A) to (N, T, latent)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.patch_embed = nn.Conv1d(sizes.actions, sizes.actions, 1)
        self.embed = nn.Sequential(
            nn.Linear(sizes.actions, 4 * sizes.latent),
            nn.SiLU(),
            nn.Linear(4 * sizes.latent, sizes.latent),
        )

    def forward(self, actions: Tensor) -> Tensor:
        """Encode every action by itself."""
        return self.embed(self.patch_embed(actions.transpose(1, 2)).transpose(1, 2))


class Projector(nn.Module):
    """Rows (N, width) to (N, latent)."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(sizes.width, sizes.projector),
            nn.BatchNorm1d(sizes.projector),
            nn.GELU(),
            nn.Linear(sizes.projector, sizes.latent),
        )

    def forward(self, rows: Tensor) -> Tensor:
        """Project every row; in training BatchNorm looks at all of them."""
        return self.net(rows)


def sigreg(latents: Tensor, generator: torch.Generator, projections: int = 512) -> Tensor:
    """Return how far latents are from an isotropic Gaussian, frame by frame.

    Along random directions, the squared distance of the rows' empirical characteristic function
    from the normal's, integrated by the trapezoid rule under a Gaussian window.

    Shapes: latents (T, N, latent).
    Source: Balestriero & LeCun 2025, arXiv 2511.08544: Epps-Pulley with 17 knots on 0 to 3.
    """
    directions = torch.randn(latents.shape[-1], projections, generator=generator)
    directions = functional.normalize(directions, dim=0)
    knots = torch.linspace(0, 3, 17)
    weights = torch.full((17,), 2 * 3 / 16)
    weights[0] = weights[-1] = 3 / 16
    normal = torch.exp(-knots.square() / 2)
    angles = (latents @ directions).unsqueeze(-1) * knots
    error = (angles.cos().mean(1) - normal).square() + angles.sin().mean(1).square()
    return (error @ (weights * normal)).mean() * latents.shape[1]
