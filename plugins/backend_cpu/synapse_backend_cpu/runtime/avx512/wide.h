/* Sixteen rows side by side: what the AVX-512 kernels see of a matrix that lies row after row.
 *
 * A vector's lane is a row. Four columns of bytes, or one of floats, are a lane's 32 bits, so a piece
 * of 16 bytes of each of 16 rows becomes four vectors. Packed rows hold those vectors one behind the
 * other.
 */
#ifndef SYN_WIDE_H
#define SYN_WIDE_H

#include "../syn_kernel.h"

#include <immintrin.h>

#define SYN_INLINE static inline __attribute__((always_inline))

enum { LANES = 16, PANEL_ROWS = 2 * LANES, AHEAD_BYTES = 8192 };

/* Where 16 rows of a matrix lie: row after row, or packed (pack.c). Rows behind the last one are the
 * last one again. */
typedef struct {
    const uint8_t *row[LANES];
    __m512i offset;            /* of each row from the first, in bytes */
    const uint8_t *packed;     /* where the 16 rows are packed, else NULL */
    const uint8_t *ahead;      /* what is asked for when their first bytes are read */
} syn_rows16;

SYN_INLINE syn_rows16 rows_at(const uint8_t *data, size_t row_bytes, uint32_t first, uint32_t rows) {
    syn_rows16 r = {.packed = NULL};
    int32_t offset[LANES];
    const uint8_t *base = data + (size_t)(first < rows ? first : rows - 1) * row_bytes;
    for (uint32_t i = 0; i < LANES; i++) {
        uint32_t row = first + i < rows ? first + i : rows - 1;
        r.row[i] = data + (size_t)row * row_bytes;
        offset[i] = (int32_t)(r.row[i] - base);
    }
    r.offset = _mm512_loadu_si512(offset);
    return r;
}

/* Rows [first, first + 16) of a weight, packed where it is. */
SYN_INLINE syn_rows16 weight_rows(const syn_operand *w, uint32_t first) {
    if (!w->packed) return rows_at(w->data, w->row_bytes, first, w->rows);
    syn_rows16 r;
    uint32_t last = (w->rows - 1) / LANES * LANES;
    r.packed = w->packed + (size_t)(first < last ? first : last) * w->row_bytes;
    r.ahead = r.packed + AHEAD_BYTES;
    return r;
}

SYN_INLINE __m512i take_four_rows(const syn_rows16 *r, uint32_t first, size_t at) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const void *)(r->row[first] + at)));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(r->row[first + 4] + at)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(r->row[first + 8] + at)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const void *)(r->row[first + 12] + at)), 3);
}

/* 64 bytes of packed rows. They are read about one behind the other: each asks for those that will be
 * read when memory has answered, to come as far as the second cache. */
SYN_INLINE __m512i take_packed(const syn_rows16 *r, size_t at) {
    _mm_prefetch((const char *)(r->ahead + at), _MM_HINT_T1);
    return _mm512_loadu_si512(r->packed + at);
}

/* 16 bytes of rows 0, 4, 8, 12, of rows 1, 5, 9, 13, and so on → four vectors of 32 bits, lane = row. */
SYN_INLINE void turn_rows(__m512i to[4], __m512i a, __m512i b, __m512i c, __m512i d) {
    __m512i ab_low = _mm512_unpacklo_epi32(a, b), ab_high = _mm512_unpackhi_epi32(a, b);
    __m512i cd_low = _mm512_unpacklo_epi32(c, d), cd_high = _mm512_unpackhi_epi32(c, d);
    to[0] = _mm512_unpacklo_epi64(ab_low, cd_low);
    to[1] = _mm512_unpackhi_epi64(ab_low, cd_low);
    to[2] = _mm512_unpacklo_epi64(ab_high, cd_high);
    to[3] = _mm512_unpackhi_epi64(ab_high, cd_high);
}

/* The 16 bytes at `at` of each row → four vectors of 32 bits, lane = row. */
SYN_INLINE void take_piece(__m512i to[4], const syn_rows16 *r, size_t at, int packed) {
    if (packed) {
        for (uint32_t i = 0; i < 4; i++) to[i] = take_packed(r, at * LANES + i * 64);
        return;
    }
    turn_rows(to, take_four_rows(r, 0, at), take_four_rows(r, 1, at), take_four_rows(r, 2, at),
              take_four_rows(r, 3, at));
}

/* Bytes of each row from `at` on, read by words. */
typedef struct {
    const syn_rows16 *rows;
    size_t at;
    int packed;
    __m512i piece[4];
} syn_words;

/* Words are asked for in rising order. Packed ones are read one by one, when they are needed: many reads
 * at once would wait for each other, and memory then for the products. */
SYN_INLINE __m512i word_of(syn_words *w, uint32_t i) {
    if (w->packed) return take_packed(w->rows, (w->at + 4 * (size_t)i) * LANES);
    if (i % 4 == 0) take_piece(w->piece, w->rows, w->at + 4 * (size_t)i, 0);
    return w->piece[i % 4];
}

/* The 32 bits at `at` of each row. */
SYN_INLINE __m512i take_word(const syn_rows16 *r, size_t at, int packed) {
    if (packed) return take_packed(r, at * LANES);
    return _mm512_i32gather_epi32(r->offset, (const void *)(r->row[0] + at), 1);
}

/* float16 in the low half of each lane. */
SYN_INLINE __m512 low_half(__m512i v) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v)); }

SYN_INLINE __m512 high_half(__m512i v) { return low_half(_mm512_srli_epi32(v, 16)); }

/* A lane's 32 bits → its number, or its two. */
SYN_INLINE void take_numbers(__m512 to[2], __m512i bits, uint32_t dtype) {
    to[0] = to[1] = _mm512_castsi512_ps(bits);
    if (dtype == SYN_F16) to[0] = low_half(bits), to[1] = high_half(bits);
    if (dtype == SYN_BF16) {
        to[0] = _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
        to[1] = _mm512_castsi512_ps(_mm512_and_si512(bits, _mm512_set1_epi32((int32_t)0xffff0000)));
    }
}

/* The float16 at `at` of each row; of rows that are not packed it reads two bytes more, behind or
 * before it. */
SYN_INLINE __m512 take_half(const syn_rows16 *r, size_t at, int packed, int is_last) {
    if (packed) return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(r->packed + at * LANES)));
    return is_last ? high_half(take_word(r, at - 2, 0)) : low_half(take_word(r, at, 0));
}

/* The lanes of `count` numbers that go on at `first`. */
SYN_INLINE __mmask16 lanes_of(uint32_t first, uint32_t count) {
    uint32_t left = count > first ? count - first : 0;
    return left >= LANES ? 0xffff : (__mmask16)((1u << left) - 1);
}

#endif
