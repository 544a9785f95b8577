/* Products in float32: a panel of 32 rows of numbers with up to twelve rows of x.
 *
 * Order of a sum: columns in rising order within a part, by fused multiply-adds; then the parts.
 */
#ifndef SYN_TILE_F32_H
#define SYN_TILE_F32_H

#include "wide.h"

enum { TILE_MOST = 12, PART_COLUMNS = 128 };

SYN_INLINE void put_floats(float *panel, uint32_t half, uint32_t column, __m512 v) {
    _mm512_storeu_ps(panel + (size_t)column * PANEL_ROWS + half * LANES, v);
}

/* The two float16 at `at` of 16 packed rows. */
SYN_INLINE void take_pair(__m512 to[2], const syn_rows16 *r, size_t at) {
    _mm_prefetch((const char *)(r->ahead + at * LANES), _MM_HINT_T1);
    to[0] = take_half(r, at, 1, 0);
    to[1] = take_half(r, at + 2, 1, 0);
}

/* The 16 bytes at `at` of 16 rows: four columns of f32, eight of f16 or bf16. */
SYN_INLINE void take_columns(__m512 to[8], uint32_t dtype, const syn_rows16 *r, size_t at, int packed) {
    __m512i piece[4];
    if (dtype == SYN_F16 && packed) {
        for (uint32_t i = 0; i < 4; i++) take_pair(to + 2 * i, r, at + 4 * i);
        return;
    }
    take_piece(piece, r, at, packed);
    for (uint32_t i = 0; i < 4; i++) {
        if (dtype == SYN_F32) {
            to[i] = _mm512_castsi512_ps(piece[i]);
        } else if (dtype == SYN_F16) {
            to[2 * i] = low_half(piece[i]);
            to[2 * i + 1] = high_half(piece[i]);
        } else {
            __m512i high = _mm512_and_si512(piece[i], _mm512_set1_epi32((int32_t)0xffff0000));
            to[2 * i] = _mm512_castsi512_ps(_mm512_slli_epi32(piece[i], 16));
            to[2 * i + 1] = _mm512_castsi512_ps(high);
        }
    }
}

/* Columns [from, from + 16 bytes' worth) of 16 rows as floats. */
SYN_INLINE void put_piece(float *panel, uint32_t half, uint32_t column, uint32_t dtype, const syn_rows16 *r,
                          size_t at, int packed) {
    __m512 number[8];
    take_columns(number, dtype, r, at, packed);
    for (uint32_t i = 0; i < (dtype == SYN_F32 ? 4 : 8); i++) put_floats(panel, half, column + i, number[i]);
}

/* Columns [from, from + count) of 16 rows of f32, f16 or bf16 → panel (count, 32), half of its rows.
 * The panel has room for 7 columns more. */
SYN_INLINE void expand_floats_of(float *panel, uint32_t half, const syn_rows16 *r, uint32_t dtype, uint32_t from,
                                 uint32_t count, int packed) {
    uint32_t size = dtype == SYN_F32 ? 4 : 2, each = 16 / size, i = 0;
    for (; i + each <= count; i += each) put_piece(panel, half, i, dtype, r, (size_t)(from + i) * size, packed);
    if (i == count) return;
    uint8_t room[LANES * 16] = {0};
    for (uint32_t n = 0; n < LANES; n++)
        __builtin_memcpy(room + n * 16, r->row[n] + (size_t)(from + i) * size, (size_t)(count - i) * size);
    syn_rows16 tail = rows_at(room, 16, 0, LANES);
    put_piece(panel, half, i, dtype, &tail, 0, 0);
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

/* Add the products of `count` columns to y (T, 32). x (count, T) */
SYN_INLINE void multiply_columns(float *y, const float *panel, const float *x, uint32_t count, uint32_t T) {
    __m512 total[TILE_MOST][2];
    for (uint32_t t = 0; t < T; t++) total[t][0] = total[t][1] = _mm512_setzero_ps();
    for (uint32_t i = 0; i < count; i++, panel += PANEL_ROWS, x += T) {
        __m512 w0 = _mm512_loadu_ps(panel), w1 = _mm512_loadu_ps(panel + LANES);
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < T; t++) {
            __m512 a = _mm512_set1_ps(x[t]);
            total[t][0] = _mm512_fmadd_ps(a, w0, total[t][0]);
            total[t][1] = _mm512_fmadd_ps(a, w1, total[t][1]);
        }
    }
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < 2; h++) {
            float *to = y + t * PANEL_ROWS + h * LANES;
            _mm512_storeu_ps(to, _mm512_add_ps(_mm512_loadu_ps(to), total[t][h]));
        }
}

/* One compiled loop for each number of rows. */
#define SYN_FOR_TWELVE(n, call) \
    switch (n) { \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    case 4: call(4); break; \
    case 5: call(5); break; \
    case 6: call(6); break; \
    case 7: call(7); break; \
    case 8: call(8); break; \
    case 9: call(9); break; \
    case 10: call(10); break; \
    case 11: call(11); break; \
    default: call(12); \
    }

static void multiply_f32(float *y, const float *panel, const float *x, uint32_t count, uint32_t T) {
#define MULTIPLY(rows) multiply_columns(y, panel, x, count, rows)
    SYN_FOR_TWELVE(T, MULTIPLY)
#undef MULTIPLY
}

/* Row t of a tile: x (C) → tile (C, T), rounded to bf16 if asked. */
static void pack_row(float *tile, uint32_t t, uint32_t T, const float *x, uint32_t cols, int round) {
    for (uint32_t i = 0; i < cols; i++) tile[(size_t)i * T + t] = round ? syn_from_bf16(syn_to_bf16(x[i])) : x[i];
}

#endif
