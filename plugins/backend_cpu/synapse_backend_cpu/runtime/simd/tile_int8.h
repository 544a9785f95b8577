/* Products of a panel of 32 rows of integer weights with a few quantised rows of x.
 *
 * Order of a sum: blocks of 32 columns in rising order, by fused multiply-adds; the same for one row
 * of x and for many.
 */
#ifndef SYN_TILE_INT8_H
#define SYN_TILE_INT8_H

#include "panel_int8.h"

/* Rows of x that are taken together at the most, and as a matrix; vectors of the panel beside them. */
enum { TILE_ROWS = SYN_LANES == 16 ? 6 : 4, MATRIX_ROWS = 16, TILE_VECTORS = SYN_LANES == 4 ? 4 : 2 };

/* Vectors of the panel that are multiplied together: as many as registers hold the sums of. */
SYN_INLINE uint32_t vectors_of(uint32_t bits) {
#ifdef SYN_AVX2
    return bits == 8 ? 1 : 2;
#else
    (void)bits;
    return SYN_LANES == 16 ? 2 : VECTORS;
#endif
}

/* Words (first, first + count) of a block: products of vectors [v, v + V) with T rows. */
SYN_INLINE void add_products(syn_products (*c)[TILE_VECTORS], const syn_vi (*code)[PANEL_VECTORS], const int32_t *x,
                             uint32_t count, uint32_t bits, uint32_t v, uint32_t V, uint32_t T) {
#ifdef SYN_AVX2
#pragma clang loop unroll(disable)
#else
#pragma clang loop unroll(full)
#endif
    for (uint32_t i = 0; i < count; i++)
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < T; t++) {
            syn_vi a = syn_vi_set(x[i * T + t]);
#pragma clang loop unroll(full)
            for (uint32_t h = 0; h < V; h++) {
#if HAS_PAIRS
                if (bits == 8) products_add_split(&c[t][h], code[i][v + h], code[i + 8][v + h], a);
                else
#endif
                products_add(&c[t][h], bits, code[i][v + h], a);
            }
        }
}

/* a8/32: go on with the sums y (T, 32) of vectors [v, v + V) by `blocks` blocks. */
SYN_INLINE void multiply_vectors(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, int32_t bias,
                                 uint32_t bits, uint32_t v, uint32_t V, uint32_t T, uint32_t runs, int has_minimum) {
    syn_vf total[TILE_ROWS][TILE_VECTORS];
    syn_products c[TILE_ROWS][TILE_VECTORS];
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < V; h++) total[t][h] = syn_v_load(y + t * PANEL_ROWS + (v + h) * SYN_LANES);
    for (uint32_t b = 0; b < blocks; b++) {
        const int32_t *code = x->code + (size_t)b * 8 * T, *sum = x->sum + (size_t)b * 3 * T;
        const float *scale = x->scale + (size_t)b * T;
        for (uint32_t run = 0; run < runs; run++) {
            const int32_t *sums = sum + (runs == 1 ? SUM_ALL : run) * T;
            uint32_t words = 8 / runs;
            for (uint32_t t = 0; t < T; t++)
                for (uint32_t h = 0; h < V; h++) c[t][h] = products_begin(bits, bias, sums[t]);
            add_products(c, panel->code[b * word_parts(bits)] + run * words, code + run * words * T, words, bits, v, V, T);
            for (uint32_t t = 0; t < T; t++) {
                for (uint32_t h = 0; h < V; h++) {
                    syn_vf both = panel->scale[b][run][v + h] * scale[t];
                    total[t][h] = syn_v_fma(syn_v_of(products_end(&c[t][h], bits, bias, sums[t])), both, total[t][h]);
                }
                if (!has_minimum) continue;
                syn_vf codes = syn_v_set((float)whole_sum(sums[t]) * scale[t]);
                for (uint32_t h = 0; h < V; h++)
                    total[t][h] = syn_v_fma(panel->minimum[b][run][v + h], codes, total[t][h]);
            }
        }
    }
    for (uint32_t t = 0; t < T; t++)
        for (uint32_t h = 0; h < V; h++) syn_v_store(y + t * PANEL_ROWS + (v + h) * SYN_LANES, total[t][h]);
}

SYN_INLINE void multiply_blocks(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, int32_t bias,
                                uint32_t bits, uint32_t T, uint32_t runs, int has_minimum) {
    for (uint32_t v = 0; v < PANEL_VECTORS; v += vectors_of(bits))
        multiply_vectors(y, panel, x, blocks, bias, bits, v, vectors_of(bits), T, runs, has_minimum);
}

/* a8/row: add a part of `blocks` blocks to the integer sums y (T, 32). */
SYN_INLINE void multiply_int8_row(int32_t *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t T) {
    enum { BITS = 8 };
    const int32_t bias = bias_of(SYN_INT8);
    syn_products c[TILE_ROWS][TILE_VECTORS];
    for (uint32_t v = 0, V = vectors_of(BITS); v < PANEL_VECTORS; v += V)
        for (uint32_t b = 0; b < blocks; b++) {
            const int32_t *sums = x->sum + ((size_t)b * 3 + SUM_ALL) * T;
            for (uint32_t t = 0; t < T; t++)
                for (uint32_t h = 0; h < V; h++) c[t][h] = products_begin(BITS, bias, sums[t]);
            add_products(c, panel->code[b * word_parts(BITS)], x->code + (size_t)b * 8 * T, 8, BITS, v, V, T);
            for (uint32_t t = 0; t < T; t++)
                for (uint32_t h = 0; h < V; h++) {
                    int32_t *to = y + t * PANEL_ROWS + (v + h) * SYN_LANES;
                    syn_vi_store(to, syn_vi_load(to) + products_end(&c[t][h], BITS, bias, sums[t]));
                }
        }
}

/* One compiled loop for each number of rows and kind of format; where squares are multiplied, of one row alone. */
#if HAS_SQUARES
#define SYN_FOR_ROWS(T, call) (void)T; call(1);
#elif SYN_LANES == 16
#define SYN_FOR_ROWS SYN_UP_TO_6
#else
#define SYN_FOR_ROWS SYN_UP_TO_4
#endif

/* The bias of a kind of format as the compiler knows it, where sums of pairs depend on it. */
SYN_INLINE int32_t known_bias(uint32_t bits, int has_minimum, int32_t bias) {
    if (!HAS_PAIRS) return bias;
    return has_minimum && bits < 8 ? 0 : 1 << (bits - 1);
}

/* A function for each kind of format. */
#define SYN_KIND(name, bits, runs, has_minimum) \
    __attribute__((noinline)) static void name(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, \
                                               int32_t bias, uint32_t T) { \
        enum { BITS = bits, RUNS = runs, MINIMUM = has_minimum }; \
        bias = known_bias(BITS, MINIMUM, bias); \
        SYN_FOR_ROWS(T, SYN_MULTIPLY) \
    }
#define SYN_MULTIPLY(rows) multiply_blocks(y, panel, x, blocks, bias, BITS, rows, RUNS, MINIMUM)
#define SYN_MULTIPLY_ROW(rows) multiply_int8_row(y, panel, x, blocks, rows)

SYN_KIND(multiply_8, 8, 1, 0)
SYN_KIND(multiply_8_two_runs_minimum, 8, 2, 1)
#if HAS_PAIRS
SYN_KIND(multiply_4, 4, 1, 0)
SYN_KIND(multiply_4_minimum, 4, 1, 1)
SYN_KIND(multiply_5, 5, 1, 0)
SYN_KIND(multiply_5_minimum, 5, 1, 1)
SYN_KIND(multiply_6_two_runs, 6, 2, 0)
#elif HAS_RELAXED_DOT
SYN_KIND(multiply_7, 7, 1, 0)
SYN_KIND(multiply_7_minimum, 7, 1, 1)
SYN_KIND(multiply_7_two_runs, 7, 2, 0)
#else
SYN_KIND(multiply_8_minimum, 8, 1, 1)
SYN_KIND(multiply_8_two_runs, 8, 2, 0)
#endif

__attribute__((noinline)) static void multiply_int8_rows(int32_t *y, const syn_panel *panel, const syn_tile *x,
                                                         uint32_t blocks, uint32_t T) {
    SYN_FOR_ROWS(T, SYN_MULTIPLY_ROW)
}
#undef SYN_KIND
#undef SYN_MULTIPLY
#undef SYN_MULTIPLY_ROW

typedef void multiply_kind(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, int32_t bias,
                           uint32_t T);

/* What multiplies a format's blocks. */
static multiply_kind *kind_of(uint32_t format) {
    switch (format) {
    case SYN_Q8_0: return multiply_8;
    case SYN_I8G16: return multiply_8_two_runs_minimum;
#if HAS_PAIRS
    case SYN_Q4_0: return multiply_4;
    case SYN_Q5_0: return multiply_5;
    case SYN_Q5_1:
    case SYN_Q5_K: return multiply_5_minimum;
    case SYN_Q6_K: return multiply_6_two_runs;
    default: return multiply_4_minimum;
#elif HAS_RELAXED_DOT
    case SYN_Q4_0:
    case SYN_Q5_0: return multiply_7;
    case SYN_Q6_K: return multiply_7_two_runs;
    default: return multiply_7_minimum;
#else
    case SYN_Q4_0:
    case SYN_Q5_0: return multiply_8;
    case SYN_Q6_K: return multiply_8_two_runs;
    default: return multiply_8_minimum;
#endif
    }
}

static void multiply_int8(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t format,
                          uint32_t T) {
    if (format == SYN_INT8) multiply_int8_rows((int32_t *)(void *)y, panel, x, blocks, T);
    else kind_of(format)(y, panel, x, blocks, bias_of(format), T);
}

/* ---- x ---- */

enum { BLOCK_VECTORS = 32 / SYN_LANES };

/* Codes at most ±127 from x · inverse, rounded half to even; NaN gives 0. */
SYN_INLINE syn_vi round_codes(syn_vf x, float inverse) {
    syn_vf y = x * inverse;
    y = (syn_vf)((y == y) & (syn_vi)y);
    return syn_v_round(syn_v_min(syn_v_max(y, syn_v_set(-127.0f)), syn_v_set(127.0f)));
}

/* 127 / most, 0 where most is 0 */
SYN_INLINE float inverse_of(float most) { return most > 0.0f ? 127.0f / most : 0.0f; }

/* Up to 32 columns of x, the others zero. */
SYN_INLINE void take_columns(syn_vf to[BLOCK_VECTORS], const float *x, uint32_t count) {
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < BLOCK_VECTORS; i++)
        to[i] = count >= 32 ? syn_v_load(x + i * SYN_LANES)
                            : syn_v_load_part(x + i * SYN_LANES, count > i * SYN_LANES ? count - i * SYN_LANES : 0);
}

/* max |x| of the columns that are numbers, and of `most` */
SYN_INLINE syn_vf larger(syn_vf most, const syn_vf x[BLOCK_VECTORS]) {
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < BLOCK_VECTORS; i++) most = syn_v_max(syn_v_abs(x[i]), most);
    return most;
}

/* The sum of the codes of 16 columns, as products want it. */
SYN_INLINE int32_t sum_codes(const syn_vi *code) {
    syn_vi all = code[0];
    for (uint32_t i = 1; i < VECTORS; i++) all += code[i];
    SYN_FOLD(all, SYN_ADD);
    all += SYN_SWAP(all, 1);
    return keep_sum(all[0], all[2]);
}

/* Where word i of a block of row t lies in a tile of T: beside that word of the other rows; of squares, words 2i and
 * 2i + 1 beside those of the other rows. */
SYN_INLINE uint32_t word_at(uint32_t i, uint32_t t, uint32_t T) {
    return HAS_SQUARES ? (i / 2 * T + t) * 2 + i % 2 : i * T + t;
}

/* Codes and sums of 32 columns of row t of a tile. For the tile instructions a row's words lie side by side; those of
 * a8/row, which needs no sums, beside those of the next block, too. */
SYN_INLINE void put_block(const syn_tile *to, uint32_t block, uint32_t t, uint32_t T, const syn_vf x[BLOCK_VECTORS],
                          float inverse, float scale, int by_row) {
    syn_vi codes[BLOCK_VECTORS];
    int32_t word[8];
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < BLOCK_VECTORS; i++) {
        codes[i] = round_codes(x[i], inverse);
        syn_vb bytes = __builtin_convertvector(codes[i], syn_vb);
        __builtin_memcpy((uint8_t *)word + i * SYN_LANES, &bytes, SYN_LANES);
    }
    int32_t *code = to->code + (size_t)block * 8 * T, *sum = to->sum + (size_t)block * 3 * T + t;
    if (T == MATRIX_ROWS && by_row) {
        __builtin_memcpy(to->code + ((size_t)block / 2 * T + t) * 16 + block % 2 * 8, word, sizeof word);
        return;
    }
    if (T == MATRIX_ROWS) {
        __builtin_memcpy(code + t * 8, word, sizeof word);
    } else {
        for (uint32_t i = 0; i < 8; i++) code[word_at(i, t, T)] = word[i];
    }
    int32_t first = sum_codes(codes), second = sum_codes(codes + VECTORS);
    int32_t sums[3] = {first, second, add_sums(first, second)};
    for (uint32_t i = 0; i < 3; i++)
        sum[i * T] = T == MATRIX_ROWS ? (int32_t)syn_bits((float)sums[i] * scale) : sums[i];
}

/* Row t of a tile of T from x (C), quantised by 32 columns, or as a whole. */
static void quantise_row(const syn_tile *to, uint32_t t, uint32_t T, const float *x, uint32_t cols, int by_row) {
    syn_vf most = {0}, columns[BLOCK_VECTORS];
    float top = 0.0f, inverse = 0.0f;
    if (by_row) {
        for (uint32_t i = 0; i < cols; i += 32) {
            take_columns(columns, x + i, cols - i);
            most = larger(most, columns);
        }
        top = syn_v_top(most);
        inverse = inverse_of(top);
        to->scale[t] = top / 127.0f;
    }
    for (uint32_t i = 0; i < cols; i += 32) {
        take_columns(columns, x + i, cols - i);
        if (!by_row) {
            top = syn_v_top(larger(syn_v_set(0.0f), columns));
            inverse = inverse_of(top);
            to->scale[(size_t)i / 32 * T + t] = top / 127.0f;
        }
        put_block(to, i / 32, t, T, columns, inverse, top / 127.0f, by_row);
    }
    uint32_t blocks = (cols + 31) / 32;
    if (by_row && T == MATRIX_ROWS && blocks % 2)  /* nothing where a last block would be */
        __builtin_memset(to->code + ((size_t)blocks / 2 * T + t) * 16 + 8, 0, 32);
}

#endif
