/* A thin layer over vectors, for kernels that are one source for every processor.
 *
 * A vector has SYN_LANES lanes of 32 bits: 16 with AVX-512 (F, BW, DQ, VL, VNNI), 8 with AVX2 (with FMA and
 * F16C), 4 with NEON, wasm's simd128, and anywhere else, where the compiler makes of them what it can. The
 * types are the compiler's own vectors, so + - * / & | ^ ~ and comparisons (all ones where true) are written
 * as for numbers; what follows is what has no operator. A kernel that steps by SYN_LANES and ends with
 * syn_v_load_part and syn_v_store_part needs no case for any of them; docs/write-a-plugin.md has one.
 *
 *   types       syn_vf float32, syn_vi int32, syn_vu uint32
 *   memory      syn_v_load, syn_v_store, syn_v_load_part, syn_v_store_part, syn_vi_load, syn_vi_store, syn_v_stream,
 *               syn_v_fence
 *   make        syn_v_set, syn_vi_set, syn_v_index
 *   float32     syn_v_fma, syn_v_max, syn_v_min, syn_v_abs, syn_v_select, syn_v_copysign
 *   functions   syn_v_exp, syn_v_sigmoid, syn_v_tanh, syn_v_erf
 *   lanes       syn_v_sum, syn_v_top
 *   convert     syn_v_of, syn_v_round, syn_v_of_halves, syn_v_from_f16, syn_v_from_bf16, syn_v_low_f16, syn_v_high_f16,
 *               syn_v_low_bf16, syn_v_high_bf16
 *   products    syn_dot4, of signed bytes
 *
 * Bits: where SYN_HAS_FMA is 1 syn_v_fma rounds once, else twice; all else is the same on every processor,
 * but for a sum's order where a kernel leaves it to SYN_LANES.
 */
#ifndef SYN_SIMD_H
#define SYN_SIMD_H

#include "syn_math.h"

#include <stddef.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)
#include <immintrin.h>
#define SYN_AVX512 1
#define SYN_LANES 16
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#include <immintrin.h>
#define SYN_AVX2 1
#define SYN_LANES 8
#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define SYN_NEON 1
#define SYN_LANES 4
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define SYN_WASM 1
#define SYN_LANES 4
#else
#define SYN_LANES 4
#endif

#if defined(SYN_AVX512) || defined(SYN_AVX2) || defined(SYN_NEON)
#define SYN_HAS_FMA 1
#else
#define SYN_HAS_FMA 0
#endif

#define SYN_INLINE static inline __attribute__((always_inline))

typedef float syn_vf __attribute__((vector_size(4 * SYN_LANES)));
typedef int32_t syn_vi __attribute__((vector_size(4 * SYN_LANES)));
typedef uint32_t syn_vu __attribute__((vector_size(4 * SYN_LANES)));
typedef int8_t syn_vb __attribute__((vector_size(SYN_LANES)));       /* a byte for each lane */
typedef uint16_t syn_vh __attribute__((vector_size(2 * SYN_LANES)));  /* 16 bits for each lane */

/* The lanes of v whose numbers differ by n, a power of two, exchanged. */
#if SYN_LANES == 16
#define SYN_SWAP(v, n) \
    __builtin_shufflevector(v, v, 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n, 4 ^ n, 5 ^ n, 6 ^ n, 7 ^ n, 8 ^ n, 9 ^ n, 10 ^ n, \
                            11 ^ n, 12 ^ n, 13 ^ n, 14 ^ n, 15 ^ n)
#elif SYN_LANES == 8
#define SYN_SWAP(v, n) __builtin_shufflevector(v, v, 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n, 4 ^ n, 5 ^ n, 6 ^ n, 7 ^ n)
#else
#define SYN_SWAP(v, n) __builtin_shufflevector(v, v, 0 ^ n, 1 ^ n, 2 ^ n, 3 ^ n)
#endif

/* Fold v until each of the first four lanes holds all that are a multiple of four away. */
#define SYN_ADD(a, b) ((a) + (b))
#if SYN_LANES == 16
#define SYN_FOLD(v, op) v = op(v, SYN_SWAP(v, 8)), v = op(v, SYN_SWAP(v, 4))
#elif SYN_LANES == 8
#define SYN_FOLD(v, op) v = op(v, SYN_SWAP(v, 4))
#else
#define SYN_FOLD(v, op) (void)v
#endif

/* ---- make ---- */

SYN_INLINE syn_vf syn_v_set(float x) { return x - (syn_vf){0}; }

SYN_INLINE syn_vi syn_vi_set(int32_t x) { return x - (syn_vi){0}; }

/* first, first + 1, and so on */
SYN_INLINE syn_vi syn_v_index(int32_t first) {
    syn_vi v;
    for (int32_t i = 0; i < SYN_LANES; i++) v[i] = i;
    return v + first;
}

/* ---- memory; any alignment but for syn_v_stream ---- */

SYN_INLINE syn_vf syn_v_load(const void *from) {
    syn_vf v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

SYN_INLINE void syn_v_store(void *to, syn_vf v) { __builtin_memcpy(to, &v, sizeof v); }

SYN_INLINE syn_vi syn_vi_load(const void *from) { return (syn_vi)syn_v_load(from); }

SYN_INLINE void syn_vi_store(void *to, syn_vi v) { syn_v_store(to, (syn_vf)v); }

/* The first `count` lanes, the others zero; what is behind them is not read. */
SYN_INLINE syn_vf syn_v_load_part(const void *from, uint32_t count) {
    if (count >= SYN_LANES) return syn_v_load(from);
#if defined(SYN_AVX512)
    return _mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from);
#elif defined(SYN_AVX2)
    return _mm256_maskload_ps(from, (__m256i)(syn_v_index(0) < (int32_t)count));
#else
    float lane[SYN_LANES] = {0};
    __builtin_memcpy(lane, from, (size_t)count * 4);
    return syn_v_load(lane);
#endif
}

/* The first `count` lanes; what is behind them is left alone. */
SYN_INLINE void syn_v_store_part(void *to, syn_vf v, uint32_t count) {
    if (count >= SYN_LANES) {
        syn_v_store(to, v);
        return;
    }
#if defined(SYN_AVX512)
    _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), v);
#elif defined(SYN_AVX2)
    _mm256_maskstore_ps(to, (__m256i)(syn_v_index(0) < (int32_t)count), v);
#else
    __builtin_memcpy(to, &v, (size_t)count * 4);
#endif
}

/* Past the caches, to a multiple of the vector's bytes; syn_v_fence before another thread reads it. */
SYN_INLINE void syn_v_stream(float *to, syn_vf v) { __builtin_nontemporal_store(v, (syn_vf *)(void *)to); }

SYN_INLINE void syn_v_fence(void) {
#if defined(SYN_AVX512) || defined(SYN_AVX2)
    _mm_sfence();
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* ---- float32 ---- */

/* Lane by lane: a where mask is all ones, b where it is zero. */
SYN_INLINE syn_vf syn_v_select(syn_vi mask, syn_vf a, syn_vf b) {
    return (syn_vf)((mask & (syn_vi)a) | (~mask & (syn_vi)b));
}

/* a · b + c */
SYN_INLINE syn_vf syn_v_fma(syn_vf a, syn_vf b, syn_vf c) {
#if defined(SYN_AVX512)
    return _mm512_fmadd_ps(a, b, c);
#elif defined(SYN_AVX2)
    return _mm256_fmadd_ps(a, b, c);
#elif defined(SYN_NEON)
    return (syn_vf)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
    return a * b + c;
#endif
}

/* The larger, or b when either is no number. */
SYN_INLINE syn_vf syn_v_max(syn_vf a, syn_vf b) {
#if defined(SYN_AVX512)
    return _mm512_max_ps(a, b);
#elif defined(SYN_AVX2)
    return _mm256_max_ps(a, b);
#elif defined(SYN_WASM)
    return (syn_vf)wasm_f32x4_pmax((v128_t)b, (v128_t)a);
#else
    return syn_v_select(a > b, a, b);
#endif
}

/* The smaller, or b when either is no number. */
SYN_INLINE syn_vf syn_v_min(syn_vf a, syn_vf b) {
#if defined(SYN_AVX512)
    return _mm512_min_ps(a, b);
#elif defined(SYN_AVX2)
    return _mm256_min_ps(a, b);
#elif defined(SYN_WASM)
    return (syn_vf)wasm_f32x4_pmin((v128_t)b, (v128_t)a);
#else
    return syn_v_select(a < b, a, b);
#endif
}

SYN_INLINE syn_vf syn_v_abs(syn_vf x) { return (syn_vf)((syn_vi)x & 0x7fffffff); }

/* e^x = e^r · 2^n, |r| ≤ ln(2)/2, of |x| up to 104: return e^r. */
SYN_INLINE syn_vf syn_v_exp_part(syn_vf x, syn_vi *n) {
    syn_vf shifted = x * 1.44269504f + SYN_ROUNDER, whole = shifted - SYN_ROUNDER;
    *n = (syn_vi)shifted - 0x4b400000;
    syn_vf r = syn_v_fma(whole, syn_v_set(-0.693359375f), x);
    r = syn_v_fma(whole, syn_v_set(2.12194440e-4f), r);
    syn_vf p = syn_v_set(1.9875691500e-4f);
    p = syn_v_fma(p, r, syn_v_set(1.3981999507e-3f));
    p = syn_v_fma(p, r, syn_v_set(8.3334519073e-3f));
    p = syn_v_fma(p, r, syn_v_set(4.1665795894e-2f));
    p = syn_v_fma(p, r, syn_v_set(1.6666665459e-1f));
    p = syn_v_fma(p, r, syn_v_set(5.0000001201e-1f));
    return syn_v_fma(p, r * r, r) + 1.0f;
}

/* e^x as syn_exp has it, but for syn_v_fma. */
SYN_INLINE syn_vf syn_v_exp(syn_vf x) {
    syn_vi n;
    syn_vf p = syn_v_exp_part(syn_v_max(syn_v_min(x, syn_v_set(89.0f)), syn_v_set(-104.0f)), &n);
    syn_vi half = n >> 1;  /* two factors: 2^n itself may be no normal number */
    p = p * (syn_vf)((half + 127) << 23) * (syn_vf)((n - half + 127) << 23);
    return syn_v_select(x == x, p, x);
}

SYN_INLINE syn_vf syn_v_sigmoid(syn_vf x) { return 1.0f / (1.0f + syn_v_exp(-x)); }

/* Lane by lane: the size of a with the sign of b. */
SYN_INLINE syn_vf syn_v_copysign(syn_vf a, syn_vf b) {
    return (syn_vf)(((syn_vi)a & 0x7fffffff) | ((syn_vi)b & ~0x7fffffff));
}

/* As syn_tanh has it, but for syn_v_fma. */
SYN_INLINE syn_vf syn_v_tanh(syn_vf x) {
    syn_vf a = syn_v_abs(x), s = x * x;
    syn_vf p = syn_v_set(-5.70498872745e-3f);
    p = syn_v_fma(p, s, syn_v_set(2.06390887954e-2f));
    p = syn_v_fma(p, s, syn_v_set(-5.37397155531e-2f));
    p = syn_v_fma(p, s, syn_v_set(1.33314422036e-1f));
    p = syn_v_fma(p, s, syn_v_set(-3.33332819422e-1f));
    syn_vf near = syn_v_fma(p * s, x, x);
    syn_vf far = syn_v_copysign(1.0f - 2.0f / (syn_v_exp(2.0f * a) + 1.0f), x);
    return syn_v_select(a < 0.625f, near, far);
}

/* As syn_erf has it, but for syn_v_fma. */
SYN_INLINE syn_vf syn_v_erf(syn_vf x) {
    syn_vf a = syn_v_abs(x), s = x * x;
    syn_vf q = syn_v_set(-5.96761703e-4f);
    q = syn_v_fma(q, s, syn_v_set(4.99119423e-3f));
    q = syn_v_fma(q, s, syn_v_set(-2.67681349e-2f));
    q = syn_v_fma(q, s, syn_v_set(1.12819925e-1f));
    q = syn_v_fma(q, s, syn_v_set(-3.76125336e-1f));
    q = syn_v_fma(q, s, syn_v_set(1.28379166e-1f));
    syn_vf near = syn_v_fma(q, x, x), c = syn_v_min(a, syn_v_set(4.0f));  /* erf(4) is 1 */
    syn_vf r = syn_v_fma(syn_v_set(-1.72853470e-5f), c, syn_v_set(3.83197126e-4f));
    syn_vf u = syn_v_fma(syn_v_set(-3.88396438e-3f), c, syn_v_set(2.42546219e-2f));
    r = syn_v_fma(r, c * c, u);
    r = syn_v_fma(r, c, syn_v_set(-1.06777877e-1f));
    r = syn_v_fma(r, c, syn_v_set(-6.34846687e-1f));
    r = syn_v_fma(r, c, syn_v_set(-1.28717512e-1f));
    syn_vi n;
    syn_vf e = syn_v_exp_part(syn_v_fma(r, c, -c), &n) * (syn_vf)((n + 127) << 23);
    return syn_v_select(a > 0.927734375f, syn_v_copysign(1.0f - e, x), near);
}

/* ---- lanes ---- */

/* The sum of all lanes: those half the lanes apart first. */
SYN_INLINE float syn_v_sum(syn_vf v) {
    SYN_FOLD(v, SYN_ADD);
    v += SYN_SWAP(v, 2);
    v += SYN_SWAP(v, 1);
    return v[0];
}

/* The largest of all lanes. */
SYN_INLINE float syn_v_top(syn_vf v) {
    SYN_FOLD(v, syn_v_max);
    v = syn_v_max(v, SYN_SWAP(v, 2));
    v = syn_v_max(v, SYN_SWAP(v, 1));
    return v[0];
}

/* ---- convert ---- */

SYN_INLINE syn_vf syn_v_of(syn_vi x) { return __builtin_convertvector(x, syn_vf); }

/* The nearest integer, ties to even, of numbers below 2^22 in size. */
SYN_INLINE syn_vi syn_v_round(syn_vf x) { return (syn_vi)(x + SYN_ROUNDER) - (int32_t)0x4b400000; }

/* bfloat16 in the low and in the high half of each lane. */
SYN_INLINE syn_vf syn_v_low_bf16(syn_vi v) { return (syn_vf)(v << 16); }

SYN_INLINE syn_vf syn_v_high_bf16(syn_vi v) { return (syn_vf)(v & (int32_t)0xffff0000); }

/* float16 of each lane. */
SYN_INLINE syn_vf syn_v_of_halves(syn_vh half) {
#if defined(SYN_AVX512)
    return _mm512_cvtph_ps((__m256i)half);
#elif defined(SYN_AVX2)
    return _mm256_cvtph_ps((__m128i)half);
#elif defined(SYN_NEON)
    return (syn_vf)vcvt_f32_f16(vreinterpret_f16_u16((uint16x4_t)half));
#else
    syn_vi bits = (syn_vi)__builtin_convertvector(half, syn_vu), size = (bits & 0x7fff) << 13;
    syn_vi normal = size + (112 << 23) + ((size >= (31 << 23)) & (112 << 23));
    syn_vf tiny = (syn_vf)(size + (113 << 23)) - syn_float(113u << 23);  /* subnormal: exact */
    syn_vi small = size < (1 << 23);
    return (syn_vf)(((bits & 0x8000) << 16) | (small & (syn_vi)tiny) | (~small & normal));
#endif
}

/* SYN_LANES numbers that lie one behind the other. */
SYN_INLINE syn_vf syn_v_from_f16(const void *from) {
    syn_vh half;
    __builtin_memcpy(&half, from, sizeof half);
    return syn_v_of_halves(half);
}

SYN_INLINE syn_vf syn_v_from_bf16(const void *from) {
    syn_vh half;
    __builtin_memcpy(&half, from, sizeof half);
    return (syn_vf)(__builtin_convertvector(half, syn_vu) << 16);
}

/* float16 in the low and in the high half of each lane. */
SYN_INLINE syn_vf syn_v_low_f16(syn_vi v) {
#if defined(SYN_AVX2)
    __m256i low = _mm256_and_si256((__m256i)v, _mm256_set1_epi32(0xffff));
    low = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 8);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(low));
#else
    return syn_v_of_halves(__builtin_convertvector((syn_vu)v, syn_vh));
#endif
}

SYN_INLINE syn_vf syn_v_high_f16(syn_vi v) { return syn_v_low_f16((syn_vi)((syn_vu)v >> 16)); }

/* ---- products of bytes: the exact sum of four for each lane, added to `sum` ---- */

/* Signed bytes a and b; b is never -128. */
SYN_INLINE syn_vi syn_dot4(syn_vi sum, syn_vi a, syn_vi b) {
#if defined(SYN_AVX512)
    __mmask64 negative = _mm512_movepi8_mask((__m512i)a);
    __m512i turned = _mm512_mask_sub_epi8((__m512i)b, negative, _mm512_setzero_si512(), (__m512i)b);
    return (syn_vi)_mm512_dpbusd_epi32((__m512i)sum, _mm512_abs_epi8((__m512i)a), turned);
#elif defined(SYN_AVX2)
    /* |a| is at most 128, so a pair's sum is at most 32512 */
    __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8((__m256i)a), _mm256_sign_epi8((__m256i)b, (__m256i)a));
    return sum + (syn_vi)_mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#elif defined(SYN_NEON) && defined(__ARM_FEATURE_DOTPROD)
    return (syn_vi)vdotq_s32((int32x4_t)sum, (int8x16_t)a, (int8x16_t)b);
#elif defined(SYN_NEON)
    int16x8_t low = vmull_s8(vget_low_s8((int8x16_t)a), vget_low_s8((int8x16_t)b));
    int16x8_t high = vmull_high_s8((int8x16_t)a, (int8x16_t)b);
    return sum + (syn_vi)vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high));
#elif defined(SYN_WASM)
    v128_t low = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_low_i8x16((v128_t)a), wasm_i16x8_extend_low_i8x16((v128_t)b));
    v128_t high = wasm_i32x4_dot_i16x8(wasm_i16x8_extend_high_i8x16((v128_t)a), wasm_i16x8_extend_high_i8x16((v128_t)b));
    syn_vi l = (syn_vi)low, h = (syn_vi)high;
    return sum + __builtin_shufflevector(l, h, 0, 2, 4, 6) + __builtin_shufflevector(l, h, 1, 3, 5, 7);
#else
    for (uint32_t up = 0; up < 32; up += 8)
        sum += ((syn_vi)((syn_vu)a << up) >> 24) * ((syn_vi)((syn_vu)b << up) >> 24);
    return sum;
#endif
}

#endif
