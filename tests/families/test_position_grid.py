"""Position tables at another size of the image: as PyTorch resizes a picture, bicubically."""

from __future__ import annotations

import numpy as np
import pytest

from synapse_core.families import interpolate_positions

# Positions have standard deviations around one; this is of the largest number of a table.
TOLERANCE = 1e-6
SQUARES = np.arange(1, 10, dtype=np.float32)[:, None] ** 2  # a grid of 3 × 3
GRIDS = [((3, 3), (3, 5)), ((4, 4), (7, 3)), ((5, 5), (1, 1)), ((1, 1), (4, 2)), ((2, 2), (3, 9))]
REAL = [((16, 16), (37, 41)), ((37, 37), (16, 16)), ((14, 14), (24, 24)), ((7, 7), (1, 30))]


def table_of(grid: tuple[int, int], leading: int = 1) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.standard_normal((leading + grid[0] * grid[1], 6)).astype(np.float32)


@pytest.mark.parametrize("antialias", [False, True])
def test_the_same_size_is_the_same_table(antialias: bool) -> None:
    table = table_of((3, 5))
    same = interpolate_positions(table, (3, 5), (3, 5), antialias=antialias)
    assert np.array_equal(same, table)


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("grid", "asked"), GRIDS)
def test_rows_before_the_grid_stay_and_equal_rows_stay_equal(
    grid: tuple[int, int], asked: tuple[int, int], antialias: bool
) -> None:
    table = table_of(grid, leading=2)
    table[2:] = table[2]
    resized = interpolate_positions(table, grid, asked, antialias=antialias)
    assert resized.shape == (2 + asked[0] * asked[1], 6)
    assert resized.dtype == np.float32
    assert np.array_equal(resized[:2], table[:2])
    np.testing.assert_allclose(resized[2:], np.broadcast_to(table[2], (len(resized) - 2, 6)), 2e-6)


def test_axes_are_resized_each_by_itself() -> None:
    table = table_of((4, 3), leading=0)
    turned = table.reshape(4, 3, 6).swapaxes(0, 1).reshape(-1, 6)
    one = interpolate_positions(table, (4, 3), (5, 7)).reshape(5, 7, 6)
    other = interpolate_positions(turned, (3, 4), (7, 5)).reshape(7, 5, 6)
    np.testing.assert_allclose(one, other.swapaxes(0, 1), atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "antialias", "expected"),
    [
        # torch.nn.functional.interpolate of the same nine squares, PyTorch 2.13
        (
            (2, 4),
            False,
            [2.94052, 5.21634, 10.05808, 13.97647, 41.05656, 49.16940, 63.13625, 72.89169],
        ),
        ((2, 2), True, [6.34950, 14.43701, 42.04536, 61.56619]),
    ],
)
def test_numbers_of_pytorch(asked: tuple[int, int], antialias: bool, expected: list[float]) -> None:
    resized = interpolate_positions(SQUARES, (3, 3), asked, antialias=antialias)
    np.testing.assert_allclose(resized[:, 0], expected, atol=81 * TOLERANCE)


@pytest.mark.reference
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("grid", "asked"), [*GRIDS, *REAL])
def test_pytorch_agrees(grid: tuple[int, int], asked: tuple[int, int], antialias: bool) -> None:
    torch = pytest.importorskip("torch")
    table = table_of(grid)
    picture = torch.tensor(table[1:]).reshape(1, *grid, 6).permute(0, 3, 1, 2)
    theirs = torch.nn.functional.interpolate(
        picture, size=asked, mode="bicubic", align_corners=False, antialias=antialias
    )
    ours = interpolate_positions(table, grid, asked, antialias=antialias)
    expected = theirs.permute(0, 2, 3, 1).reshape(-1, 6).numpy()
    np.testing.assert_allclose(ours[1:], expected, atol=1e-5)
