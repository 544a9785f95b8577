/* A weight row of a block format against a quantised row of x: the sums of arithmetic a8/32.
 *
 * One loop for all formats: what differs between them ends in syn_expand. Arithmetic and order are
 * those of docs/decisions/0003-named-arithmetic.md.
 */
#ifndef SYN_BLOCKS_H
#define SYN_BLOCKS_H

#include "../syn_kernel.h"

/* A weight row of a block format, taken apart in a thread's room of C floats. */
typedef struct {
    int8_t *code;            /* (C) */
    float *scale, *minimum;  /* (C / 32 · runs); minimum NULL where the format has none */
    uint32_t runs;           /* of 32 columns: 1, or 2 of 16 */
} block_row;

static inline block_row expand_row(float *room, const syn_operand *w, uint32_t n) {
    syn_block_format format = syn_block_format_of(w->dtype);
    float *minimum = room + w->cols / 16;
    int8_t *code = (int8_t *)(minimum + w->cols / 16);
    block_row row = {code, room, format.has_minimum ? minimum : NULL, 32u / format.run};
    const uint8_t *block = syn_weight_row(w, n);
    float *scale = room;
    for (uint32_t i = 0; i < w->cols; i += format.columns, block += format.bytes)
        for (uint32_t part = 0; part < format.columns / 32u; part++, code += 32) {
            syn_expand(code, scale, minimum, w->dtype, block, part);
            scale += row.runs;
            minimum += row.runs;
        }
    return row;
}

/* Σ a · b of 16 columns: short enough for a compiler to unroll whole. */
static inline int32_t dot_16(const int8_t *a, const int8_t *b) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < 16; i++) sum += a[i] * b[i];
    return sum;
}

/* w (C) with x: code (C), scale (C/32), the sums of each 16 codes (C/16) */
static inline float dot_blocks(const block_row *w, const int8_t *code, const float *scale, uint32_t cols) {
    const int16_t *sum = (const int16_t *)(const void *)(scale + cols / 32);
    const int8_t *code_w = w->code;
    const float *scale_w = w->scale, *minimum = w->minimum;
    float lane[8] = {0};
    for (uint32_t k = 0; k < cols / 32; k++, code += 32, code_w += 32, sum += 2) {
        float total = lane[k % 8];
        if (w->runs == 1) {
            int32_t product = dot_16(code_w, code) + dot_16(code_w + 16, code + 16);
            total += (float)product * (*scale_w++ * scale[k]);
            if (minimum) total += *minimum++ * ((float)(sum[0] + sum[1]) * scale[k]);
        } else {
            for (uint32_t r = 0; r < 2; r++) {
                int32_t product = dot_16(code_w + 16 * r, code + 16 * r);
                total += (float)product * (*scale_w++ * scale[k]);
                if (minimum) total += *minimum++ * ((float)sum[r] * scale[k]);
            }
        }
        lane[k % 8] = total;
    }
    return syn_sum_lanes(lane);
}

#endif
