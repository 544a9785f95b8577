/* Panels of integer weights: 32 rows by up to 512 columns, taken apart for the products of
 * tile_int8.h.
 *
 * A format is one expander of a block for the rows of a vector. Where products want codes without a sign
 * (product.h) they are raised by the format's bias, which is taken off again by the sums of the
 * activations' codes. Others take them as they are.
 */
#ifndef SYN_PANEL_INT8_H
#define SYN_PANEL_INT8_H

#include "product.h"
#include "wide.h"

/* a vector's bytes */
typedef int8_t syn_vc __attribute__((vector_size(4 * SYN_LANES)));

enum { PANEL_BLOCKS = 16 };  /* of 32 columns */

typedef struct {
    /* of 4 columns, by block, columns and vector of rows */
    syn_vi code[PANEL_BLOCKS][8][PANEL_VECTORS];
    /* by block, run of 16 columns, vector; run 0 only where runs have 32 */
    syn_vf scale[PANEL_BLOCKS][2][PANEL_VECTORS];
    syn_vf minimum[PANEL_BLOCKS][2][PANEL_VECTORS];
} syn_panel;

/* Some rows of x, T together: what belongs to one place of all T lies side by side. Codes of a tile of 16 are
 * (C/32, 16, 8), for the tile instructions, and its sums are multiplied by the scales. */
typedef struct {
    int32_t *code;   /* (C/4, T): four codes each */
    int32_t *sum;    /* (C/32, 3, T): of the codes of columns 0 to 15, 16 to 31, and all; float32 in a tile of 16 */
    float *scale;    /* (C/32, T) */
} syn_tile;

enum { SUM_ALL = 2 };

/* Rows of x that go through packed weights together: as many as registers hold the sums of. Of super-blocks two or four
 * blocks are on their way at a time; formats that are rarely met are not worth a loop for each number of rows. */
enum { STREAM_ROWS = SYN_LANES == 16 ? 8 : 1, STREAM_FEW = SYN_LANES == 16 ? 4 : 1 };

SYN_INLINE uint32_t stream_rows(uint32_t format) {
    return format == SYN_Q8_0 || format == SYN_Q4_0 ? STREAM_ROWS : STREAM_FEW;
}

/* Some rows of x on their way through a block of the rows of a vector: nothing is stored on the way. */
typedef struct {
    const syn_tile *x;
    syn_products product[STREAM_ROWS][4][2];  /* of each slot's block: of columns 0 to 15, and 16 to 31 */
    syn_vf total[STREAM_ROWS];
} syn_stream;

/* How many times the words of a block a panel holds, and how many blocks of a format. */
SYN_INLINE uint32_t word_parts(uint32_t bits) { return HAS_PAIRS && bits == 8 ? 2 : 1; }

SYN_INLINE uint32_t panel_blocks(uint32_t format) { return PANEL_BLOCKS / word_parts(bits_of(format)); }

/* Where a block of a vector's rows goes: into a panel, or straight into the products of some rows of x, where
 * blocks that are taken apart together have a slot each. */
typedef struct {
    syn_panel *panel;
    syn_stream *stream;       /* NULL: into the panel */
    uint32_t format, block, half, runs;
    uint32_t v;               /* of the group's vectors */
    uint32_t as;              /* AS_SIGNED and the like */
    uint32_t rows, slot;      /* rows of x of a stream */
    syn_vi *even;             /* AS_SQUARES: by slot and half, the word before an odd one */
} syn_place;

/* Are two sums of a run made side by side? A sum's next product waits for the one before, with few rows of x. */
SYN_INLINE int is_split(syn_place to) { return SPLIT_SUMS && to.rows < 4; }

/* The place of the n-th block from here. */
SYN_INLINE syn_place place_of(syn_place to, uint32_t n) {
    to.block += n;
    to.slot = n;
    return to;
}

SYN_INLINE uint32_t place_vector(syn_place to) { return to.half * VECTORS + to.v; }

/* The sum of the codes of row t of x in a run, as products want it. */
SYN_INLINE int32_t stream_sum(syn_place to, uint32_t run, uint32_t t) {
    return to.stream->x->sum[((size_t)to.block * 3 + (to.runs == 2 ? run : SUM_ALL)) * to.rows + t];
}

/* Words of each row, two → both words of rows 0 and 1 of each four, and of rows 2 and 3. */
SYN_INLINE void put_squares(syn_place to, uint32_t word, syn_vi code) {
    syn_vi *even = to.even + to.slot * 2 + word / 4;
    if (word % 2) {
        to.panel->code[to.block][word - 1][place_vector(to)] = SYN_ZIP(*even, code, 0, SYN_LANES, 1, SYN_LANES + 1);
        to.panel->code[to.block][word][place_vector(to)] = SYN_ZIP(*even, code, 2, SYN_LANES + 2, 3, SYN_LANES + 3);
    }
    *even = code;
}

/* Codes of a format that stores them raised by `bias`; of a block, before its scale. */
SYN_INLINE void put_code(syn_place to, uint32_t word, syn_vi code, int8_t bias) {
    if (to.as != AS_RAISED && bias) code = (syn_vi)((syn_vc)code - bias);
    uint32_t bits = bits_of(to.format), half = to.runs == 2 || is_split(to) ? word / 4 : 0;
    if (!to.stream) {
#if HAS_PAIRS
        if (bits == 8) {
            to.panel->code[2 * to.block][word][place_vector(to)] = low_nibbles(code);
            to.panel->code[2 * to.block + 1][word][place_vector(to)] = high_nibbles(code);
            return;
        }
#endif
        if (to.as == AS_SQUARES) put_squares(to, word, code);
        else to.panel->code[to.block][word][place_vector(to)] = code;
        return;
    }
    syn_stream *stream = to.stream;
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < to.rows; t++) {
        syn_products *product = &stream->product[t][to.slot][half];
        if (word == 0 || (word == 4 && half))
            *product = products_begin(bits, bias_of(to.format), is_split(to) ? 0 : stream_sum(to, half, t));
        products_add(product, bits, code, syn_vi_set(stream->x->code[((size_t)to.block * 8 + word) * to.rows + t]));
    }
}

/* Of a run, before its minimum. */
SYN_INLINE void put_scale(syn_place to, uint32_t run, syn_vf scale) {
    if (!to.stream) {
        to.panel->scale[to.block][run][place_vector(to)] = scale;
        return;
    }
    syn_stream *stream = to.stream;
    uint32_t bits = bits_of(to.format);
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < to.rows; t++) {
        const syn_products *halves = stream->product[t][to.slot];
        int32_t bias = bias_of(to.format), kept = stream_sum(to, run, t);
        syn_vi sum = products_end(&halves[run], bits, bias, kept);
        if (is_split(to) && to.runs == 1) sum += products_end(&halves[1], bits, bias, kept);
        if (is_split(to) && CODES_RAISED) sum -= bias * kept;
        syn_vf both = scale * stream->x->scale[(size_t)to.block * to.rows + t];
        stream->total[t] = syn_v_fma(syn_v_of(sum), both, stream->total[t]);
    }
}

SYN_INLINE void put_minimum(syn_place to, uint32_t run, syn_vf minimum) {
    if (!to.stream) {
        to.panel->minimum[to.block][run][place_vector(to)] = minimum;
        return;
    }
    syn_stream *stream = to.stream;
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < to.rows; t++) {
        float sum = (float)whole_sum(stream_sum(to, run, t)) * stream->x->scale[(size_t)to.block * to.rows + t];
        stream->total[t] = syn_v_fma(minimum, syn_v_set(sum), stream->total[t]);
    }
}

SYN_INLINE syn_vi nibbles(syn_vi v, uint32_t shift) {
    return (syn_vi)((syn_vu)v >> shift) & 0x0f0f0f0f;
}

/* 32 codes of 8 bits with a sign that lie at `at`. */
SYN_INLINE void put_signed(syn_place to, const syn_rows16 *r, size_t at, int packed) {
    syn_words words = {.rows = r, .at = at, .v = to.v, .packed = packed};
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < 8; i++) {
        syn_vi code = word_of(&words, i);
        int is_raised = to.as == AS_RAISED && bias_of(to.format);
        put_code(to, i, is_raised ? code ^ (int32_t)0x80808080 : code, 0);
    }
}

/* Bit 4 of four columns' codes, from 32 bits that have one for each column. */
SYN_INLINE syn_vi fifth_bits(syn_vi bits, uint32_t word) {
    syn_vi four = (syn_vi)((syn_vu)bits >> 4 * word) & 15;
    return four * (0x204081 << 4) & 0x10101010;
}

/* q4_0, q4_1, q5_0, q5_1 */
SYN_INLINE void expand_small(syn_place to, const syn_rows16 *r, size_t at, int has_minimum, int has_fifth,
                             int packed) {
    size_t bits_at = at + (has_minimum ? 4 : 2);
    syn_words words = {.rows = r, .at = bits_at + (has_fifth ? 4 : 0), .v = to.v, .packed = packed};
    syn_vi fifth = has_fifth ? take_word(r, to.v, bits_at, packed) : syn_vi_set(0);
    int8_t bias = has_minimum ? 0 : has_fifth ? 16 : 8;
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < 4; i++) {
        syn_vi both = word_of(&words, i), low = nibbles(both, 0), high = nibbles(both, 4);
        if (has_fifth) low |= fifth_bits(fifth, i), high |= fifth_bits(fifth, i + 4);
        put_code(to, i, low, bias);
        put_code(to, i + 4, high, bias);
    }
    if (!has_minimum) {
        put_scale(to, 0, take_half(r, to.v, at, packed, 0));
        return;
    }
    syn_vi head = take_word(r, to.v, at, packed);
    put_scale(to, 0, syn_v_low_f16(head));
    put_minimum(to, 0, syn_v_high_f16(head));
}

/* Byte `index` of each lane as a float. */
SYN_INLINE syn_vf byte_of(syn_vi v, uint32_t index) {
    return syn_v_of((syn_vi)((syn_vu)v >> 8 * index) & 255);
}

/* What the 8 blocks of a super-block of q4_k or q5_k have in common. */
typedef struct {
    syn_vi scale[2], minimum[2];  /* a byte for each block */
    syn_vi fifth[8];              /* a bit for each */
    syn_vf d, d_minimum;
} syn_lines;

/* Blocks 2 · pair and 2 · pair + 1, which share their bytes. */
SYN_INLINE void expand_pair(syn_place to, const syn_lines *lines, uint32_t pair, const syn_rows16 *r, size_t at,
                            int has_fifth, int packed) {
    syn_words words = {.rows = r, .at = at, .v = to.v, .packed = packed};
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < 8; i++) {
        syn_vi both = word_of(&words, i);
        for (uint32_t n = 0; n < 2; n++) {
            syn_vi code = nibbles(both, 4 * n);
            if (has_fifth) code |= ((syn_vi)((syn_vu)lines->fifth[i] >> (2 * pair + n)) & 0x01010101) << 4;
            put_code(place_of(to, n), i, code, 0);
        }
    }
    for (uint32_t n = 0; n < 2; n++) {
        uint32_t run = 2 * pair + n;
        put_scale(place_of(to, n), 0, lines->d * byte_of(lines->scale[run / 4], run % 4));
        put_minimum(place_of(to, n), 0, -(lines->d_minimum * byte_of(lines->minimum[run / 4], run % 4)));
    }
}

/* q4_k, q5_k: a super-block, 8 blocks */
SYN_INLINE void expand_lines(syn_place to, const syn_rows16 *r, size_t at, int has_fifth, int packed) {
    syn_vi head = take_word(r, to.v, at, packed), a = take_word(r, to.v, at + 4, packed);
    syn_vi b = take_word(r, to.v, at + 8, packed), c = take_word(r, to.v, at + 12, packed);
    const int32_t six = 0x3f3f3f3f, high = 0x30303030;
    syn_lines lines = {.scale = {a & six, nibbles(c, 0) | ((a >> 2) & high)},
                       .minimum = {b & six, nibbles(c, 4) | ((b >> 2) & high)},
                       .d = syn_v_low_f16(head),
                       .d_minimum = syn_v_high_f16(head)};
    if (has_fifth) {
        take_piece(lines.fifth, r, to.v, at + 16, packed);
        take_piece(lines.fifth + 4, r, to.v, at + 32, packed);
    }
    at += has_fifth ? 48 : 16;
    if (to.rows > 1) {  /* long enough as it is */
#pragma clang loop unroll(disable)
        for (uint32_t pair = 0; pair < 4; pair++, to.block += 2)
            expand_pair(to, &lines, pair, r, at + pair * 32, has_fifth, packed);
        return;
    }
#pragma clang loop unroll(full)
    for (uint32_t pair = 0; pair < 4; pair++, to.block += 2)
        expand_pair(to, &lines, pair, r, at + pair * 32, has_fifth, packed);
}

/* Four blocks of a super-block of q6_k. They share their bytes and are taken apart side by side, so that no more lies
 * in registers than a word of each. */
SYN_INLINE void expand_four(syn_place to, syn_vf d, uint32_t half, const syn_rows16 *r, size_t at, int packed) {
    syn_words low = {.rows = r, .at = at + half * 64, .v = to.v, .packed = packed}, low_too = low, high = low;
    low_too.at += 32;
    high.at = at + 128 + half * 32;
#pragma clang loop unroll(full)
    for (uint32_t i = 0; i < 8; i++) {
        syn_vi four[2] = {word_of(&low, i), word_of(&low_too, i)}, two = word_of(&high, i);
        for (uint32_t n = 0; n < 4; n++) {
            syn_vi bits = (syn_vi)((syn_vu)two >> 2 * n) & 0x03030303;
            put_code(place_of(to, n), i, nibbles(four[n % 2], n / 2 * 4) | bits << 4, 32);
        }
    }
    for (uint32_t word = 0; word < 2; word++) {
        syn_vi scales = take_word(r, to.v, at + 192 + half * 8 + word * 4, packed);
        for (uint32_t byte = 0; byte < 4; byte++)
            put_scale(place_of(to, 2 * word + byte / 2), byte % 2, d * syn_v_of(scales << (24 - 8 * byte) >> 24));
    }
}

/* q6_k: a super-block, 8 blocks of two runs */
SYN_INLINE void expand_six(syn_place to, const syn_rows16 *r, size_t at, int packed) {
    syn_vf d = take_half(r, to.v, at + 208, packed, 1);
    if (to.rows > 1) {  /* long enough as it is */
#pragma clang loop unroll(disable)
        for (uint32_t half = 0; half < 2; half++, to.block += 4) expand_four(to, d, half, r, at, packed);
        return;
    }
#pragma clang loop unroll(full)
    for (uint32_t half = 0; half < 2; half++, to.block += 4) expand_four(to, d, half, r, at, packed);
}

SYN_INLINE void expand_i8g16(syn_place to, const syn_rows16 *r, size_t at, int packed) {
    put_signed(to, r, at + 16, packed);
    for (uint32_t run = 0; run < 2; run++) {
        put_scale(to, run, (syn_vf)take_word(r, to.v, at + run * 4, packed));
        put_minimum(to, run, (syn_vf)take_word(r, to.v, at + 8 + run * 4, packed));
    }
}

/* int8: codes behind the row's scale; what is behind the row counts as zero. `cols` of the row */
SYN_INLINE void expand_int8(syn_place to, const syn_rows16 *r, uint32_t column, uint32_t cols, int packed) {
    if (cols - column >= 32) {
        put_signed(to, r, 4 + (size_t)column, packed);
        return;
    }
    uint8_t room[GROUP_ROWS * 32] = {0};
    for (uint32_t i = 0; i < GROUP_ROWS; i++) __builtin_memcpy(room + i * 32, r->row[i] + 4 + column, cols - column);
    syn_rows16 tail = rows_at(room, 32, 0, GROUP_ROWS);
    put_signed(to, &tail, 0, 0);
}

/* One block or super-block of the rows of a vector. */
SYN_INLINE void expand_block(syn_place to, const syn_rows16 *r, size_t at, uint32_t column, uint32_t cols, int packed) {
    switch (to.format) {
    case SYN_Q8_0:
        put_signed(to, r, at + 2, packed);
        put_scale(to, 0, take_half(r, to.v, at, packed, 0));
        break;
    case SYN_Q4_0: expand_small(to, r, at, 0, 0, packed); break;
    case SYN_Q4_1: expand_small(to, r, at, 1, 0, packed); break;
    case SYN_Q5_0: expand_small(to, r, at, 0, 1, packed); break;
    case SYN_Q5_1: expand_small(to, r, at, 1, 1, packed); break;
    case SYN_Q4_K: expand_lines(to, r, at, 0, packed); break;
    case SYN_Q5_K: expand_lines(to, r, at, 1, packed); break;
    case SYN_Q6_K: expand_six(to, r, at, packed); break;
    case SYN_I8G16: expand_i8g16(to, r, at, packed); break;
    default:
        to.format = SYN_INT8;  /* there is no other, which the compiler cannot know */
        expand_int8(to, r, column, cols, packed);
    }
}

/* Blocks of 32 columns in one of a format, and the bytes of that. */
SYN_INLINE uint32_t blocks_in(uint32_t format) {
    uint32_t columns = syn_block_format_of(format).columns;
    return columns ? columns / 32 : 1;
}

SYN_INLINE uint32_t runs_in(uint32_t format) { return syn_block_format_of(format).run == 16 ? 2 : 1; }

/* `blocks` blocks from column 32 · first on, of the rows of a vector. */
SYN_INLINE void expand_blocks(syn_place to, const syn_rows16 *r, uint32_t cols, uint32_t first, uint32_t blocks,
                              int packed) {
    uint32_t each = blocks_in(to.format);
    size_t bytes = syn_block_format_of(to.format).bytes, at = first / each * bytes;
    for (uint32_t b = 0; b < blocks; b += each, to.block += each, at += bytes)
        expand_block(to, r, at, (first + b) * 32, cols, packed);
}

#endif
