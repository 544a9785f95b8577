/* One row of x through 16 packed rows of a weight at a time: the products of decoding. Nothing is
 * stored on the way, so that they go as fast as memory does; the order of sums is that of the tiles,
 * and so are the bits.
 */
#ifndef SYN_STREAM_H
#define SYN_STREAM_H

#include "panel_int8.h"
#include "tile_f32.h"

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

static void stream_f32(float *y, const syn_rows16 *r, uint32_t dtype, const float *x, uint32_t cols) {
    if (dtype == SYN_F32) stream_columns(y, r, SYN_F32, x, cols);
    else if (dtype == SYN_F16) stream_columns(y, r, SYN_F16, x, cols);
    else stream_columns(y, r, SYN_BF16, x, cols);
}

/* A compiler keeps in registers what lives no longer than the block. */
SYN_INLINE void stream_block(syn_vf *total, const syn_tile *x, syn_place to, const syn_rows16 *r, size_t at, uint32_t v) {
    syn_stream stream = {.x = x, .total = total[v]};
    to.stream = &stream;
    to.v = v;
    expand_block(to, r, at, 0, 32, 1);
    total[v] = stream.total;
}

/* The vectors of a group take turns, block by block: memory is read as it lies. */
SYN_INLINE void stream_blocks(syn_vf *total, const syn_tile *x, const syn_rows16 *r, uint32_t format, uint32_t blocks) {
    syn_place to = {.format = format, .runs = runs_in(format), .as = CODES_RAISED ? AS_RAISED : AS_SIGNED};
    size_t bytes = syn_block_format_of(format).bytes, at = 0;
    for (; to.block < blocks; to.block += blocks_in(format), at += bytes) {
        stream_block(total, x, to, r, at, 0);
#if SYN_LANES < 16
        stream_block(total, x, to, r, at, 1);
#endif
#if SYN_LANES < 8
        stream_block(total, x, to, r, at, 2);
        stream_block(total, x, to, r, at, 3);
#endif
    }
}

#define SYN_STREAM(format) \
    case format: stream_blocks(total, &tile, &rows, format, blocks); break;

/* a8/32: 16 packed rows of a weight times one row of x → y (16) */
static void multiply_stream(float *y, const syn_rows16 *r, uint32_t format, const syn_tile *x, uint32_t blocks) {
    const syn_rows16 rows = *r;  /* of this function, as these are: no store can change them */
    const syn_tile tile = *x;
    syn_vf total[VECTORS] = {0};
    switch (format) {
    SYN_STREAM(SYN_Q8_0)
    SYN_STREAM(SYN_Q4_0)
    SYN_STREAM(SYN_Q4_1)
    SYN_STREAM(SYN_Q5_0)
    SYN_STREAM(SYN_Q5_1)
    SYN_STREAM(SYN_Q4_K)
    SYN_STREAM(SYN_Q5_K)
    SYN_STREAM(SYN_Q6_K)
    SYN_STREAM(SYN_I8G16)
    default: break;
    }
    for (uint32_t v = 0; v < VECTORS; v++) syn_v_store(y + v * SYN_LANES, total[v]);
}
#undef SYN_STREAM

#endif
