/* Exact integer products of codes without a sign with signed activations, as a processor has them.
 *
 * A sum goes over a run: words of four columns by SYN_LANES rows, times the same four codes of x. What the codes
 * were raised by comes off through the sums of x's codes, which the quantiser keeps in the form wanted here.
 *
 * One instruction: VPDPBUSD, SDOT and their like add four products to 32 bits. Codes of NEON and of plain vectors
 * have a sign, and nothing comes off.
 *
 * Pairs: AVX2 adds two products to 16 bits, with saturation, which 2 · 31 · 127 is far from and 2 · 255 · 127 is
 * not. A run's sum of pairs is kept in 16 bits: each lane adds up to 16 products, and |code - centre| · 127 · 16
 * (of runs of 16: · 8) is below 2^15 where the centre is taken off from the start; what wraps on the way comes
 * back. Codes of 8 bits are two of 4: 16 · (high - 8) + low.
 *
 * Seven bits: wasm's relaxed dot product is one on every engine where the bytes of one side are 0 to 127: codes of 4 to 6
 * bits without a sign. Codes of 8 bits are multiplied with what is above zero of x, and with what is below.
 *
 * Squares: SMMLA adds products of two rows of weights with two rows of x, of eight columns each (tile_mmla.h).
 */
#ifndef SYN_PRODUCT_H
#define SYN_PRODUCT_H

#include "../syn_kernel.h"
#include "../syn_simd.h"

/* What a table has: tiles, which want codes signed; products of two rows by two. */
#ifdef __AMX_INT8__
#define HAS_MATRIX 1
#else
#define HAS_MATRIX 0
#endif
#if defined(SYN_NEON) && defined(__ARM_FEATURE_MATMUL_INT8)
#define HAS_SQUARES 1
#else
#define HAS_SQUARES 0
#endif

/* How a panel holds codes: with their sign; raised by their format's bias; or with their sign and words 2i and 2i + 1
 * of four rows exchanged for both words of the first two rows and of the last two. */
enum { AS_SIGNED, AS_RAISED, AS_SQUARES };

#if defined(SYN_WASM) && defined(SYN_RELAXED_DOT)
#define HAS_RELAXED_DOT 1
#else
#define HAS_RELAXED_DOT 0
#endif

/* What the codes of a format were raised by, where products want them without a sign. */
SYN_INLINE int32_t bias_of(uint32_t format) {
    switch (format) {
    case SYN_Q4_0: return 8;
    case SYN_Q5_0: return 16;
    case SYN_Q6_K: return 32;
    case SYN_Q8_0:
    case SYN_I8G16:
    case SYN_INT8: return HAS_RELAXED_DOT ? 0 : 128;
    default: return 0;
    }
}

#ifdef SYN_AVX2
#define HAS_PAIRS 1
#define CODES_RAISED 1
enum { SPLIT_SUMS = 0 };

/* Of the first two columns of each word, and of the last two, or, of 8 bits, of high and low halves. */
typedef struct { __m256i pairs, low; } syn_products;

/* How many bits the codes of a format have. Of 8 a panel holds the low halves of a block and then the high ones. */
SYN_INLINE uint32_t bits_of(uint32_t format) {
    switch (format) {
    case SYN_Q4_0:
    case SYN_Q4_1:
    case SYN_Q4_K: return 4;
    case SYN_Q5_0:
    case SYN_Q5_1:
    case SYN_Q5_K: return 5;
    case SYN_Q6_K: return 6;
    default: return 8;
    }
}

SYN_INLINE int32_t centre_of(uint32_t bits, int32_t bias) { return bits == 4 ? bias : bits == 8 ? 8 : 1 << (bits - 1); }

/* The sum of a run's codes: kept as two of 16 bits, of a word's first two columns and its last two. */
SYN_INLINE int32_t keep_sum(int32_t first, int32_t last) { return (int32_t)((uint32_t)last << 16 | (first & 0xffff)); }

SYN_INLINE int32_t whole_sum(int32_t kept) { return (int16_t)kept + (kept >> 16); }

SYN_INLINE int32_t add_sums(int32_t a, int32_t b) { return keep_sum((int16_t)a + (int16_t)b, (a >> 16) + (b >> 16)); }

SYN_INLINE syn_products products_begin(uint32_t bits, int32_t bias, int32_t kept) {
    __m256i off = _mm256_set1_epi32(kept), centre = _mm256_set1_epi16((int16_t)-centre_of(bits, bias));
    syn_products p = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    if (centre_of(bits, bias)) p.pairs = _mm256_mullo_epi16(off, centre);
    return p;
}

SYN_INLINE syn_vi low_nibbles(syn_vi code) { return code & 0x0f0f0f0f; }

SYN_INLINE syn_vi high_nibbles(syn_vi code) { return low_nibbles(code >> 4); }

/* Of codes of 8 bits in two. */
SYN_INLINE void products_add_split(syn_products *p, syn_vi low, syn_vi high, syn_vi x) {
    p->low = _mm256_add_epi16(p->low, _mm256_maddubs_epi16((__m256i)low, (__m256i)x));
    p->pairs = _mm256_add_epi16(p->pairs, _mm256_maddubs_epi16((__m256i)high, (__m256i)x));
}

SYN_INLINE void products_add(syn_products *p, uint32_t bits, syn_vi code, syn_vi x) {
    if (bits == 8) products_add_split(p, low_nibbles(code), high_nibbles(code), x);
    else p->pairs = _mm256_add_epi16(p->pairs, _mm256_maddubs_epi16((__m256i)code, (__m256i)x));
}

SYN_INLINE syn_vi products_end(const syn_products *p, uint32_t bits, int32_t bias, int32_t kept) {
    syn_vi sum = (syn_vi)_mm256_madd_epi16(p->pairs, _mm256_set1_epi16(bits == 8 ? 16 : 1));
    if (bits == 8) sum += (syn_vi)_mm256_madd_epi16(p->low, _mm256_set1_epi16(1));
    else if (centre_of(bits, bias) != bias) sum += (centre_of(bits, bias) - bias) * whole_sum(kept);
    return sum;
}

#elif HAS_RELAXED_DOT
#define HAS_PAIRS 0
#define CODES_RAISED 1
enum { SPLIT_SUMS = 0 };

/* Of codes with x; or, of codes of 8 bits, with what is above zero of x, and with what is below. */
typedef struct { syn_vi sum, below; } syn_products;

/* 7 for all that fit. */
SYN_INLINE uint32_t bits_of(uint32_t format) {
    return format == SYN_Q8_0 || format == SYN_I8G16 || format == SYN_INT8 ? 8 : 7;
}

SYN_INLINE int32_t keep_sum(int32_t first, int32_t last) { return first + last; }

SYN_INLINE int32_t whole_sum(int32_t kept) { return kept; }

SYN_INLINE int32_t add_sums(int32_t a, int32_t b) { return a + b; }

SYN_INLINE syn_products products_begin(uint32_t bits, int32_t bias, int32_t kept) {
    return (syn_products){syn_vi_set(bits == 8 ? 0 : -bias * kept), syn_vi_set(0)};
}

/* Signed bytes with bytes from 0 to 127; no pair of products leaves 16 bits: 2 · 128 · 127. */
SYN_INLINE syn_vi relaxed_dot(syn_vi sum, syn_vi a, syn_vi b) {
    return (syn_vi)wasm_i32x4_relaxed_dot_i8x16_i7x16_add((v128_t)a, (v128_t)b, (v128_t)sum);
}

SYN_INLINE void products_add(syn_products *p, uint32_t bits, syn_vi code, syn_vi x) {
    if (bits < 8) {
        p->sum = relaxed_dot(p->sum, x, code);
        return;
    }
    v128_t above = wasm_i8x16_max((v128_t)x, wasm_i8x16_splat(0));
    p->sum = relaxed_dot(p->sum, code, (syn_vi)above);
    p->below = relaxed_dot(p->below, code, (syn_vi)wasm_i8x16_sub(above, (v128_t)x));
}

SYN_INLINE syn_vi products_end(const syn_products *p, uint32_t bits, int32_t bias, int32_t kept) {
    (void)bias, (void)kept;
    return bits == 8 ? p->sum - p->below : p->sum;
}

#else
#define HAS_PAIRS 0

typedef struct { syn_vi sum; } syn_products;

enum { SPLIT_SUMS = 1 };  /* worth it where a sum's next product waits for the one before */
#ifdef SYN_AVX512
#define CODES_RAISED 1
#else
#define CODES_RAISED 0
#endif

/* All codes are multiplied alike. */
SYN_INLINE uint32_t bits_of(uint32_t format) {
    (void)format;
    return 8;
}

SYN_INLINE int32_t keep_sum(int32_t first, int32_t last) { return first + last; }

SYN_INLINE int32_t whole_sum(int32_t kept) { return kept; }

SYN_INLINE int32_t add_sums(int32_t a, int32_t b) { return a + b; }

SYN_INLINE syn_products products_begin(uint32_t bits, int32_t bias, int32_t kept) {
    (void)bits;
    return (syn_products){syn_vi_set(CODES_RAISED ? -bias * kept : 0)};
}

SYN_INLINE void products_add(syn_products *p, uint32_t bits, syn_vi code, syn_vi x) {
    (void)bits;
#ifdef SYN_AVX512
    p->sum = (syn_vi)_mm512_dpbusd_epi32((__m512i)p->sum, (__m512i)code, (__m512i)x);
#else
    p->sum = syn_dot4(p->sum, code, x);
#endif
}

SYN_INLINE syn_vi products_end(const syn_products *p, uint32_t bits, int32_t bias, int32_t kept) {
    (void)bits, (void)bias, (void)kept;
    return p->sum;
}
#endif

#endif
