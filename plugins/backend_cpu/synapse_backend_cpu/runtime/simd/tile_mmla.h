/* Products of a panel of 32 rows of integer weights with a few quantised rows of x, two rows by two (SMMLA).
 *
 * The integer sums of a run are exact, and they are scaled and added as tile_int8.h does it: the same
 * bits. Of an odd number of rows of x the last one has zeros beside it.
 */
#ifndef SYN_TILE_MMLA_H
#define SYN_TILE_MMLA_H

#include "tile_int8.h"

#if HAS_SQUARES

/* Pairs of rows of x in a tile; vectors of the panel that are multiplied together. */
enum { TILE_PAIRS = (TILE_ROWS + 1) / 2, SQUARE_VECTORS = 2 };

/* Sums of two rows of x with the rows of a vector: (x, w) with its first two rows, and with its last two. */
typedef struct { int32x4_t first, last; } syn_squares;

/* Eight columns of rows 2p and 2p + 1 of T, from those of all T. */
SYN_INLINE int8x16_t take_pair_of(const int32_t *x, uint32_t p, uint32_t T) {
    const int8_t *at = (const int8_t *)(x + 4 * p);
    return 2 * p + 1 < T ? vld1q_s8(at) : vcombine_s8(vld1_s8(at), vdup_n_s8(0));
}

/* Eights (first, first + count) of a block: products of vectors [v, v + 2) with T rows. */
SYN_INLINE void add_squares(syn_squares (*c)[SQUARE_VECTORS], const syn_vi (*code)[PANEL_VECTORS], const int32_t *x,
                            uint32_t count, uint32_t v, uint32_t T) {
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < count; i++) {
        int8x16_t pair[TILE_PAIRS];
        for (uint32_t p = 0; 2 * p < T; p++) pair[p] = take_pair_of(x + 2 * i * T, p, T);
#pragma clang loop unroll(full)
        for (uint32_t h = 0; h < SQUARE_VECTORS; h++) {
            int8x16_t first = (int8x16_t)code[2 * i][v + h], last = (int8x16_t)code[2 * i + 1][v + h];
#pragma clang loop unroll(full)
            for (uint32_t p = 0; 2 * p < T; p++) {
                c[p][h].first = vmmlaq_s32(c[p][h].first, pair[p], first);
                c[p][h].last = vmmlaq_s32(c[p][h].last, pair[p], last);
            }
        }
    }
}

/* Of row 0 or 1 of a pair: the sums with the rows of the vector. */
SYN_INLINE syn_vi row_of(const syn_squares *c, uint32_t row) {
    syn_vi first = (syn_vi)c->first, last = (syn_vi)c->last;
    return row ? __builtin_shufflevector(first, last, 2, 3, 6, 7) : __builtin_shufflevector(first, last, 0, 1, 4, 5);
}

/* a8/32: go on with the sums y (T, 32) of vectors [v, v + 2) by `blocks` blocks. */
SYN_INLINE void multiply_square_vectors(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t v,
                                        uint32_t T, uint32_t runs, int has_minimum) {
    syn_vf total[TILE_ROWS][SQUARE_VECTORS];
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < SQUARE_VECTORS; h++)
            total[t][h] = syn_v_load(y + t * PANEL_ROWS + (v + h) * SYN_LANES);
    for (uint32_t b = 0; b < blocks; b++) {
        const int32_t *code = x->code + (size_t)b * 8 * T, *sum = x->sum + (size_t)b * 3 * T;
        const float *scale = x->scale + (size_t)b * T;
        for (uint32_t run = 0; run < runs; run++) {
            const int32_t *sums = sum + (runs == 1 ? SUM_ALL : run) * T;
            uint32_t words = 8 / runs;
            syn_squares c[TILE_PAIRS][SQUARE_VECTORS] = {0};
            add_squares(c, panel->code[b] + run * words, code + run * words * T, words / 2, v, T);
            for (uint32_t t = 0; t < T; t++) {
                for (uint32_t h = 0; h < SQUARE_VECTORS; h++) {
                    syn_vf both = panel->scale[b][run][v + h] * scale[t];
                    total[t][h] = syn_v_fma(syn_v_of(row_of(&c[t / 2][h], t % 2)), both, total[t][h]);
                }
                if (!has_minimum) continue;
                syn_vf codes = syn_v_set((float)sums[t] * scale[t]);
                for (uint32_t h = 0; h < SQUARE_VECTORS; h++)
                    total[t][h] = syn_v_fma(panel->minimum[b][run][v + h], codes, total[t][h]);
            }
        }
    }
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < SQUARE_VECTORS; h++)
            syn_v_store(y + t * PANEL_ROWS + (v + h) * SYN_LANES, total[t][h]);
}

SYN_INLINE void multiply_square_blocks(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t T,
                                       uint32_t runs, int has_minimum) {
    for (uint32_t v = 0; v < PANEL_VECTORS; v += SQUARE_VECTORS)
        multiply_square_vectors(y, panel, x, blocks, v, T, runs, has_minimum);
}

/* a8/row: go on with the integer sums y (T, 32) by `blocks` blocks. */
SYN_INLINE void multiply_square_row(int32_t *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t T) {
    for (uint32_t v = 0; v < PANEL_VECTORS; v += SQUARE_VECTORS) {
        syn_squares c[TILE_PAIRS][SQUARE_VECTORS] = {0};
        for (uint32_t b = 0; b < blocks; b++)
            add_squares(c, panel->code[b], x->code + (size_t)b * 8 * T, 4, v, T);
        for (uint32_t t = 0; t < T; t++)
            for (uint32_t h = 0; h < SQUARE_VECTORS; h++) {
                int32_t *to = y + t * PANEL_ROWS + (v + h) * SYN_LANES;
                syn_vi_store(to, syn_vi_load(to) + row_of(&c[t / 2][h], t % 2));
            }
    }
}

/* A function for each kind of format, with a loop for each number of rows. */
#define SYN_KIND(name, runs, has_minimum) \
    __attribute__((noinline)) static void name(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, \
                                               uint32_t T) { \
        enum { RUNS = runs, MINIMUM = has_minimum }; \
        SYN_UP_TO_4(T, SYN_MULTIPLY) \
    }
#define SYN_MULTIPLY(rows) multiply_square_blocks(y, panel, x, blocks, rows, RUNS, MINIMUM)
#define SYN_MULTIPLY_ROW(rows) multiply_square_row(y, panel, x, blocks, rows)

SYN_KIND(multiply_squares_one_run, 1, 0)
SYN_KIND(multiply_squares_one_run_minimum, 1, 1)
SYN_KIND(multiply_squares_two_runs, 2, 0)
SYN_KIND(multiply_squares_two_runs_minimum, 2, 1)

__attribute__((noinline)) static void multiply_squares_row(int32_t *y, const syn_panel *panel, const syn_tile *x,
                                                           uint32_t blocks, uint32_t T) {
    SYN_UP_TO_4(T, SYN_MULTIPLY_ROW)
}
#undef SYN_KIND
#undef SYN_MULTIPLY
#undef SYN_MULTIPLY_ROW

/* Go on with the sums y (T, 32) by `blocks` blocks. */
static void multiply_squares(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t format,
                             uint32_t T) {
    syn_block_format kind = syn_block_format_of(format);
    int two = kind.run == 16;
    if (!kind.columns) multiply_squares_row((int32_t *)(void *)y, panel, x, blocks, T);
    else if (!kind.has_minimum) (two ? multiply_squares_two_runs : multiply_squares_one_run)(y, panel, x, blocks, T);
    else (two ? multiply_squares_two_runs_minimum : multiply_squares_one_run_minimum)(y, panel, x, blocks, T);
}

#else
static void multiply_squares(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t format,
                             uint32_t T) {
    (void)y, (void)panel, (void)x, (void)blocks, (void)format, (void)T;
}
#endif

#endif
