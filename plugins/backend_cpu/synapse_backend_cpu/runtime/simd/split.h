/* Numbers in parts of eight bits: a float32 is the exact sum of three bfloat16, a float16 of two.
 *
 * A part is what is left of the number, cut off behind its eighth bit. Below 2^-126 parts are lost to
 * the tile instructions, which take such numbers for zero.
 *
 * Both operands come by steps of 32 columns, each a tile of 64 bytes a row for each part: of x its
 * rows, of the weight 16 pairs of columns of its 16 rows, as packed bfloat16 lies anyway.
 */
#ifndef SYN_SPLIT_H
#define SYN_SPLIT_H

#include "tile_f32.h"

enum { STEP_COLUMNS = 32, MOST_PARTS = 3, SPLIT_BYTES = 1024, SPLIT_PANEL_BYTES = 96 * SPLIT_BYTES };
/* Weights are asked for less early than others: what waits for tiles holds up what comes behind it. */
enum { NEAR_BYTES = SPLIT_BYTES };

/* How many parts a number of this format has; one where they are rounded to bfloat16. */
SYN_INLINE uint32_t parts_of(uint32_t dtype, int round) {
    return round || dtype == SYN_BF16 ? 1 : dtype == SYN_F16 ? 2 : MOST_PARTS;
}

SYN_INLINE uint32_t x_parts(int round) { return round ? 1 : MOST_PARTS; }

#ifdef __AMX_BF16__

/* The lanes of `count` numbers that go on at `first`. */
SYN_INLINE __mmask16 lanes_of(uint32_t first, uint32_t count) {
    uint32_t left = count > first ? count - first : 0;
    return left >= SYN_LANES ? 0xffff : (__mmask16)((1u << left) - 1);
}

/* Cut the first part off a number. */
SYN_INLINE __m512 cut_part(__m512 *left) {
    __m512i bits = _mm512_and_si512(_mm512_castps_si512(*left), _mm512_set1_epi32((int32_t)0xffff0000));
    __m512 part = _mm512_castsi512_ps(bits);
    *left = _mm512_sub_ps(*left, part);
    return part;
}

/* Nearest bfloat16, ties to even, as syn_to_bf16 has it. */
SYN_INLINE __m512 nearest_part(__m512 x) {
    __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i even = _mm512_and_si512(_mm512_srli_epi32(bits, 16), one);
    __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), even);
    __mmask16 number = _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    up = _mm512_mask_blend_epi32(number, _mm512_or_si512(bits, _mm512_set1_epi32(0x400000)), up);
    return _mm512_castsi512_ps(_mm512_and_si512(up, _mm512_set1_epi32((int32_t)0xffff0000)));
}

/* The next part of a number; of one that is rounded there is no other. */
SYN_INLINE __m512 take_part(__m512 *left, int round) { return round ? nearest_part(*left) : cut_part(left); }

/* ---- x ---- */

/* Row t of a tile of T from x (C): parts of 32 columns, T rows each. */
static void split_row(uint16_t *tile, uint32_t t, uint32_t T, const float *x, uint32_t cols, uint32_t parts) {
    for (uint32_t i = 0; i < cols; i += STEP_COLUMNS)
        for (uint32_t h = 0; h < 2; h++) {
            uint32_t from = i + h * SYN_LANES;
            __m512 left = from < cols ? _mm512_maskz_loadu_ps(lanes_of(from, cols), x + from) : _mm512_setzero_ps();
            uint16_t *to = tile + ((size_t)i * parts * T + t * STEP_COLUMNS + h * SYN_LANES);
            for (uint32_t part = 0; part < parts; part++, to += (size_t)T * STEP_COLUMNS) {
                __m512i bits = _mm512_castps_si512(take_part(&left, parts == 1));
                _mm256_storeu_si256((void *)to, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
            }
        }
}

/* ---- weights ---- */

/* Two columns of 16 rows → a row of each part's tile; what of the later parts is not zero. */
SYN_INLINE void put_pair(uint8_t *to, __m512 first, __m512 second, uint32_t parts, int round, __m512i seen[2]) {
#pragma clang loop unroll(full)
    for (uint32_t part = 0; part < parts; part++, to += SPLIT_BYTES) {
        __m512i a = _mm512_castps_si512(take_part(&first, round));
        __m512i b = _mm512_castps_si512(take_part(&second, round));
        __m512i both = _mm512_or_si512(_mm512_srli_epi32(a, 16), b);
        if (part) seen[part - 1] = _mm512_or_si512(seen[part - 1], both);
        _mm512_storeu_si512(to, both);
    }
}

/* The 16 bytes at `at` of each row → column `column` of a step and on, of its tiles. */
SYN_INLINE void put_columns(uint8_t *step, uint32_t column, uint32_t dtype, int round, const syn_rows16 *r, size_t at,
                            int packed, __m512i seen[2]) {
    uint8_t *to = step + (size_t)column / 2 * 64;
    if (dtype == SYN_BF16) {
        syn_vi piece[4];
        take_piece(piece, r, 0, at, packed);
        for (uint32_t i = 0; i < 4; i++) syn_vi_store(to + i * 64, piece[i]);
        return;
    }
    syn_vf number[8];
    take_floats(number, dtype, r, 0, at, packed);
    for (uint32_t i = 0; i < (dtype == SYN_F32 ? 2 : 4); i++)
        put_pair(to + i * 64, number[2 * i], number[2 * i + 1], parts_of(dtype, round), round, seen);
}

/* Columns [from, from + count) of 16 rows → `to`, the last step filled with zeros; return the parts
 * that are not all zero. */
SYN_INLINE uint32_t split_columns(uint8_t *to, const syn_rows16 *r, uint32_t dtype, int round, uint32_t from,
                                  uint32_t count, int packed) {
    uint32_t size = dtype == SYN_F32 ? 4 : 2, each = 16 / size, i = 0;
    size_t step_bytes = (size_t)parts_of(dtype, round) * SPLIT_BYTES;
    __m512i seen[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    uint32_t whole = count / each * each, last = (count + STEP_COLUMNS - 1) / STEP_COLUMNS * STEP_COLUMNS;
    for (; i < whole; i += each) {
        size_t at = (size_t)(from + i) * size;
        put_columns(to + i / STEP_COLUMNS * step_bytes, i % STEP_COLUMNS, dtype, round, r, at, packed, seen);
    }
    for (; i < last; i += each) {
        uint8_t room[GROUP_ROWS * 16] = {0};
        for (uint32_t n = 0; i < count && n < GROUP_ROWS; n++)
            __builtin_memcpy(room + n * 16, r->row[n] + (size_t)(from + i) * size, (size_t)(count - i) * size);
        syn_rows16 tail = rows_at(room, 16, 0, GROUP_ROWS);
        put_columns(to + i / STEP_COLUMNS * step_bytes, i % STEP_COLUMNS, dtype, round, &tail, 0, 0, seen);
    }
    if (_mm512_test_epi32_mask(seen[1], seen[1])) return 3;
    return _mm512_test_epi32_mask(seen[0], seen[0]) ? 2 : 1;
}

#define SYN_SPLIT_AS(DTYPE, ROUND) \
    (r->packed ? split_columns(to, r, DTYPE, ROUND, from, count, 1) \
               : split_columns(to, r, DTYPE, ROUND, from, count, 0))

static uint32_t split_weights(uint8_t *to, const syn_rows16 *r, uint32_t dtype, int round, uint32_t from,
                              uint32_t count) {
    if (dtype == SYN_BF16) return SYN_SPLIT_AS(SYN_BF16, 0);
    if (dtype == SYN_F16) return round ? SYN_SPLIT_AS(SYN_F16, 1) : SYN_SPLIT_AS(SYN_F16, 0);
    return round ? SYN_SPLIT_AS(SYN_F32, 1) : SYN_SPLIT_AS(SYN_F32, 0);
}
#undef SYN_SPLIT_AS

#else
static void split_row(uint16_t *tile, uint32_t t, uint32_t T, const float *x, uint32_t cols, uint32_t parts) {
    (void)tile, (void)t, (void)T, (void)x, (void)cols, (void)parts;
}
#endif

#endif
