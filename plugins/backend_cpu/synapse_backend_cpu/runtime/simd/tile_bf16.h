/* Products in float32 by the tile instructions on bfloat16 (TDPBF16PS): a panel of 32 rows of a weight
 * with up to 32 rows of x, both in parts (split.h).
 *
 * Order of a sum: steps of 32 columns in rising order; of a step the parts of the weight, of each of
 * these the parts of x, the largest first, but for products of less than 2^-21 of the number's; of one
 * product the even columns, the odd ones, their sum, as the instruction adds them. How many rows of x
 * there are does not matter, so there is no other way for one.
 */
#ifndef SYN_TILE_BF16_H
#define SYN_TILE_BF16_H

#include "split.h"
#include "tile_amx.h"

/* Steps of a panel's two halves. `stored` parts of a weight lie there; those that are all zero are left
 * out. */
typedef struct {
    const uint8_t *half[2];
    uint32_t steps, stored, parts;
} syn_split;

/* Tiles of x: parts of T rows for each step, the next tile `next` numbers behind. */
typedef struct {
    const uint16_t *at;
    size_t next;
    uint32_t T, parts;
} syn_split_x;

#ifdef __AMX_BF16__

/* Ask for the step of packed weights behind the next. */
SYN_INLINE void ask_ahead(const uint8_t *step) {
    for (uint32_t i = 0; i < SPLIT_BYTES; i += 64) _mm_prefetch((const char *)(step + NEAR_BYTES + i), _MM_HINT_T0);
}

/* One step of one tile of x. Tiles 0 and 1 are the sums, 2 to 4 parts of x, 6 and 7 weights; what
 * follows on the same weights takes half as long where rows are few. */
SYN_INLINE void multiply_one(const uint8_t *const half[2], const uint16_t *x, size_t tile, int ahead, uint32_t parts_w,
                             uint32_t parts_x) {
#pragma clang loop unroll(full)
    for (uint32_t j = 0; j < parts_w; j++) {
        _tile_loadd(6, half[0] + j * SPLIT_BYTES, 64);
        if (ahead) ask_ahead(half[0]);
        _tile_loadd(7, half[1] + j * SPLIT_BYTES, 64);
        if (ahead) ask_ahead(half[1]);
        if (!j) _tile_loadd(2, x, 64);
        if (!j && parts_x > 1) {
            _tile_loadd(3, x + tile, 64);
            _tile_loadd(4, x + 2 * tile, 64);
        }
        _tile_dpbf16ps(0, 2, 6);
        if (parts_x > 1 && j < 2) _tile_dpbf16ps(0, 3, 6);
        if (parts_x > 1 && j < 1) _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 2, 7);
        if (parts_x > 1 && j < 2) _tile_dpbf16ps(1, 3, 7);
        if (parts_x > 1 && j < 1) _tile_dpbf16ps(1, 4, 7);
    }
}

/* One step of two tiles of x. Tiles 0 to 3 are the sums, 4 and 5 x, 6 and 7 weights. */
SYN_INLINE void multiply_two(const uint8_t *const half[2], const uint16_t *x, size_t tile, size_t next,
                             uint32_t parts_w, uint32_t parts_x) {
#pragma clang loop unroll(full)
    for (uint32_t j = 0; j < parts_w; j++) {
        _tile_loadd(6, half[0] + j * SPLIT_BYTES, 64);
        _tile_loadd(7, half[1] + j * SPLIT_BYTES, 64);
#pragma clang loop unroll(full)
        for (uint32_t i = 0; i < parts_x && i + j < MOST_PARTS; i++) {
            _tile_loadd(4, x + i * tile, 64);
            _tile_loadd(5, x + next + i * tile, 64);
            _tile_dpbf16ps(0, 4, 6);
            _tile_dpbf16ps(1, 4, 7);
            _tile_dpbf16ps(2, 5, 6);
            _tile_dpbf16ps(3, 5, 7);
        }
    }
}

SYN_INLINE void load_sums(const float *y, const float *second) {
    _tile_loadd(0, y, PANEL_ROWS * 4);
    _tile_loadd(1, y + SYN_LANES, PANEL_ROWS * 4);
    if (!second) return;
    _tile_loadd(2, second, PANEL_ROWS * 4);
    _tile_loadd(3, second + SYN_LANES, PANEL_ROWS * 4);
}

SYN_INLINE void store_sums(float *y, float *second) {
    _tile_stored(0, y, PANEL_ROWS * 4);
    _tile_stored(1, y + SYN_LANES, PANEL_ROWS * 4);
    if (!second) return;
    _tile_stored(2, second, PANEL_ROWS * 4);
    _tile_stored(3, second + SYN_LANES, PANEL_ROWS * 4);
}

SYN_INLINE void multiply_steps(float *y, const syn_split *w, const syn_split_x *x, int both, int ahead,
                               uint32_t parts_w, uint32_t parts_x) {
    float *second = both ? y + (size_t)x->T * PANEL_ROWS : NULL;
    size_t tile = (size_t)x->T * STEP_COLUMNS, next = x->next, step_bytes = (size_t)w->stored * SPLIT_BYTES;
    const uint16_t *at = x->at;
    load_sums(y, second);
    for (uint32_t k = 0; k < w->steps; k++, at += parts_x * tile) {
        const uint8_t *half[2] = {w->half[0] + k * step_bytes, w->half[1] + k * step_bytes};
        if (both && ahead) ask_ahead(half[0]), ask_ahead(half[1]);
        if (both) multiply_two(half, at, tile, next, parts_w, parts_x);
        else multiply_one(half, at, tile, ahead, parts_w, parts_x);
    }
    store_sums(y, second);
}

#define SYN_STEPS(AHEAD, PARTS_W, PARTS_X) \
    (both ? multiply_steps(y, w, x, 1, AHEAD, PARTS_W, PARTS_X) : multiply_steps(y, w, x, 0, AHEAD, PARTS_W, PARTS_X))

/* Go on with the sums y (T, 32), or (2 T, 32) if `both`, by some steps; `ahead`: the weights are packed
 * and not yet in the cache. */
static void multiply_parts(float *y, const syn_split *w, const syn_split_x *x, int both, int ahead) {
    if (x->parts == 1 && ahead) SYN_STEPS(1, 1, 1);
    else if (x->parts == 1) SYN_STEPS(0, 1, 1);
    else if (w->parts == 1 && ahead) SYN_STEPS(1, 1, 3);
    else if (w->parts == 1) SYN_STEPS(0, 1, 3);
    else if (w->parts == 2) SYN_STEPS(0, 2, 3);
    else SYN_STEPS(0, 3, 3);
}
#undef SYN_STEPS

/* All steps of one tile of x. Weights are taken apart on the way, a step before they are multiplied. */
SYN_INLINE void stream_steps(float *y, const syn_rows16 rows[2], const syn_split_x *x, uint32_t cols, uint32_t dtype,
                             uint32_t parts_x) {
    _Alignas(64) uint8_t room[2][2][MOST_PARTS * SPLIT_BYTES];
    int round = parts_x == 1;
    uint32_t parts = parts_of(dtype, round), steps = (cols + STEP_COLUMNS - 1) / STEP_COLUMNS;
    size_t tile = (size_t)x->T * STEP_COLUMNS;
    _tile_zero(0);
    _tile_zero(1);
    for (uint32_t n = 0; n <= steps; n++) {
        uint32_t from = n * STEP_COLUMNS, count = cols - from < STEP_COLUMNS ? cols - from : STEP_COLUMNS;
        for (uint32_t h = 0; h < 2 && n < steps; h++)
            split_columns(room[n % 2][h], &rows[h], dtype, round, from, count, 1);
        const uint8_t *half[2] = {room[(n + 1) % 2][0], room[(n + 1) % 2][1]};
        if (n) multiply_one(half, x->at + (n - 1) * parts_x * tile, tile, 0, parts, parts_x);
    }
    store_sums(y, NULL);
}

/* The same for bfloat16, which are multiplied as they lie, but for a last step that is not whole. */
SYN_INLINE void stream_packed(float *y, const syn_rows16 rows[2], const syn_split_x *x, uint32_t cols,
                              uint32_t parts_x) {
    uint8_t room[2][SPLIT_BYTES];
    size_t tile = (size_t)x->T * STEP_COLUMNS;
    const uint16_t *at = x->at;
    const uint8_t *half[2] = {rows[0].packed, rows[1].packed};
    uint32_t left = cols;
    _tile_zero(0);
    _tile_zero(1);
    for (; left >= STEP_COLUMNS; left -= STEP_COLUMNS, at += parts_x * tile) {
        multiply_one(half, at, tile, 1, 1, parts_x);
        for (uint32_t h = 0; h < 2; h++) half[h] += SPLIT_BYTES;
    }
    if (left) {
        const uint8_t *last[2] = {room[0], room[1]};
        for (uint32_t h = 0; h < 2; h++) split_columns(room[h], &rows[h], SYN_BF16, 0, cols - left, left, 1);
        multiply_one(last, at, tile, 0, 1, parts_x);
    }
    store_sums(y, NULL);
}

/* 32 packed rows of f32, f16 or bf16 times one tile of x → y (T, 32) */
static void stream_parts(float *y, const syn_rows16 rows[2], const syn_split_x *x, uint32_t cols, uint32_t dtype) {
    if (dtype == SYN_BF16 && x->parts == 1) stream_packed(y, rows, x, cols, 1);
    else if (dtype == SYN_BF16) stream_packed(y, rows, x, cols, 3);
    else if (dtype == SYN_F16 && x->parts == 1) stream_steps(y, rows, x, cols, SYN_F16, 1);
    else if (dtype == SYN_F16) stream_steps(y, rows, x, cols, SYN_F16, 3);
    else if (x->parts == 1) stream_steps(y, rows, x, cols, SYN_F32, 1);
    else stream_steps(y, rows, x, cols, SYN_F32, 3);
}

#endif

#endif
