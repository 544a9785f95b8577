/* Products in float32: a panel of 32 rows of numbers with a few rows of x.
 *
 * Order of a sum: columns in rising order within a part, by fused multiply-adds; then the parts.
 */
#ifndef SYN_TILE_F32_H
#define SYN_TILE_F32_H

#include "wide.h"

/* Rows of x, and vectors of the panel, that are taken together: as many as registers hold the sums of. */
enum { TILE_MOST = SYN_LANES == 16 ? 12 : 6, FLOAT_VECTORS = SYN_LANES == 4 ? 4 : 2 };

SYN_INLINE void put_floats(float *panel, uint32_t vector, uint32_t column, syn_vf v) {
    syn_v_store(panel + (size_t)column * PANEL_ROWS + vector * SYN_LANES, v);
}

/* The 16 bytes at `at` of the rows of vector v: four columns of f32, eight of f16 or bf16. */
SYN_INLINE void take_floats(syn_vf to[8], uint32_t dtype, const syn_rows16 *r, uint32_t v, size_t at, int packed) {
    syn_vi piece[4];
    if (dtype == SYN_F16 && packed) {
        for (uint32_t i = 0; i < 4; i++) take_pair(to + 2 * i, r, v, at + 4 * i);
        return;
    }
    take_piece(piece, r, v, at, packed);
    for (uint32_t i = 0; i < 4; i++) {
        if (dtype == SYN_F32) to[i] = (syn_vf)piece[i];
        else take_numbers(to + 2 * i, piece[i], dtype);
    }
}

/* Columns [from, from + 16 bytes' worth) of the rows of vector v of a group as floats. */
SYN_INLINE void put_piece(float *panel, uint32_t half, uint32_t v, uint32_t column, uint32_t dtype,
                          const syn_rows16 *r, size_t at, int packed) {
    syn_vf number[8];
    take_floats(number, dtype, r, v, at, packed);
    for (uint32_t i = 0; i < (dtype == SYN_F32 ? 4 : 8); i++)
        put_floats(panel, half * VECTORS + v, column + i, number[i]);
}

/* Columns [from, from + count) of 16 rows of f32, f16 or bf16 → panel (count, 32), half of its rows.
 * The panel has room for 7 columns more. */
SYN_INLINE void expand_floats_of(float *panel, uint32_t half, const syn_rows16 *r, uint32_t dtype, uint32_t from,
                                 uint32_t count, int packed) {
    uint32_t size = dtype == SYN_F32 ? 4 : 2, each = 16 / size, i = 0;
    for (; i + each <= count; i += each)
        for (uint32_t v = 0; v < VECTORS; v++) put_piece(panel, half, v, i, dtype, r, (size_t)(from + i) * size, packed);
    if (i == count) return;
    uint8_t room[GROUP_ROWS * 16] = {0};
    for (uint32_t n = 0; n < GROUP_ROWS; n++)
        __builtin_memcpy(room + n * 16, r->row[n] + (size_t)(from + i) * size, (size_t)(count - i) * size);
    syn_rows16 tail = rows_at(room, 16, 0, GROUP_ROWS);
    for (uint32_t v = 0; v < VECTORS; v++) put_piece(panel, half, v, i, dtype, &tail, 0, 0);
}

static void expand_floats(float *panel, uint32_t half, const syn_rows16 *r, uint32_t dtype, uint32_t from,
                          uint32_t count) {
    if (r->packed && dtype == SYN_F32) expand_floats_of(panel, half, r, SYN_F32, from, count, 1);
    else if (r->packed && dtype == SYN_F16) expand_floats_of(panel, half, r, SYN_F16, from, count, 1);
    else if (r->packed) expand_floats_of(panel, half, r, SYN_BF16, from, count, 1);
    else if (dtype == SYN_F32) expand_floats_of(panel, half, r, SYN_F32, from, count, 0);
    else if (dtype == SYN_F16) expand_floats_of(panel, half, r, SYN_F16, from, count, 0);
    else expand_floats_of(panel, half, r, SYN_BF16, from, count, 0);
}

/* Add the products of `count` columns to vectors [v, v + V) of y (T, 32). x (count, T) */
SYN_INLINE void multiply_columns(float *y, const float *panel, const float *x, uint32_t count, uint32_t v, uint32_t V,
                                 uint32_t T) {
    syn_vf total[TILE_MOST][FLOAT_VECTORS];
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < V; h++) total[t][h] = syn_v_set(0.0f);
    for (uint32_t i = 0; i < count; i++, panel += PANEL_ROWS, x += T) {
        syn_vf w[FLOAT_VECTORS];
        for (uint32_t h = 0; h < V; h++) w[h] = syn_v_load(panel + (v + h) * SYN_LANES);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < T; t++) {
            syn_vf a = syn_v_set(x[t]);
#pragma clang loop unroll(full)
            for (uint32_t h = 0; h < V; h++) total[t][h] = syn_v_fma(a, w[h], total[t][h]);
        }
    }
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < V; h++) {
            float *to = y + t * PANEL_ROWS + (v + h) * SYN_LANES;
            syn_v_store(to, syn_v_load(to) + total[t][h]);
        }
}

/* One compiled loop for each number of rows. */
#if SYN_LANES == 16
#define SYN_FOR_MOST SYN_UP_TO_12
#else
#define SYN_FOR_MOST SYN_UP_TO_6
#endif

static void multiply_f32(float *y, const float *panel, const float *x, uint32_t count, uint32_t T) {
    for (uint32_t v = 0; v < PANEL_VECTORS; v += FLOAT_VECTORS) {
#define MULTIPLY(rows) multiply_columns(y, panel, x, count, v, FLOAT_VECTORS, rows)
        SYN_FOR_MOST(T, MULTIPLY)
#undef MULTIPLY
    }
}

/* Row t of a tile: x (C) → tile (C, T), rounded to bf16 if asked. */
static void pack_row(float *tile, uint32_t t, uint32_t T, const float *x, uint32_t cols, int round) {
    for (uint32_t i = 0; i < cols; i++) tile[(size_t)i * T + t] = round ? syn_from_bf16(syn_to_bf16(x[i])) : x[i];
}

#endif
