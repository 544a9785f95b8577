/* Weight formats in layout rows: bytes of a row, and 32 columns of it as small integers.
 *
 * Block formats differ in their bytes only: what a kernel sees of each is codes, and for each run of
 * 16 or 32 columns a scale and perhaps a minimum; a number is scale · code, then + minimum. So a
 * format is a line of the table and an expander. The formats are described in docs/formats.md.
 */
#ifndef SYN_FORMATS_H
#define SYN_FORMATS_H

#include "syn.h"
#include "syn_math.h"

/* numbers of a weight: only 2-byte alignment is promised */
typedef float syn_loose_f32 __attribute__((aligned(2), may_alias));
typedef uint16_t syn_loose_u16 __attribute__((aligned(2), may_alias));

typedef struct {
    uint16_t columns, bytes;  /* of a block or super-block */
    uint8_t run;              /* columns that share a scale: 16 or 32 */
    uint8_t has_minimum;
} syn_block_format;

/* A block format's line; columns is 0 for any other format. */
static inline syn_block_format syn_block_format_of(uint32_t format) {
    static const syn_block_format formats[] = {
        {32, 34, 32, 0},    /* q8_0 */
        {32, 18, 32, 0},    /* q4_0 */
        {32, 20, 32, 1},    /* q4_1 */
        {32, 22, 32, 0},    /* q5_0 */
        {32, 24, 32, 1},    /* q5_1 */
        {256, 144, 32, 1},  /* q4_k */
        {256, 176, 32, 1},  /* q5_k */
        {256, 210, 16, 0},  /* q6_k */
        {32, 48, 16, 1},    /* i8g16 */
    };
    syn_block_format none = {0, 0, 0, 0};
    return format < SYN_Q8_0 || format > SYN_I8G16 ? none : formats[format - SYN_Q8_0];
}

/* Bytes of a weight's row in layout rows; 0 for a format unknown here or a width it cannot have. */
static inline uint64_t syn_row_bytes(uint32_t format, uint32_t cols) {
    syn_block_format blocks = syn_block_format_of(format);
    if (blocks.columns) return cols % blocks.columns ? 0 : (uint64_t)(cols / blocks.columns) * blocks.bytes;
    switch (format) {
    case SYN_F32: return (uint64_t)cols * 4;
    case SYN_F16:
    case SYN_BF16: return (uint64_t)cols * 2;
    case SYN_INT8: return (uint64_t)4 + cols + (cols & 1);
    default: return 0;
    }
}

/* Bytes of n numbers of keys or values; of q8_0 n is a multiple of 32. */
static inline size_t syn_state_bytes(uint32_t dtype, size_t n) {
    return dtype == SYN_Q8_0 ? n / 32 * 34 : n * (dtype == SYN_F32 ? 4 : 2);
}

static inline float syn_half_at(const uint8_t *from) {
    return syn_from_f16(*(const syn_loose_u16 *)(const void *)from);
}

/* 4 bits of each of n bytes: the low ones, or with shift 4 the high ones. */
static inline void syn_take_nibbles(int8_t *code, const uint8_t *from, uint32_t shift, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) code[i] = (int8_t)(from[i] >> shift & 15);
}

/* Put bits of 32 bytes above the nibbles, and move the zero to the middle. */
static inline void syn_add_high(int8_t *code, const uint8_t *from, uint32_t shift, uint32_t mask,
                                int32_t middle) {
    for (uint32_t i = 0; i < 32; i++)
        code[i] = (int8_t)(code[i] + (int32_t)((from[i] >> shift & mask) << 4) - middle);
}

/* q4_0, q4_1, q5_0, q5_1: d, m if any, the 32 fifth bits if any, nibbles of columns j and j + 16. */
static inline void syn_expand_small(int8_t *code, float *scale, float *minimum, const uint8_t *block,
                                    int has_minimum, int has_fifth) {
    const uint8_t *bits = block + (has_minimum ? 4 : 2), *nibbles = bits + (has_fifth ? 4 : 0);
    int32_t middle = has_minimum ? 0 : has_fifth ? 16 : 8;
    *scale = syn_half_at(block);
    if (has_minimum) *minimum = syn_half_at(block + 2);
    syn_take_nibbles(code, nibbles, 0, 16);
    syn_take_nibbles(code + 16, nibbles, 4, 16);
    if (has_fifth)
        for (uint32_t i = 0; i < 32; i++) code[i] = (int8_t)(code[i] | (bits[i / 8] >> i % 8 & 1) << 4);
    for (uint32_t i = 0; i < 32; i++) code[i] = (int8_t)(code[i] - middle);
}

/* q4_k, q5_k: d, dmin, 6-bit scales and minima (8 each in 12 bytes), the fifth bits of q5_k, nibbles.
 * Run r has bit r of the fifth bits and the nibbles of 32 bytes that it shares with run r ^ 1. */
static inline void syn_expand_line(int8_t *code, float *scale, float *minimum, const uint8_t *block,
                                   uint32_t r, int has_fifth) {
    const uint8_t *six = block + 4, *nibbles = block + (has_fifth ? 48 : 16);
    uint32_t s, m;
    if (r < 4) {
        s = six[r] & 63;
        m = six[r + 4] & 63;
    } else {
        s = (six[r + 4] & 15) | (uint32_t)(six[r - 4] >> 6) << 4;
        m = six[r + 4] >> 4 | (uint32_t)(six[r] >> 6) << 4;
    }
    *scale = syn_half_at(block) * (float)s;
    *minimum = -(syn_half_at(block + 2) * (float)m);
    syn_take_nibbles(code, nibbles + r / 2 * 32, r % 2 * 4, 32);
    if (has_fifth) syn_add_high(code, block + 16, r, 1, 0);
}

/* q6_k, columns 32 part to 32 part + 31: two halves of 64 low nibbles, two of 32 bytes with high
 * bits, 16 int8 scales, d. */
static inline void syn_expand_six(int8_t *code, float scale[2], const uint8_t *block, uint32_t part) {
    uint32_t half = part / 4, quarter = part % 4;
    float d = syn_half_at(block + 208);
    for (uint32_t i = 0; i < 2; i++) scale[i] = d * (float)(int8_t)block[192 + 2 * part + i];
    syn_take_nibbles(code, block + half * 64 + quarter % 2 * 32, quarter / 2 * 4, 32);
    syn_add_high(code, block + 128 + half * 32, quarter * 2, 3, 32);
}

/* Columns 32 part to 32 part + 31 of a block. code (32); scale and minimum (1, or 2 where runs are of
 * 16); minimum is left alone where the format has none. */
static inline void syn_expand(int8_t *code, float *scale, float *minimum, uint32_t format,
                              const uint8_t *block, uint32_t part) {
    switch (format) {
    case SYN_Q8_0:
        *scale = syn_half_at(block);
        __builtin_memcpy(code, block + 2, 32);
        break;
    case SYN_Q4_K:
    case SYN_Q5_K:
        syn_expand_line(code, scale, minimum, block, part, format == SYN_Q5_K);
        break;
    case SYN_Q6_K:
        syn_expand_six(code, scale, block, part);
        break;
    case SYN_I8G16:
        __builtin_memcpy(scale, block, 8);
        __builtin_memcpy(minimum, block + 8, 8);
        __builtin_memcpy(code, block + 16, 32);
        break;
    default:
        syn_expand_small(code, scale, minimum, block, format == SYN_Q4_1 || format == SYN_Q5_1,
                         format == SYN_Q5_0 || format == SYN_Q5_1);
    }
}

/* A row of a block format as float32 numbers. y (cols) */
static inline void syn_decode_blocks(float *y, uint32_t format, const uint8_t *row, uint32_t cols) {
    syn_block_format blocks = syn_block_format_of(format);
    uint32_t part = 0;
    for (uint32_t i = 0; i < cols; i += 32) {
        int8_t code[32];
        float scale[2], minimum[2];
        syn_expand(code, scale, minimum, format, row, part);
        if (++part * 32 == blocks.columns) {
            part = 0;
            row += blocks.bytes;
        }
        for (uint32_t j = 0; j < 32; j++) {
            uint32_t r = blocks.run == 16 ? j / 16 : 0;
            float number = scale[r] * (float)code[j];
            y[i + j] = blocks.has_minimum ? number + minimum[r] : number;
        }
    }
}

#endif
