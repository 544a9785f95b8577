/* Products of a panel of 32 rows of integer weights with up to six quantised rows of x (VPDPBUSD).
 *
 * Order of a sum: blocks of 32 columns in rising order, by fused multiply-adds; the same for one row
 * of x and for many.
 */
#ifndef SYN_TILE_INT8_H
#define SYN_TILE_INT8_H

#include "panel_int8.h"

enum { TILE_ROWS = 6, MATRIX_ROWS = 16 };

SYN_INLINE void start_sums(__m512i (*c)[2], const int32_t *sum, int32_t bias, uint32_t T) {
    for (uint32_t t = 0; t < T; t++) c[t][0] = c[t][1] = _mm512_set1_epi32(-bias * sum[t]);
}

/* words (first, first + count) of a block */
SYN_INLINE void add_products(__m512i (*c)[2], const __m512i (*code)[2], const int32_t *x, uint32_t count, uint32_t T) {
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < count; i++) {
        __m512i w0 = code[i][0], w1 = code[i][1];
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < T; t++) {
            __m512i a = _mm512_set1_epi32(x[i * T + t]);
            c[t][0] = _mm512_dpbusd_epi32(c[t][0], w0, a);
            c[t][1] = _mm512_dpbusd_epi32(c[t][1], w1, a);
        }
    }
}

/* a8/32: go on with the sums y (T, 32) by `blocks` blocks. */
SYN_INLINE void multiply_blocks(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, int32_t bias,
                                uint32_t T, uint32_t runs, int has_minimum) {
    __m512 total[TILE_ROWS][2];
    __m512i c[TILE_ROWS][2];
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < 2; h++) total[t][h] = _mm512_loadu_ps(y + t * PANEL_ROWS + h * LANES);
    for (uint32_t b = 0; b < blocks; b++) {
        const int32_t *code = x->code + (size_t)b * 8 * T, *sum = x->sum + (size_t)b * 3 * T;
        const float *scale = x->scale + (size_t)b * T;
        for (uint32_t run = 0; run < runs; run++) {
            const int32_t *sums = sum + (runs == 1 ? SUM_ALL : run) * T;
            uint32_t words = 8 / runs;
            start_sums(c, sums, bias, T);
            add_products(c, panel->code[b] + run * words, code + run * words * T, words, T);
            for (uint32_t t = 0; t < T; t++) {
                __m512 s = _mm512_set1_ps(scale[t]);
                for (uint32_t h = 0; h < 2; h++) {
                    __m512 both = _mm512_mul_ps(panel->scale[b][run][h], s);
                    total[t][h] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(c[t][h]), both, total[t][h]);
                }
                if (!has_minimum) continue;
                __m512 codes = _mm512_set1_ps((float)sums[t] * scale[t]);
                for (uint32_t h = 0; h < 2; h++)
                    total[t][h] = _mm512_fmadd_ps(panel->minimum[b][run][h], codes, total[t][h]);
            }
        }
    }
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < 2; h++) _mm512_storeu_ps(y + t * PANEL_ROWS + h * LANES, total[t][h]);
}

/* a8/row: add a part of `blocks` blocks to the integer sums y (T, 32). */
SYN_INLINE void multiply_int8_row(int32_t *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t T) {
    __m512i c[TILE_ROWS][2];
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < 2; h++) c[t][h] = _mm512_loadu_si512(y + t * PANEL_ROWS + h * LANES);
    for (uint32_t b = 0; b < blocks; b++) {
        for (uint32_t t = 0; t < T; t++) {
            __m512i raised = _mm512_set1_epi32(128 * x->sum[((size_t)b * 3 + SUM_ALL) * T + t]);
            for (uint32_t h = 0; h < 2; h++) c[t][h] = _mm512_sub_epi32(c[t][h], raised);
        }
        add_products(c, panel->code[b], x->code + (size_t)b * 8 * T, 8, T);
    }
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < 2; h++) _mm512_storeu_si512(y + t * PANEL_ROWS + h * LANES, c[t][h]);
}

/* One compiled loop for each number of rows and kind of format. */
#define SYN_FOR_ROWS(T, call) \
    switch (T) { \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    case 4: call(4); break; \
    case 5: call(5); break; \
    default: call(6); \
    }

static void multiply_int8(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t format,
                          uint32_t T) {
    syn_block_format kind = syn_block_format_of(format);
    int32_t bias = bias_of(format);
#define PLAIN(rows) multiply_blocks(y, panel, x, blocks, bias, rows, 1, 0)
#define MINIMUM(rows) multiply_blocks(y, panel, x, blocks, bias, rows, 1, 1)
#define TWO_RUNS(rows) multiply_blocks(y, panel, x, blocks, bias, rows, 2, 0)
#define TWO_RUNS_MINIMUM(rows) multiply_blocks(y, panel, x, blocks, bias, rows, 2, 1)
#define ROW(rows) multiply_int8_row((int32_t *)(void *)y, panel, x, blocks, rows)
    if (!kind.columns) SYN_FOR_ROWS(T, ROW)
    else if (kind.run == 32 && !kind.has_minimum) SYN_FOR_ROWS(T, PLAIN)
    else if (kind.run == 32) SYN_FOR_ROWS(T, MINIMUM)
    else if (!kind.has_minimum) SYN_FOR_ROWS(T, TWO_RUNS)
    else SYN_FOR_ROWS(T, TWO_RUNS_MINIMUM)
#undef PLAIN
#undef MINIMUM
#undef TWO_RUNS
#undef TWO_RUNS_MINIMUM
#undef ROW
}

/* ---- x ---- */

/* 16 codes at most ±127 from x · inverse, rounded half to even; NaN gives 0. */
SYN_INLINE __m512i round_codes(__m512 x, __m512 inverse) {
    __m512 y = _mm512_mul_ps(x, inverse), limit = _mm512_set1_ps(127.0f);
    y = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(y, y, _CMP_ORD_Q), y);
    y = _mm512_min_ps(_mm512_max_ps(y, _mm512_sub_ps(_mm512_setzero_ps(), limit)), limit);
    return _mm512_cvtps_epi32(y);
}

/* max |x| of a vector's lanes that are numbers */
SYN_INLINE __m512 larger(__m512 most, __m512 x) { return _mm512_max_ps(_mm512_abs_ps(x), most); }

/* 127 / most, 0 where most is 0 */
SYN_INLINE __m512 inverse_of(float most) { return _mm512_set1_ps(most > 0.0f ? 127.0f / most : 0.0f); }

/* Codes and sums of 32 columns of row t of a tile. */
SYN_INLINE void put_block(const syn_tile *to, uint32_t block, uint32_t t, uint32_t T, __m512 low, __m512 high,
                          __m512 inverse, float scale) {
    __m512i a = round_codes(low, inverse), b = round_codes(high, inverse);
    int32_t word[8], first = _mm512_reduce_add_epi32(a), second = _mm512_reduce_add_epi32(b);
    _mm_storeu_si128((void *)word, _mm512_cvtepi32_epi8(a));
    _mm_storeu_si128((void *)(word + 4), _mm512_cvtepi32_epi8(b));
    int32_t *code = to->code + (size_t)block * 8 * T, *sum = to->sum + (size_t)block * 3 * T + t;
    int32_t sums[3] = {first, second, first + second};
    for (uint32_t i = 0; i < 8; i++) code[T == MATRIX_ROWS ? t * 8 + i : i * T + t] = word[i];
    for (uint32_t i = 0; i < 3; i++)
        sum[i * T] = T == MATRIX_ROWS ? (int32_t)syn_bits((float)sums[i] * scale) : sums[i];
}

/* Row t of a tile of T from x (C), quantised by 32 columns, or as a whole. */
static void quantise_row(const syn_tile *to, uint32_t t, uint32_t T, const float *x, uint32_t cols, int by_row) {
    __m512 most = _mm512_setzero_ps(), inverse = most;
    for (uint32_t i = 0; by_row && i < cols; i += LANES)
        most = larger(most, _mm512_maskz_loadu_ps(lanes_of(i, cols), x + i));
    float top = _mm512_reduce_max_ps(most);
    if (by_row) {
        inverse = inverse_of(top);
        to->scale[t] = top / 127.0f;
    }
    for (uint32_t i = 0; i < cols; i += 32) {
        __m512 low = _mm512_maskz_loadu_ps(lanes_of(i, cols), x + i);
        __m512 high = _mm512_maskz_loadu_ps(lanes_of(i + LANES, cols), x + i + LANES);
        if (!by_row) {
            top = _mm512_reduce_max_ps(larger(larger(_mm512_setzero_ps(), low), high));
            inverse = inverse_of(top);
            to->scale[(size_t)i / 32 * T + t] = top / 127.0f;
        }
        put_block(to, i / 32, t, T, low, high, inverse, top / 127.0f);
    }
}

#endif
