/* A few rows of x through 16 packed rows of a weight at a time: the products of decoding. Nothing is
 * stored on the way, so that they go as fast as memory does; the order of sums is that of the tiles,
 * and so are the bits.
 */
/* As in linear.c. */
#ifdef SYN_RELAXED_DOT
#pragma clang attribute push(__attribute__((target("relaxed-simd"))), apply_to = function)
#endif
#include "stream.h"

/* 16 packed rows of f32, f16 or bf16 times one row x (C) → y (16), in the order of multiply_columns. */
SYN_INLINE void stream_columns(float *y, const syn_rows16 *r, uint32_t dtype, const float *x, uint32_t cols) {
    uint32_t each = dtype == SYN_F32 ? 1 : 2;
    syn_vf sum[VECTORS] = {0};
    for (uint32_t from = 0; from < cols; from += PART_COLUMNS) {
        uint32_t end = cols - from < PART_COLUMNS ? cols : from + PART_COLUMNS;
        syn_vf total[VECTORS] = {0};
        for (uint32_t i = from; i < end; i += each)
#pragma clang loop unroll(full)
            for (uint32_t v = 0; v < VECTORS; v++) {
                syn_vf number[2];
                if (dtype == SYN_F16) take_pair(number, r, v, (size_t)i * 2);
                else take_numbers(number, take_packed(r, v, (size_t)i * (4 / each)), dtype);
                total[v] = syn_v_fma(syn_v_set(x[i]), number[0], total[v]);
                if (each == 2) total[v] = syn_v_fma(syn_v_set(x[i + 1]), number[1], total[v]);
            }
        for (uint32_t v = 0; v < VECTORS; v++) sum[v] += total[v];
    }
    for (uint32_t v = 0; v < VECTORS; v++) syn_v_store(y + v * SYN_LANES, sum[v]);
}

void syn_stream_floats(float *y, const syn_rows16 *r, uint32_t dtype, const float *x, uint32_t cols) {
    if (dtype == SYN_F32) stream_columns(y, r, SYN_F32, x, cols);
    else if (dtype == SYN_F16) stream_columns(y, r, SYN_F16, x, cols);
    else stream_columns(y, r, SYN_BF16, x, cols);
}

/* A compiler keeps in registers what lives no longer than the block. */
SYN_INLINE void stream_block(syn_vf *total, const syn_tile *x, syn_place to, const syn_rows16 *r, size_t at, uint32_t v) {
    syn_stream stream = {.x = x};
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < to.rows; t++) stream.total[t] = total[t];
    to.stream = &stream;
    to.v = v;
    expand_block(to, r, at, 0, 32, 1);
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < to.rows; t++) total[t] = stream.total[t];
}

/* The vectors of a group take turns, block by block: memory is read as it lies. */
SYN_INLINE void stream_blocks(float *y, const syn_rows16 *r, uint32_t format, const syn_tile *x, uint32_t blocks,
                              uint32_t T) {
    const syn_rows16 rows = *r;  /* of this function, as these are: no store can change them */
    const syn_tile tile = *x;
    syn_vf total[VECTORS][STREAM_ROWS];
    for (uint32_t v = 0; v < VECTORS; v++)
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < T; t++) total[v][t] = syn_v_set(0.0f);
    syn_place to = {.format = format, .runs = runs_in(format), .as = CODES_RAISED ? AS_RAISED : AS_SIGNED, .rows = T};
    size_t bytes = syn_block_format_of(format).bytes, at = 0;
    for (; to.block < blocks; to.block += blocks_in(format), at += bytes) {
        stream_block(total[0], &tile, to, &rows, at, 0);
#if SYN_LANES < 16
        stream_block(total[1], &tile, to, &rows, at, 1);
#endif
#if SYN_LANES < 8
        stream_block(total[2], &tile, to, &rows, at, 2);
        stream_block(total[3], &tile, to, &rows, at, 3);
#endif
    }
    for (uint32_t v = 0; v < VECTORS; v++)
#pragma clang loop unroll(full)
        for (uint32_t t = 0; t < T; t++) syn_v_store(y + t * PANEL_ROWS + v * SYN_LANES, total[v][t]);
}

/* A function for each format, with a loop for each number of rows. */
#if SYN_LANES == 16
#define SYN_FOR_FEW SYN_UP_TO_4
#define SYN_FOR_STREAMS SYN_UP_TO_8
#else
#define SYN_FOR_FEW(n, call) (void)(n); call(1);
#define SYN_FOR_STREAMS SYN_FOR_FEW
#endif
#define SYN_STREAM_ROWS(rows) stream_blocks(y, r, FORMAT, x, blocks, rows)
#define SYN_STREAM(name, format, for_rows) \
    __attribute__((noinline)) static void name(float *y, const syn_rows16 *r, const syn_tile *x, uint32_t blocks, \
                                               uint32_t T) { \
        enum { FORMAT = format }; \
        for_rows(T, SYN_STREAM_ROWS) \
    }
SYN_STREAM(stream_q8_0, SYN_Q8_0, SYN_FOR_STREAMS)
SYN_STREAM(stream_q4_0, SYN_Q4_0, SYN_FOR_STREAMS)
SYN_STREAM(stream_q4_1, SYN_Q4_1, SYN_FOR_FEW)
SYN_STREAM(stream_q5_0, SYN_Q5_0, SYN_FOR_FEW)
SYN_STREAM(stream_q5_1, SYN_Q5_1, SYN_FOR_FEW)
SYN_STREAM(stream_q4_k, SYN_Q4_K, SYN_FOR_FEW)
SYN_STREAM(stream_q5_k, SYN_Q5_K, SYN_FOR_FEW)
SYN_STREAM(stream_q6_k, SYN_Q6_K, SYN_FOR_FEW)
SYN_STREAM(stream_i8g16, SYN_I8G16, SYN_FOR_FEW)
#undef SYN_STREAM
#undef SYN_STREAM_ROWS
#undef SYN_FOR_FEW
#undef SYN_FOR_STREAMS

void syn_stream_blocks(float *y, const syn_rows16 *r, uint32_t format, const syn_tile *x, uint32_t blocks, uint32_t T) {
    switch (format) {
    case SYN_Q8_0: stream_q8_0(y, r, x, blocks, T); break;
    case SYN_Q4_0: stream_q4_0(y, r, x, blocks, T); break;
    case SYN_Q4_1: stream_q4_1(y, r, x, blocks, T); break;
    case SYN_Q5_0: stream_q5_0(y, r, x, blocks, T); break;
    case SYN_Q5_1: stream_q5_1(y, r, x, blocks, T); break;
    case SYN_Q4_K: stream_q4_k(y, r, x, blocks, T); break;
    case SYN_Q5_K: stream_q5_k(y, r, x, blocks, T); break;
    case SYN_Q6_K: stream_q6_k(y, r, x, blocks, T); break;
    default: stream_i8g16(y, r, x, blocks, T);
    }
}

#ifdef SYN_RELAXED_DOT
#pragma clang attribute pop
#endif
