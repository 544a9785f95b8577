"""Mamba's recurrence with its gradient, stepping over time with one small block of state."""

from __future__ import annotations

import torch


class SelectiveScan(torch.autograd.Function):
    """h = exp(dt·A)·h + dt·x·B, y = Σ h·C over the states.

    Time comes first and channels last, so that a step reads whole rows and its state stays in the
    cache; exp(dt·A) is computed again on the way back.

    Shapes: x, dt, y (T, B, E); a (N, E); b, c (T, N, B); state (N, B, E).
    Source: Gu & Dao 2023, algorithm 2.
    """

    @staticmethod
    def forward(ctx, x, dt, a, b, c):
        """Return y, from a state of zeros."""
        steps, batch, channels = x.shape
        states = x.new_empty(steps, a.shape[0], batch, channels)
        decay, seen = torch.empty_like(states[0]), torch.zeros_like(states[0])
        y, fed = torch.empty_like(x), dt * x
        before = seen.clone()
        for t in range(steps):
            torch.mul(a[:, None], dt[t], out=decay).exp_()
            torch.mul(before, decay, out=states[t])
            before = states[t].addcmul_(fed[t], b[t][..., None])
            torch.mul(before, c[t][..., None], out=seen)
            torch.sum(seen, 0, out=y[t])
        ctx.save_for_backward(x, dt, a, b, c, states)
        return y

    @staticmethod
    def backward(ctx, grad_y):
        """Return the gradients of x, dt, a, b and c."""
        x, dt, a, b, c, states = ctx.saved_tensors
        fed, grad_fed, grad_dt = dt * x, torch.empty_like(x), torch.empty_like(x)
        grad_b, grad_c = torch.empty_like(b), torch.empty_like(c)
        grad = torch.zeros_like(states[0])
        grad_a, decay, work = torch.zeros_like(grad), torch.empty_like(grad), torch.empty_like(grad)
        for t in reversed(range(x.shape[0])):
            torch.mul(states[t], grad_y[t], out=work)
            torch.sum(work, -1, out=grad_c[t])
            grad.addcmul_(grad_y[t], c[t][..., None])
            torch.mul(grad, fed[t], out=work)
            torch.sum(work, -1, out=grad_b[t])
            torch.mul(grad, b[t][..., None], out=work)
            torch.sum(work, 0, out=grad_fed[t])
            torch.mul(a[:, None], dt[t], out=decay).exp_()
            grad.mul_(decay)
            if t == 0:
                grad_dt[0].zero_()
                break
            torch.mul(grad, states[t - 1], out=decay)
            grad_a.addcmul_(decay, dt[t])
            torch.mul(decay, a[:, None], out=work)
            torch.sum(work, 0, out=grad_dt[t])
        return (
            grad_fed * dt,
            grad_dt.addcmul_(grad_fed, x),
            grad_a.sum(1),
            grad_b,
            grad_c,
        )
