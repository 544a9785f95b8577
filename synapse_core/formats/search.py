"""The scale of a run that loses least: what the K-quants are encoded with.

Runs lie in columns, (columns of a run, runs), so that every operation is long. For given codes the
best scale (and minimum) are those of a weighted least-squares line; codes are tried for several
first guesses of the scale.
"""

from __future__ import annotations

import numpy as np

# How many steps more than its codes have a run's span is divided into at first, and how often the
# codes are then taken again from the best line. The error of q4_k and q5_k is then llama.cpp's.
LINE_TRIALS = tuple(n / 5 for n in range(-10, 6))
REFITS = 2
SCALE_TRIALS = (0.0, *(sign * n / 10 for n in range(1, 10) for sign in (-1, 1)))
# Two codes that differ in one column of a run have a determinant of 2e-5 of its terms and more;
# less is rounding, and a line through it would be noise.
LEAST_DETERMINANT = 2e-6


def fit_lines(x: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Fit x ≈ scale · code + minimum, codes 0 to `most`, minimum ≤ 0; return both, float32 (runs,).

    Numbers count by their size and the run's root mean square, together: what is large moves the
    products more.

    Shapes: x (columns, runs).
    """
    low = np.minimum(x.min(axis=0), 0)
    span = x.max(axis=0) - low
    weight = np.abs(x)
    weight += np.sqrt(_dots(x, x) / np.float32(len(x)))
    total, moment = weight.sum(axis=0), _dots(weight, x)
    best_scale, best_low = span / np.float32(most), low
    best = np.full_like(low, -np.inf)
    codes, weighted = np.empty_like(x), np.empty_like(x)
    for trial in range(len(LINE_TRIALS) + REFITS):
        if trial < len(LINE_TRIALS):
            start, step = low, span / np.float32(most + LINE_TRIALS[trial])
        else:
            start, step = best_low, best_scale
        np.subtract(x, start, out=codes)
        np.divide(codes, step, out=codes)
        np.rint(codes, out=codes)
        np.clip(codes, np.float32(0), np.float32(most), out=codes)
        np.multiply(weight, codes, out=weighted)
        first, second, mixed = weighted.sum(axis=0), _dots(weighted, codes), _dots(weighted, x)
        determinant = total * second - first * first
        scale = (total * mixed - moment * first) / determinant
        minimum = (second * moment - first * mixed) / determinant
        above = minimum > 0
        scale[above] = (mixed / second)[above]
        minimum[above] = 0
        # The weighted squares of x less those of what is left: greatest where least is left
        gain = scale * mixed + minimum * moment
        better = (determinant > np.float32(LEAST_DETERMINANT) * total * second) & (gain > best)
        best = np.where(better, gain, best)
        best_scale = np.where(better, scale, best_scale)
        best_low = np.where(better, minimum, best_low)
    return best_scale, best_low


def fit_scales(x: np.ndarray, half: int) -> np.ndarray:
    """Fit x ≈ scale · code, codes −half to half − 1; return the scales, float32 (runs,).

    Codes are tried as if the number farthest from zero had the code −(half + step). Errors count by
    the number's square.

    Shapes: x (columns, runs).
    """
    farthest = np.abs(x).argmax(axis=0)[None]
    peak = np.take_along_axis(x, farthest, 0)[0]
    y = np.divide(x, peak, out=np.zeros_like(x), where=peak != 0)
    weight = y * y
    cubed = weight * y
    best_scale, best = np.zeros_like(peak), np.zeros_like(peak)
    codes, weighted = np.empty_like(y), np.empty_like(y)
    for step in SCALE_TRIALS:
        np.multiply(y, np.float32(-half - step), out=codes)
        np.rint(codes, out=codes)
        np.clip(codes, np.float32(-half), np.float32(half - 1), out=codes)
        np.multiply(weight, codes, out=weighted)
        mixed, second = _dots(cubed, codes), _dots(weighted, codes)
        scale = mixed / second
        better = scale * mixed > best
        best = np.where(better, scale * mixed, best)
        best_scale = np.where(better, scale, best_scale)
    fitted: np.ndarray = best_scale * peak
    return fitted


def _dots(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return Σ a · b over the first axis."""
    sums: np.ndarray = np.einsum("ij,ij->j", a, b)
    return sums
