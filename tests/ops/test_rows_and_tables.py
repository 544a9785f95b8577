"""Tables, rope and the ops that move between row spaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synapse_core.errors import ShapeError, UsageError
from synapse_core.ops import I32, TensorType, WeightType
from synapse_core.ops.embedding import ADD_POSITIONS, EMBEDDING
from synapse_core.ops.rope import ROPE
from synapse_core.ops.rows import APPEND_ROW, PATCHES, POOL_ROWS, SELECT_ROWS
from tests.ops.conftest import COUNTED, TOKENS, Space, Weight, numbers, run, table

IMAGES = Space("images", "images")
GROUPS = Space("images.patches", "images", 3)
HALF = {"head_dim": 6, "rotary_dim": 4, "style": "half"}


def test_embedding_is_the_scaled_row_of_each_id():
    ids, w = np.array([[3], [0], [3]], np.int32), Weight.of(numbers(5, 4), "f16", "table")
    types = [TensorType(TOKENS, 1, I32, 5), w.type]
    (y,) = run(EMBEDDING, [ids, w], types=types, scale=2.0)
    np.testing.assert_array_equal(y, 2 * w.rows_f32()[[3, 0, 3]])


def test_embedding_refuses_ids_beyond_its_table():
    w = WeightType("table", 5, 4)
    for ids in (TensorType(TOKENS, 1, I32, 6), TensorType(TOKENS, 1, I32, 0, "tokens")):
        with pytest.raises(ShapeError, match=r"'table' has 5 rows"):
            EMBEDDING.infer([ids, w], {"scale": 1.0})
    with pytest.raises(ShapeError, match=r"ids.*tokens × 1 f32"):
        EMBEDDING.infer([TensorType(TOKENS, 1), w], {"scale": 1.0})


def test_add_positions_reads_each_row_s_position():
    x, w = numbers(5, 4), Weight.of(numbers(9, 4, seed=6))
    (y,) = run(ADD_POSITIONS, [x, w], rows=table((1, 4, 2), (0, 0, 3)), offset=2)
    np.testing.assert_array_equal(y, x + w.rows_f32()[[6, 7, 2, 3, 4]])
    (y,) = run(ADD_POSITIONS, [numbers(6, 4), w], space=GROUPS)
    np.testing.assert_array_equal(y, numbers(6, 4) + w.rows_f32()[[0, 1, 2, 0, 1, 2]])


def test_add_positions_refuses_what_the_table_lacks():
    w = Weight.of(numbers(3, 4), name="pos")
    with pytest.raises(UsageError, match=r"row 3 of table 'pos', which has 3"):
        run(ADD_POSITIONS, [numbers(4, 4), w])
    with pytest.raises(ShapeError, match=r"3 rows.*row 1.*'pos'.* 3"):
        run(ADD_POSITIONS, [numbers(3, 4), w], space=GROUPS, offset=1)
    with pytest.raises(ShapeError, match=r"x has 5 columns, table 'pos' has 4"):
        run(ADD_POSITIONS, [numbers(2, 5), w])
    with pytest.raises(ShapeError, match=r"outputs"):
        run(ADD_POSITIONS, [numbers(2, 4), w], space=COUNTED)


@pytest.mark.parametrize("style", ["half", "interleaved"])
def test_rope_turns_pairs_as_complex_numbers_do(style):
    x, inv_freq = numbers(4, 12), np.array([1.0, 0.25], np.float32)
    options = {**HALF, "style": style, "magnitude": 1.5}
    (y,) = run(ROPE, [x, Weight.of(inv_freq)], rows=table((0, 7, 4)), **options)
    for t in range(4):
        for head in range(2):
            a, b = x[t, 6 * head : 6 * head + 6], y[t, 6 * head : 6 * head + 6]
            for i in range(2):
                p, q = (i, i + 2) if style == "half" else (2 * i, 2 * i + 1)
                turned = complex(a[p], a[q]) * 1.5 * np.exp(1j * (7 + t) * float(inv_freq[i]))
                assert complex(b[p], b[q]) == pytest.approx(turned, abs=1e-5)
            np.testing.assert_array_equal(b[4:], a[4:])


@settings(max_examples=30, deadline=None)
@given(i=st.integers(0, 500), j=st.integers(0, 500), shift=st.integers(0, 500))
@pytest.mark.parametrize("style", ["half", "interleaved"])
def test_rope_products_depend_on_the_distance_only(style, i, j, shift):
    inv_freq = Weight.of(np.array([1.0, 0.1, 0.01], np.float32))

    def turned(seed: int, position: int) -> np.ndarray:
        rows = table((0, position, 1))
        x = numbers(1, 6, seed=seed)
        return run(ROPE, [x, inv_freq], rows=rows, **{**HALF, "rotary_dim": 6, "style": style})[0]

    here = float(turned(1, i)[0] @ turned(2, j)[0])
    there = float(turned(1, i + shift)[0] @ turned(2, j + shift)[0])
    assert here == pytest.approx(there, abs=1e-3)


def test_rope_angle_is_a_float32_product():
    position, frequency = 123_457, np.float32(0.7071)
    x = np.array([[1.0, 0.0]], np.float32)
    rows = table((0, position, 1))
    options = {"head_dim": 2, "rotary_dim": 2, "style": "half"}
    (y,) = run(ROPE, [x, Weight.of(np.array([frequency]))], rows=rows, **options)
    angle = float(np.float32(position) * frequency)
    np.testing.assert_allclose(y[0], [np.cos(angle), np.sin(angle)], atol=1e-6)


@pytest.mark.parametrize(
    ("cols", "options", "size", "words"),
    [
        (13, {}, 2, "13 columns.*head_dim 6"),
        (12, {"rotary_dim": 8}, 4, "rotary_dim 8.*head_dim 6"),
        (12, {"rotary_dim": 3}, 1, "rotary_dim 3.*even"),
        (12, {}, 3, r"'f' is \(1, 3\).*\(1, 2\)"),
    ],
)
def test_rope_errors_name_both_sides(cols, options, size, words):
    options = {**HALF, "magnitude": 1.0, **options}
    with pytest.raises(ShapeError, match=words):
        ROPE.infer([TensorType(TOKENS, cols), WeightType("f", 1, size)], options)
    with pytest.raises(ShapeError, match=r"rope.*outputs"):
        ROPE.infer([TensorType(COUNTED, 12), WeightType("f", 1, 2)], {**HALF, "magnitude": 1.0})


def test_patches_are_windows_of_the_image_in_reading_order():
    image = numbers(2, 2 * 4 * 6)
    options = {"channels": 2, "height": 4, "width": 6, "patch": 2}
    (y,) = run(PATCHES, [image], space=IMAGES, **options)
    pixels = image.reshape(2, 2, 4, 6)
    for n in range(2):
        for row in range(2):
            for column in range(3):
                window = pixels[n, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                np.testing.assert_array_equal(y[6 * n + 3 * row + column], window.ravel())
    (type,) = PATCHES.infer([TensorType(IMAGES, 48)], options)
    assert (type.space, type.cols) == (Space("images.patches", "images", 6), 8)


@pytest.mark.parametrize(
    ("space", "cols", "patch", "words"),
    [
        (IMAGES, 47, 2, "47.*2 × 4 × 6.*48"),
        (IMAGES, 48, 4, "4 × 6 .*4"),
        (IMAGES, 48, 0, "4 × 6 .*0"),
        (GROUPS, 48, 2, "images.patches"),
    ],
)
def test_patches_errors_name_both_sides(space, cols, patch, words):
    options = {"channels": 2, "height": 4, "width": 6, "patch": patch}
    with pytest.raises(ShapeError, match=words):
        PATCHES.infer([TensorType(space, cols)], options)


@pytest.mark.parametrize("where", ["front", "back"])
def test_an_appended_row_is_selected_back(where):
    x, row = numbers(6, 4), Weight.of(numbers(4, seed=9))
    types = [TensorType(GROUPS, 4), row.type]
    (longer,) = APPEND_ROW.infer(types, {"where": where})
    assert longer.space == Space("images.patches+1", "images", 4)
    (y,) = run(APPEND_ROW, [x, row], space=GROUPS, where=where)
    index = 0 if where == "front" else 3
    (one,) = run(SELECT_ROWS, [y, None], space=longer.space, row=index)
    np.testing.assert_array_equal(one, np.repeat(row.rows_f32(), 2, axis=0))
    kept = np.delete(y.reshape(2, 4, 4), index, axis=1)
    np.testing.assert_array_equal(kept.reshape(6, 4), x)


def test_rows_of_groups_return_to_the_base_space():
    for op, inputs, options in (
        (SELECT_ROWS, [TensorType(GROUPS, 4), None], {"row": 2}),
        (POOL_ROWS, [TensorType(GROUPS, 4)], {"first": 0}),
    ):
        assert op.infer(inputs, options) == (TensorType(IMAGES, 4),)


def test_pool_is_the_mean_of_each_group():
    x = numbers(6, 4)
    (y,) = run(POOL_ROWS, [x], space=GROUPS)
    np.testing.assert_allclose(y, [x[:3].mean(axis=0), x[3:].mean(axis=0)], atol=1e-6)


def test_pool_from_a_row_on_leaves_out_those_before():
    x = numbers(6, 4)
    (y,) = run(POOL_ROWS, [x], space=GROUPS, first=1)
    np.testing.assert_allclose(y, [x[1:3].mean(axis=0), x[4:].mean(axis=0)], atol=1e-6)
    with pytest.raises(ShapeError, match=r"row 3 on of groups of 3"):
        POOL_ROWS.infer([TensorType(GROUPS, 4)], {"first": 3})


def test_select_by_index_may_repeat_and_reorder():
    x, index = numbers(5, 3), np.array([[4], [0], [4]], np.int32)
    types = [TensorType(TOKENS, 3), TensorType(COUNTED, 1, I32, 0, "tokens")]
    (y,) = run(SELECT_ROWS, [x, index], types=types)
    np.testing.assert_array_equal(y, x[[4, 0, 4]])


def test_row_ops_name_both_sides():
    x, options = TensorType(GROUPS, 4), {"row": 3, "where": "front"}
    with pytest.raises(ShapeError, match=r"row 3.*3.*images.patches"):
        SELECT_ROWS.infer([x, None], options)
    with pytest.raises(ShapeError, match=r"'tokens'.*'images.patches'"):
        SELECT_ROWS.infer([x, TensorType(COUNTED, 1, I32, 0, "tokens")], options)
    with pytest.raises(ShapeError, match=r"'row' is \(1, 5\).*\(1, 4\)"):
        APPEND_ROW.infer([x, WeightType("row", 1, 5)], options)
    base = TensorType(IMAGES, 4)
    for op, inputs in ((POOL_ROWS, [base]), (SELECT_ROWS, [base, None])):
        with pytest.raises(ShapeError, match=rf"{op.name}.*'images'"):
            op.infer(inputs, {"row": 0, "first": 0})
