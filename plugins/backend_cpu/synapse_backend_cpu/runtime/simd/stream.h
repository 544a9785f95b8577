/* A few rows of x through packed weights, without a panel (stream.c). */
#ifndef SYN_STREAM_H
#define SYN_STREAM_H

#include "panel_int8.h"

/* 16 packed rows of f32, f16 or bf16 times one row x (C) → y (16) */
void syn_stream_floats(float *y, const syn_rows16 *r, uint32_t dtype, const float *x, uint32_t cols);

/* a8/32: 16 packed rows of a weight of `blocks` blocks times T rows of x, at most stream_rows → y (T, 16), 32 apart */
void syn_stream_blocks(float *y, const syn_rows16 *r, uint32_t format, const syn_tile *x, uint32_t blocks, uint32_t T);

#endif
