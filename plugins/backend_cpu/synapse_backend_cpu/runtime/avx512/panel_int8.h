/* Panels of integer weights: 32 rows by up to 512 columns, taken apart for the products of
 * tile_int8.h.
 *
 * A format is one expander of a block for 16 rows. VPDPBUSD wants codes without a sign: they are
 * raised by the format's bias, which the products take off again by the sums of the activations'
 * codes. The tile instructions take them as they are.
 */
#ifndef SYN_PANEL_INT8_H
#define SYN_PANEL_INT8_H

#include "wide.h"

enum { PANEL_BLOCKS = 16 };  /* of 32 columns */

typedef struct {
    /* of 4 columns by 16 rows, by block, columns and half of the rows */
    __m512i code[PANEL_BLOCKS][8][2];
    __m512 scale[PANEL_BLOCKS][2][2];    /* by block, run of 16 columns, half; run 0 only where runs have 32 */
    __m512 minimum[PANEL_BLOCKS][2][2];
} syn_panel;

/* What the codes of a format were raised by. */
SYN_INLINE int32_t bias_of(uint32_t format) {
    switch (format) {
    case SYN_Q4_0: return 8;
    case SYN_Q5_0: return 16;
    case SYN_Q6_K: return 32;
    case SYN_Q8_0:
    case SYN_I8G16:
    case SYN_INT8: return 128;
    default: return 0;
    }
}

/* Some rows of x, T together: what belongs to one place of all T lies side by side. Codes of a tile of 16 are
 * (C/32, 16, 8), for the tile instructions, and its sums are multiplied by the scales. */
typedef struct {
    int32_t *code;   /* (C/4, T): four codes each */
    int32_t *sum;    /* (C/32, 3, T): of the codes of columns 0 to 15, 16 to 31, and all; float32 in a tile of 16 */
    float *scale;    /* (C/32, T) */
} syn_tile;

enum { SUM_ALL = 2 };

/* One row of x on its way through 16 rows of a weight: nothing is stored on the way. */
typedef struct {
    const syn_tile *x;
    int32_t bias;
    __m512i product[4][2];   /* of each slot's block: columns 0 to 15, and 16 to 31 */
    __m512 total;
} syn_stream;

/* Where a block of 16 rows goes: into a panel, or straight into the products of one row of x, where
 * blocks that are taken apart together have a slot each. */
typedef struct {
    syn_panel *panel;
    syn_stream *stream;      /* NULL: into the panel */
    uint32_t block, half, runs;
    int is_raised;
    uint32_t slot;
} syn_place;

/* The place of the n-th block from here. */
SYN_INLINE syn_place place_of(syn_place to, uint32_t n) {
    to.block += n;
    to.slot = n;
    return to;
}

/* Codes of a format that stores them raised by `bias`; of a block, before its scale. */
SYN_INLINE void put_code(syn_place to, uint32_t word, __m512i code, int8_t bias) {
    if (to.stream) {
        __m512i x = _mm512_set1_epi32(to.stream->x->code[(size_t)to.block * 8 + word]);
        __m512i *product = &to.stream->product[to.slot][word / 4];
        *product = _mm512_dpbusd_epi32(*product, code, x);
        return;
    }
    if (!to.is_raised && bias) code = _mm512_sub_epi8(code, _mm512_set1_epi8(bias));
    to.panel->code[to.block][word][to.half] = code;
}

/* Of a run, before its minimum. */
SYN_INLINE void put_scale(syn_place to, uint32_t run, __m512 scale) {
    if (to.stream) {
        const syn_tile *x = to.stream->x;
        int32_t sum = x->sum[(size_t)to.block * 3 + (to.runs == 2 ? run : SUM_ALL)];
        __m512i *halves = to.stream->product[to.slot], product = halves[run];
        if (to.runs == 1) product = _mm512_add_epi32(product, halves[1]);
        product = _mm512_sub_epi32(product, _mm512_set1_epi32(to.stream->bias * sum));
        __m512 both = _mm512_mul_ps(scale, _mm512_set1_ps(x->scale[to.block]));
        to.stream->total = _mm512_fmadd_ps(_mm512_cvtepi32_ps(product), both, to.stream->total);
        halves[run] = _mm512_setzero_si512();
        if (to.runs == 1) halves[1] = _mm512_setzero_si512();
        return;
    }
    to.panel->scale[to.block][run][to.half] = scale;
}

SYN_INLINE void put_minimum(syn_place to, uint32_t run, __m512 minimum) {
    if (to.stream) {
        const syn_tile *x = to.stream->x;
        float sum = (float)x->sum[(size_t)to.block * 3 + (to.runs == 2 ? run : SUM_ALL)] * x->scale[to.block];
        to.stream->total = _mm512_fmadd_ps(minimum, _mm512_set1_ps(sum), to.stream->total);
        return;
    }
    to.panel->minimum[to.block][run][to.half] = minimum;
}

SYN_INLINE __m512i nibbles(__m512i v, uint32_t shift) {
    return _mm512_and_si512(_mm512_srli_epi32(v, shift), _mm512_set1_epi8(15));
}

/* 32 signed codes that lie at `at`. */
SYN_INLINE void put_signed(syn_place to, const syn_rows16 *r, size_t at, int packed) {
    syn_words words = {.rows = r, .at = at, .packed = packed};
    for (uint32_t i = 0; i < 8; i++) {
        __m512i code = word_of(&words, i);
        put_code(to, i, to.is_raised ? _mm512_xor_si512(code, _mm512_set1_epi8((char)0x80)) : code, 0);
    }
}

/* Bit 4 of four columns' codes, from 32 bits that have one for each column. */
SYN_INLINE __m512i fifth_bits(__m512i bits, uint32_t word) {
    __m512i four = _mm512_and_si512(_mm512_srli_epi32(bits, 4 * word), _mm512_set1_epi32(15));
    __m512i spread = _mm512_mullo_epi32(four, _mm512_set1_epi32(0x204081 << 4));
    return _mm512_and_si512(spread, _mm512_set1_epi32(0x10101010));
}

/* q4_0, q4_1, q5_0, q5_1 */
SYN_INLINE void expand_small(syn_place to, const syn_rows16 *r, size_t at, int has_minimum, int has_fifth,
                             int packed) {
    size_t bits_at = at + (has_minimum ? 4 : 2);
    syn_words words = {.rows = r, .at = bits_at + (has_fifth ? 4 : 0), .packed = packed};
    __m512i fifth = has_fifth ? take_word(r, bits_at, packed) : _mm512_setzero_si512();
    int8_t bias = has_minimum ? 0 : has_fifth ? 16 : 8;
    for (uint32_t i = 0; i < 4; i++) {
        __m512i both = word_of(&words, i), low = nibbles(both, 0), high = nibbles(both, 4);
        if (has_fifth) low = _mm512_or_si512(low, fifth_bits(fifth, i));
        if (has_fifth) high = _mm512_or_si512(high, fifth_bits(fifth, i + 4));
        put_code(to, i, low, bias);
        put_code(to, i + 4, high, bias);
    }
    if (!has_minimum) {
        put_scale(to, 0, take_half(r, at, packed, 0));
        return;
    }
    __m512i head = take_word(r, at, packed);
    put_scale(to, 0, low_half(head));
    put_minimum(to, 0, high_half(head));
}

/* Byte `index` of each lane as a float. */
SYN_INLINE __m512 byte_of(__m512i v, uint32_t index) {
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(v, 8 * index), _mm512_set1_epi32(255)));
}

/* q4_k, q5_k: a super-block, 8 blocks */
SYN_INLINE void expand_lines(syn_place to, const syn_rows16 *r, size_t at, int has_fifth, int packed) {
    __m512i head = take_word(r, at, packed), fifth[8];
    __m512i a = take_word(r, at + 4, packed), b = take_word(r, at + 8, packed), c = take_word(r, at + 12, packed);
    __m512i six = _mm512_set1_epi8(0x3f), high = _mm512_set1_epi8(0x30);
    __m512i scale[2] = {_mm512_and_si512(a, six),
                        _mm512_or_si512(nibbles(c, 0), _mm512_and_si512(_mm512_srli_epi32(a, 2), high))};
    __m512i minimum[2] = {_mm512_and_si512(b, six),
                          _mm512_or_si512(nibbles(c, 4), _mm512_and_si512(_mm512_srli_epi32(b, 2), high))};
    __m512 d = low_half(head), d_minimum = high_half(head), sign = _mm512_set1_ps(-0.0f);
    if (has_fifth) {
        take_piece(fifth, r, at + 16, packed);
        take_piece(fifth + 4, r, at + 32, packed);
    }
#pragma clang loop unroll(full)
    for (uint32_t pair = 0; pair < 4; pair++, to.block += 2) {
        syn_words words = {.rows = r, .at = at + (has_fifth ? 48 : 16) + pair * 32, .packed = packed};
        for (uint32_t i = 0; i < 8; i++) {
            __m512i both = word_of(&words, i);
            for (uint32_t n = 0; n < 2; n++) {
                __m512i code = nibbles(both, 4 * n);
                if (has_fifth) {
                    __m512i bits = _mm512_srli_epi32(fifth[i], 2 * pair + n), one = _mm512_set1_epi8(1);
                    code = _mm512_or_si512(code, _mm512_slli_epi32(_mm512_and_si512(bits, one), 4));
                }
                put_code(place_of(to, n), i, code, 0);
            }
        }
        for (uint32_t n = 0; n < 2; n++) {
            uint32_t run = 2 * pair + n;
            __m512 least = _mm512_mul_ps(d_minimum, byte_of(minimum[run / 4], run % 4));
            put_scale(place_of(to, n), 0, _mm512_mul_ps(d, byte_of(scale[run / 4], run % 4)));
            put_minimum(place_of(to, n), 0, _mm512_xor_ps(least, sign));
        }
    }
}

/* q6_k: a super-block, 8 blocks of two runs */
SYN_INLINE void expand_six(syn_place to, const syn_rows16 *r, size_t at, int packed) {
    __m512 d = take_half(r, at + 208, packed, 1);
#pragma clang loop unroll(full)
    for (uint32_t half = 0; half < 2; half++, to.block += 4) {
        syn_words low = {.rows = r, .at = at + half * 64, .packed = packed}, low_too = low, high = low;
        low_too.at += 32;
        high.at = at + 128 + half * 32;
        for (uint32_t i = 0; i < 8; i++) {
            __m512i four[2] = {word_of(&low, i), word_of(&low_too, i)}, two = word_of(&high, i);
            for (uint32_t n = 0; n < 4; n++) {
                __m512i bits = _mm512_and_si512(_mm512_srli_epi32(two, 2 * n), _mm512_set1_epi8(3));
                __m512i code = _mm512_or_si512(nibbles(four[n % 2], n / 2 * 4), _mm512_slli_epi32(bits, 4));
                put_code(place_of(to, n), i, code, 32);
            }
        }
        for (uint32_t word = 0; word < 2; word++) {
            __m512i scales = take_word(r, at + 192 + half * 8 + word * 4, packed);
            for (uint32_t byte = 0; byte < 4; byte++) {
                __m512i scale = _mm512_srai_epi32(_mm512_slli_epi32(scales, 24 - 8 * byte), 24);
                put_scale(place_of(to, 2 * word + byte / 2), byte % 2, _mm512_mul_ps(d, _mm512_cvtepi32_ps(scale)));
            }
        }
    }
}

SYN_INLINE void expand_i8g16(syn_place to, const syn_rows16 *r, size_t at, int packed) {
    put_signed(to, r, at + 16, packed);
    for (uint32_t run = 0; run < 2; run++) {
        put_scale(to, run, _mm512_castsi512_ps(take_word(r, at + run * 4, packed)));
        put_minimum(to, run, _mm512_castsi512_ps(take_word(r, at + 8 + run * 4, packed)));
    }
}

/* int8: codes behind the row's scale; what is behind the row counts as zero. `cols` of the row */
SYN_INLINE void expand_int8(syn_place to, const syn_rows16 *r, uint32_t column, uint32_t cols, int packed) {
    if (cols - column >= 32) {
        put_signed(to, r, 4 + (size_t)column, packed);
        return;
    }
    uint8_t room[LANES * 32] = {0};
    for (uint32_t i = 0; i < LANES; i++) __builtin_memcpy(room + i * 32, r->row[i] + 4 + column, cols - column);
    syn_rows16 tail = rows_at(room, 32, 0, LANES);
    put_signed(to, &tail, 0, 0);
}

/* `blocks` blocks from column 32 · first on, of 16 rows of a weight of this format. */
SYN_INLINE void expand_blocks(syn_place to, const syn_rows16 *r, uint32_t dtype, uint32_t cols, uint32_t first,
                              uint32_t blocks, int packed) {
    syn_block_format format = syn_block_format_of(dtype);
    uint32_t each = format.columns ? format.columns / 32 : 1;
    size_t at = (size_t)(first / each) * format.bytes;
    to.runs = format.columns ? 32 / format.run : 1;
    for (uint32_t b = 0; b < blocks; b += each, to.block += each, at += format.bytes) {
        switch (dtype) {
        case SYN_Q8_0:
            put_signed(to, r, at + 2, packed);
            put_scale(to, 0, take_half(r, at, packed, 0));
            break;
        case SYN_Q4_0: expand_small(to, r, at, 0, 0, packed); break;
        case SYN_Q4_1: expand_small(to, r, at, 1, 0, packed); break;
        case SYN_Q5_0: expand_small(to, r, at, 0, 1, packed); break;
        case SYN_Q5_1: expand_small(to, r, at, 1, 1, packed); break;
        case SYN_Q4_K: expand_lines(to, r, at, 0, packed); break;
        case SYN_Q5_K: expand_lines(to, r, at, 1, packed); break;
        case SYN_Q6_K: expand_six(to, r, at, packed); break;
        case SYN_I8G16: expand_i8g16(to, r, at, packed); break;
        default: expand_int8(to, r, (first + b) * 32, cols, packed);
        }
    }
}

static void expand_half(syn_panel *panel, uint32_t half, const syn_rows16 *r, const syn_operand *w, uint32_t first,
                        uint32_t blocks, int is_raised) {
    syn_place raised = {panel, NULL, 0, half, 1, 1, 0}, plain = {panel, NULL, 0, half, 1, 0, 0};
    if (r->packed && is_raised) expand_blocks(raised, r, w->dtype, w->cols, first, blocks, 1);
    else if (r->packed) expand_blocks(plain, r, w->dtype, w->cols, first, blocks, 1);
    else if (is_raised) expand_blocks(raised, r, w->dtype, w->cols, first, blocks, 0);
    else expand_blocks(plain, r, w->dtype, w->cols, first, blocks, 0);
}

#endif
