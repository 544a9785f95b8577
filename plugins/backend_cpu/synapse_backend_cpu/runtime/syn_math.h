/* Float32 functions with the same bits on every machine: only + - * / sqrt and integers, no libm.
 *
 * Written without branches where the arguments allow, so that a compiler can vectorise a loop of
 * them. Needs -ffp-contract=off. Largest errors, in units in the last place (test_kernels_math.py):
 * exp 1.1, tanh 2, erf 2, sigmoid 3, sin and cos 3 (bounds that the tests hold; 2.91 in 60 million angles).
 */
#ifndef SYN_MATH_H
#define SYN_MATH_H

#include <stdint.h>

static inline uint32_t syn_bits(float x) {
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    return bits;
}

static inline float syn_float(uint32_t bits) {
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return x;
}

static inline float syn_abs(float x) { return syn_float(syn_bits(x) & 0x7fffffffu); }

static inline float syn_copysign(float x, float sign) {
    return syn_float((syn_bits(x) & 0x7fffffffu) | (syn_bits(sign) & 0x80000000u));
}

/* The larger, or b when a is NaN. */
static inline float syn_max(float a, float b) { return a > b ? a : b; }

static inline float syn_rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }

/* 1.5 · 2^23: added to a number below 2^22 it leaves the nearest integer, ties to even, in the low
 * bits: rounding without a conversion, which is undefined for what does not fit and traps in wasm. */
#define SYN_ROUNDER 12582912.0f

/* Nearest integer, ties to even, at most 127 in size; NaN becomes 0. */
static inline int32_t syn_round_int8(float x) {
    x = x == x ? x : 0.0f;
    x = x < 127.0f ? x : 127.0f;
    x = x > -127.0f ? x : -127.0f;
    return (int32_t)(syn_bits(x + SYN_ROUNDER) - syn_bits(SYN_ROUNDER));
}

/* e^x = 2^n · e^r, |r| ≤ ln(2)/2; coefficients of Cephes' expf. */
static inline float syn_exp(float x) {
    float y = x < 89.0f ? x : 89.0f;  /* e^89 is infinite, e^-104 is zero */
    y = y > -104.0f ? y : -104.0f;
    float shifted = y * 1.44269504f + SYN_ROUNDER;
    int32_t n = (int32_t)(syn_bits(shifted) - syn_bits(SYN_ROUNDER));
    float whole = shifted - SYN_ROUNDER;
    float r = (y - whole * 0.693359375f) + whole * 2.12194440e-4f;  /* ln(2) in two parts */
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = (p * (r * r) + r) + 1.0f;
    int32_t half = (n + 256) / 2 - 128;  /* two factors: 2^n itself may be no normal number */
    p = p * syn_float((uint32_t)(half + 127) << 23) * syn_float((uint32_t)(n - half + 127) << 23);
    return x == x ? p : x;
}

/* Cephes' tanhf: an odd polynomial near zero, 1 - 2 / (e^2x + 1) elsewhere. */
static inline float syn_tanh(float x) {
    float a = syn_abs(x);
    float s = x * x;
    float p = -5.70498872745e-3f;
    p = p * s + 2.06390887954e-2f;
    p = p * s - 5.37397155531e-2f;
    p = p * s + 1.33314422036e-1f;
    p = p * s - 3.33332819422e-1f;
    float near = p * s * x + x;
    float far = syn_copysign(1.0f - 2.0f / (syn_exp(2.0f * a) + 1.0f), x);
    return a < 0.625f ? near : far;
}

static inline float syn_sigmoid(float x) { return 1.0f / (1.0f + syn_exp(-x)); }

/* N. Juffa's erff: an odd polynomial to 475/512, then 1 - e^(polynomial). */
static inline float syn_erf(float x) {
    float a = syn_abs(x);
    float s = x * x;
    float q = -5.96761703e-4f;
    q = q * s + 4.99119423e-3f;
    q = q * s - 2.67681349e-2f;
    q = q * s + 1.12819925e-1f;
    q = q * s - 3.76125336e-1f;
    q = q * s + 1.28379166e-1f;
    float near = q * x + x;
    float c = a < 10.0f ? a : 10.0f;  /* erf(10) is 1 */
    float t = c * c;
    float r = -1.72853470e-5f * c + 3.83197126e-4f;
    float u = -3.88396438e-3f * c + 2.42546219e-2f;
    r = r * t + u;
    r = r * c - 1.06777877e-1f;
    r = r * c - 6.34846687e-1f;
    r = r * c - 1.28717512e-1f;
    float far = syn_copysign(1.0f - syn_exp(r * c - c), x);
    float y = a > 0.927734375f ? far : near;
    return x == x ? y : x;
}

/* Sine and cosine of any finite angle; NaN of others.
 *
 * Payne and Hanek's reduction: the mantissa times the 96 bits of 2/π that matter for its exponent
 * gives the quadrant and 62 bits of what remains, without rounding. Cephes' polynomials on ±π/4. */
static inline void syn_sincos(float angle, float *sine, float *cosine) {
    static const uint32_t two_over_pi[8] = {  /* the fraction's bits, from 2^30 down */
        0x00000000u, 0x28be60dbu, 0x9391054au, 0x7f09d5f4u,
        0x7d4d3770u, 0x36d8a566u, 0x4f10e410u, 0x7f9458eau};
    uint32_t bits = syn_bits(angle), exponent = (bits >> 23) & 255, quadrant = 0;
    float r = angle;
    if (syn_abs(angle) > 0.785398163f) {
        uint32_t shift = exponent - 126, word = shift >> 5;  /* |angle| > 1/2, so no borrow */
        uint32_t high = two_over_pi[word], middle = two_over_pi[word + 1];
        uint32_t low = two_over_pi[word + 2], next = two_over_pi[word + 3];
        shift &= 31;
        if (shift) {
            high = high << shift | middle >> (32 - shift);
            middle = middle << shift | low >> (32 - shift);
            low = low << shift | next >> (32 - shift);
        }
        uint32_t mantissa = bits << 8 | 0x80000000u;
        uint64_t p = (uint64_t)mantissa * low;
        p = (uint64_t)mantissa * middle + (p >> 32);
        p += (uint64_t)(mantissa * high) << 32;  /* quadrants in the top 2 bits */
        uint32_t top = (uint32_t)(p >> 32);
        quadrant = (top + 0x20000000u) >> 30;
        int32_t rest = (int32_t)(top - (quadrant << 30));  /* ±2^29 stand for ±π/4 */
        float coarse = (float)(rest / 256 * 256);
        float fine = (float)(rest % 256) + (float)(uint32_t)p * 2.3283064365386963e-10f;
        const float unit = 1.4629180792671596e-9f;  /* π/2 / 2^30 */
        r = coarse * unit + fine * unit;
        r = bits >> 31 ? -r : r;
        quadrant = bits >> 31 ? 0u - quadrant : quadrant;
    }
    float s = r * r;
    float sin_r = ((-1.9515295891e-4f * s + 8.3321608736e-3f) * s - 1.6666654611e-1f) * s * r + r;
    float cos_r = ((2.443315711809948e-5f * s - 1.388731625493765e-3f) * s + 4.166664568298827e-2f)
                  * s * s - 0.5f * s + 1.0f;
    float a = quadrant & 1 ? cos_r : sin_r, b = quadrant & 1 ? sin_r : cos_r;
    a = quadrant & 2 ? -a : a;
    b = (quadrant + 1) & 2 ? -b : b;
    *sine = exponent < 255 ? a : angle - angle;
    *cosine = exponent < 255 ? b : angle - angle;
}

static inline float syn_from_bf16(uint16_t half) { return syn_float((uint32_t)half << 16); }

/* Nearest, ties to even; a NaN stays one. */
static inline uint16_t syn_to_bf16(float x) {
    uint32_t bits = syn_bits(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    return (uint16_t)(x == x ? rounded : (bits >> 16 | 0x40u));
}

static inline float syn_from_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, size = (uint32_t)(half & 0x7fffu) << 13;
    uint32_t normal = size + (112u << 23) + (size >= 31u << 23 ? 112u << 23 : 0u);
    float tiny = syn_float(size + (113u << 23)) - syn_float(113u << 23);  /* subnormal: exact */
    return syn_float(sign | (size < 1u << 23 ? syn_bits(tiny) : normal));
}

/* Nearest, ties to even; too large becomes infinite, a NaN stays one. */
static inline uint16_t syn_to_f16(float x) {
    uint32_t bits = syn_bits(x), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
    uint32_t normal = (size + 0xfffu + (size >> 13 & 1) - (112u << 23)) >> 13;
    uint32_t tiny = syn_bits(syn_float(size) + 0.5f) - syn_bits(0.5f);  /* below 2^-14 */
    uint32_t half = size < 0x38800000u ? tiny : normal;
    half = size >= 0x477ff000u ? 0x7c00u : half;  /* 65520 and above */
    half = size > 0x7f800000u ? 0x7e00u : half;
    return (uint16_t)(sign | half);
}

#endif
