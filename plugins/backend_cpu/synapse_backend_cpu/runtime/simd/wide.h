/* Sixteen rows side by side: what these kernels see of a matrix that lies row after row.
 *
 * A vector's lane is a row. Four columns of bytes, or one of floats, are a lane's 32 bits, so a piece of 16 bytes
 * of each row becomes four vectors. Packed rows hold a word of each of 16 rows, one word behind the other.
 */
#ifndef SYN_WIDE_H
#define SYN_WIDE_H

#include "../syn_kernel.h"
#include "../syn_simd.h"

enum { GROUP_ROWS = 16, VECTORS = GROUP_ROWS / SYN_LANES, PANEL_ROWS = 2 * GROUP_ROWS, PANEL_VECTORS = 2 * VECTORS,
       AHEAD_BYTES = 3072 };

/* Columns of floats whose products are summed before they are added to those of others. */
enum { PART_COLUMNS = 128 };

/* `call` of a number from 1 to some most, known to the compiler in each case. */
#define SYN_CASE(n, call) case n: call(n); break;
#define SYN_CASES_3(call) SYN_CASE(1, call) SYN_CASE(2, call) SYN_CASE(3, call)
#define SYN_CASES_5(call) SYN_CASES_3(call) SYN_CASE(4, call) SYN_CASE(5, call)
#define SYN_CASES_9(call) SYN_CASES_5(call) SYN_CASE(6, call) SYN_CASE(7, call) SYN_CASE(8, call) SYN_CASE(9, call)
#define SYN_UP_TO_4(n, call) switch (n) { SYN_CASES_3(call) default: call(4); }
#define SYN_UP_TO_6(n, call) switch (n) { SYN_CASES_5(call) default: call(6); }
#define SYN_UP_TO_8(n, call) switch (n) { SYN_CASES_5(call) SYN_CASE(6, call) SYN_CASE(7, call) default: call(8); }
#define SYN_UP_TO_12(n, call) \
    switch (n) { SYN_CASES_9(call) SYN_CASE(10, call) SYN_CASE(11, call) default: call(12); }

/* Where 16 rows of a matrix lie: row after row, or packed (pack.c). Rows behind the last one are the
 * last one again. */
typedef struct {
    const uint8_t *row[GROUP_ROWS];
    int32_t offset[GROUP_ROWS]; /* of each row from the first, in bytes */
    const uint8_t *packed;      /* where the 16 rows are packed, else NULL */
    const uint8_t *ahead;       /* what is asked for when their first bytes are read */
} syn_rows16;

SYN_INLINE syn_rows16 rows_at(const uint8_t *data, size_t row_bytes, uint32_t first, uint32_t rows) {
    syn_rows16 r = {.packed = NULL};
    const uint8_t *base = data + (size_t)(first < rows ? first : rows - 1) * row_bytes;
    for (uint32_t i = 0; i < GROUP_ROWS; i++) {
        uint32_t row = first + i < rows ? first + i : rows - 1;
        r.row[i] = data + (size_t)row * row_bytes;
        r.offset[i] = (int32_t)(r.row[i] - base);
    }
    return r;
}

/* Rows [first, first + 16) of a weight, packed where it is. */
SYN_INLINE syn_rows16 weight_rows(const syn_operand *w, uint32_t first) {
    if (!w->packed) return rows_at(w->data, w->row_bytes, first, w->rows);
    syn_rows16 r;
    uint32_t last = (w->rows - 1) / GROUP_ROWS * GROUP_ROWS;
    r.packed = w->packed + (size_t)(first < last ? first : last) * w->row_bytes;
    r.ahead = r.packed + AHEAD_BYTES;
    return r;
}

/* 16 bytes at `at` of row `first` of each four rows of vector v. */
SYN_INLINE syn_vi take_quarters(const syn_rows16 *r, uint32_t v, uint32_t first, size_t at) {
    syn_vi to;
    for (uint32_t i = 0; i < SYN_LANES / 4; i++)
        __builtin_memcpy((uint8_t *)&to + 16 * i, r->row[v * SYN_LANES + 4 * i + first] + at, 16);
    return to;
}

/* Ask for what is read when memory has answered, to come as far as the second cache. */
SYN_INLINE void ask_ahead_of(const syn_rows16 *r, size_t at) {
    __builtin_prefetch(r->ahead + at * GROUP_ROWS, 0, 2);
    __asm__ volatile("" : : : "memory");  /* a compiler would gather them: memory answers a few at a time */
}

/* A word of each row of vector v of packed rows. They are read about one behind the other. */
SYN_INLINE syn_vi take_packed(const syn_rows16 *r, uint32_t v, size_t at) {
    if (v == 0) ask_ahead_of(r, at);
    return syn_vi_load(r->packed + at * GROUP_ROWS + v * sizeof(syn_vi));
}

/* Of each four lanes the words i and j of a and b, in turn. */
#if SYN_LANES == 16
#define SYN_ZIP(a, b, i, j, k, l) \
    __builtin_shufflevector(a, b, i, j, k, l, i + 4, j + 4, k + 4, l + 4, i + 8, j + 8, k + 8, l + 8, i + 12, j + 12, \
                            k + 12, l + 12)
#elif SYN_LANES == 8
#define SYN_ZIP(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l, i + 4, j + 4, k + 4, l + 4)
#else
#define SYN_ZIP(a, b, i, j, k, l) __builtin_shufflevector(a, b, i, j, k, l)
#endif

/* 16 bytes of rows 0, 4, 8, 12, of rows 1, 5, 9, 13, and so on → four vectors of 32 bits, lane = row. */
SYN_INLINE void turn_rows(syn_vi to[4], syn_vi a, syn_vi b, syn_vi c, syn_vi d) {
    enum { B = SYN_LANES };
    syn_vi ab_low = SYN_ZIP(a, b, 0, B, 1, B + 1), ab_high = SYN_ZIP(a, b, 2, B + 2, 3, B + 3);
    syn_vi cd_low = SYN_ZIP(c, d, 0, B, 1, B + 1), cd_high = SYN_ZIP(c, d, 2, B + 2, 3, B + 3);
    to[0] = SYN_ZIP(ab_low, cd_low, 0, 1, B, B + 1);
    to[1] = SYN_ZIP(ab_low, cd_low, 2, 3, B + 2, B + 3);
    to[2] = SYN_ZIP(ab_high, cd_high, 0, 1, B, B + 1);
    to[3] = SYN_ZIP(ab_high, cd_high, 2, 3, B + 2, B + 3);
}

/* The 16 bytes at `at` of each row of vector v → four vectors of 32 bits, lane = row. */
SYN_INLINE void take_piece(syn_vi to[4], const syn_rows16 *r, uint32_t v, size_t at, int packed) {
    if (packed) {
        for (uint32_t i = 0; i < 4; i++) to[i] = take_packed(r, v, at + 4 * i);
        return;
    }
    turn_rows(to, take_quarters(r, v, 0, at), take_quarters(r, v, 1, at), take_quarters(r, v, 2, at),
              take_quarters(r, v, 3, at));
}

/* Bytes of each row of vector v from `at` on, read by words. */
typedef struct {
    const syn_rows16 *rows;
    size_t at;
    uint32_t v;
    int packed;
    syn_vi piece[4];
} syn_words;

/* Words are asked for in rising order. Packed ones are read one by one, when they are needed: many reads
 * at once would wait for each other, and memory then for the products. */
SYN_INLINE syn_vi word_of(syn_words *w, uint32_t i) {
    if (w->packed) return take_packed(w->rows, w->v, w->at + 4 * (size_t)i);
    if (i % 4 == 0) take_piece(w->piece, w->rows, w->v, w->at + 4 * (size_t)i, 0);
    return w->piece[i % 4];
}

/* The 32 bits at `at` of each row of vector v. */
SYN_INLINE syn_vi take_word(const syn_rows16 *r, uint32_t v, size_t at, int packed) {
    if (packed) return take_packed(r, v, at);
#ifdef SYN_AVX512
    return (syn_vi)_mm512_i32gather_epi32(_mm512_loadu_si512(r->offset), (const void *)(r->row[0] + at), 1);
#else
    int32_t word[SYN_LANES];
    for (uint32_t i = 0; i < SYN_LANES; i++) __builtin_memcpy(word + i, r->row[v * SYN_LANES + i] + at, 4);
    return syn_vi_load(word);
#endif
}

/* A lane's 32 bits → its number, or its two. */
SYN_INLINE void take_numbers(syn_vf to[2], syn_vi bits, uint32_t dtype) {
    to[0] = to[1] = (syn_vf)bits;
    if (dtype == SYN_F16) to[0] = syn_v_low_f16(bits), to[1] = syn_v_high_f16(bits);
    if (dtype == SYN_BF16) to[0] = syn_v_low_bf16(bits), to[1] = syn_v_high_bf16(bits);
}

/* The float16 at `at` of each row; of rows that are not packed it reads two bytes more, behind or
 * before it. */
SYN_INLINE syn_vf take_half(const syn_rows16 *r, uint32_t v, size_t at, int packed, int is_last) {
    if (packed) return syn_v_from_f16(r->packed + at * GROUP_ROWS + v * sizeof(syn_vh));
    return is_last ? syn_v_high_f16(take_word(r, v, at - 2, 0)) : syn_v_low_f16(take_word(r, v, at, 0));
}

/* The two float16 at `at` of packed rows. */
SYN_INLINE void take_pair(syn_vf to[2], const syn_rows16 *r, uint32_t v, size_t at) {
    if (v == 0) ask_ahead_of(r, at);
    to[0] = take_half(r, v, at, 1, 0);
    to[1] = take_half(r, v, at + 2, 1, 0);
}

#endif
