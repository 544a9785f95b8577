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
    __m512 sum = _mm512_setzero_ps();
    for (uint32_t from = 0; from < cols; from += PART_COLUMNS) {
        uint32_t end = cols - from < PART_COLUMNS ? cols : from + PART_COLUMNS;
        __m512 total = _mm512_setzero_ps();
        for (uint32_t i = from; i < end; i += each) {
            __m512 number[2];
            if (dtype == SYN_F16) {
                take_pair(number, r, (size_t)i * 2);
            } else {
                __m512i word = take_word(r, (size_t)i * (4 / each), 1);
                __m512i low = dtype == SYN_F32 ? word : _mm512_slli_epi32(word, 16);
                number[0] = _mm512_castsi512_ps(low);
                number[1] = _mm512_castsi512_ps(_mm512_and_si512(word, _mm512_set1_epi32((int32_t)0xffff0000)));
            }
            total = _mm512_fmadd_ps(_mm512_set1_ps(x[i]), number[0], total);
            if (each == 2) total = _mm512_fmadd_ps(_mm512_set1_ps(x[i + 1]), number[1], total);
        }
        sum = _mm512_add_ps(sum, total);
    }
    _mm512_storeu_ps(y, sum);
}

static void stream_f32(float *y, const syn_rows16 *r, uint32_t dtype, const float *x, uint32_t cols) {
    if (dtype == SYN_F32) stream_columns(y, r, SYN_F32, x, cols);
    else if (dtype == SYN_F16) stream_columns(y, r, SYN_F16, x, cols);
    else stream_columns(y, r, SYN_BF16, x, cols);
}

#define SYN_STREAM(FORMAT) \
    case FORMAT: expand_blocks(to, r, FORMAT, w->cols, 0, blocks, 1); break;

/* a8/32: 16 packed rows of a weight times one row of x → y (16) */
static void multiply_stream(float *y, const syn_rows16 *r, const syn_operand *w, const syn_tile *x, uint32_t blocks) {
    syn_stream stream = {.x = x, .bias = bias_of(w->dtype)};
    syn_place to = {NULL, &stream, 0, 0, 1, 1, 0};
    switch (w->dtype) {
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
    _mm512_storeu_ps(y, stream.total);
}
#undef SYN_STREAM

#endif
