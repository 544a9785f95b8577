"""RWKV-7's recurrence by chunks: within a chunk as products of small matrices.

S_t = S_{t-1}·(diag(w_t) + a_t b_tᵀ) + v_t k_tᵀ and y_t = S_t r_t. With P_t the product of the
decays of a chunk up to t, and u_t = S_{t-1} a_t, the u of a chunk solve a triangular system in
a_t·P_{t-1}, b_s / P_s and k_s / P_s. A decay is at least exp(-e^-0.5) = 0.545, so that 1 / P stays
below 17,000 in a chunk of 16, and each product of the two is at most 1: float32 is enough.

Source: Peng et al. 2025 (RWKV-7), eq. 16 to 18; the WY form of Yang et al. 2024 (DeltaNet).
"""

from __future__ import annotations

import torch

CHUNK = 16


def wkv7(
    r: torch.Tensor,
    log_w: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
) -> torch.Tensor:
    """Return y from a state of zeros; T must be a multiple of CHUNK.

    Shapes: all (B, T, H, N).
    """
    batch, steps, heads, width = r.shape
    parts = (batch, steps // CHUNK, CHUNK, heads, width)

    def chunks(tensor: torch.Tensor) -> torch.Tensor:
        """(B, T, H, N) as (B·H, T / CHUNK, CHUNK, N)."""
        return tensor.reshape(parts).permute(0, 3, 1, 2, 4).flatten(0, 1)

    r, log_w, k, v, a, b = map(chunks, (r, log_w, k, v, a, b))
    total = log_w.cumsum(-2)
    shrink, grow = total.exp(), (-total).exp()
    a, r = a * (total - log_w).exp(), r * shrink
    right = torch.cat([k * grow, b * grow], -2)  # (.., 2·CHUNK, N)
    met = torch.cat([a, r], -2) @ right.mT * _mask(r)  # (.., 2·CHUNK, 2·CHUNK)
    inverse = _inverse(met[..., :CHUNK, CHUNK:])
    u_of_v = inverse @ torch.cat([a, met[..., :CHUNK, :CHUNK] @ v], -1)
    weights, fixed = u_of_v[..., :width], u_of_v[..., width:]
    state = r.new_zeros(len(r), width, width)  # [key, value]
    states, us = [], []
    for chunk in range(parts[1]):
        states.append(state)
        us.append(torch.baddbmm(fixed[:, chunk], weights[:, chunk], state))
        added = torch.cat([v[:, chunk], us[-1]], 1)
        state = torch.baddbmm(state, right[:, chunk].mT, added)
        state = state * shrink[:, chunk, -1, :, None]
    seen = torch.cat([torch.stack(states, 1), v, torch.stack(us, 1)], -2)
    y = torch.cat([r, met[..., CHUNK:, :]], -1) @ seen
    return y.view(batch, heads, steps, width).transpose(1, 2)


def _mask(like: torch.Tensor) -> torch.Tensor:
    """Of a's rows what came before, of r's also what comes with them."""
    ones = like.new_ones(CHUNK, CHUNK)
    return torch.cat([ones.tril(-1).repeat(1, 2), ones.tril().repeat(1, 2)])


def _inverse(lower: torch.Tensor) -> torch.Tensor:
    """(I - L)⁻¹ of strictly lower L, as (I + L)(I + L²)(I + L⁴)(I + L⁸): L¹⁶ is nought."""
    one = torch.eye(CHUNK)
    power, inverse = lower, one + lower
    for _ in range(3):
        power = power @ power
        inverse = inverse + inverse @ power
    return inverse
