/* What syn_simd.h has, as functions over arrays: test_simd.py calls them. */
#include "syn_kernel.h"
#include "syn_simd.h"

uint32_t lanes(void);
uint32_t lanes(void) { return SYN_LANES; }

#define MAP(name, expression) \
    void name(float *y, const float *a, const float *b, uint32_t n); \
    void name(float *y, const float *a, const float *b, uint32_t n) { \
        for (uint32_t i = 0; i < n; i += SYN_LANES) { \
            syn_vf x = syn_v_load_part(a + i, n - i), z = syn_v_load_part(b + i, n - i); \
            (void)x, (void)z; \
            syn_v_store_part(y + i, expression, n - i); \
        } \
    }

MAP(map_exp, syn_v_exp(x))
MAP(map_sigmoid, syn_v_sigmoid(x))
MAP(map_tanh, syn_v_tanh(x))
MAP(map_erf, syn_v_erf(x))
MAP(map_copysign, syn_v_copysign(x, z))
MAP(map_abs, syn_v_abs(x))
MAP(map_max, syn_v_max(x, z))
MAP(map_min, syn_v_min(x, z))
MAP(map_fma, syn_v_fma(x, z, x))
MAP(map_select, syn_v_select(x > z, x, syn_v_set(7.0f)))
MAP(map_round, syn_v_of(syn_v_round(x)))
MAP(map_index, syn_v_of(syn_v_index((int32_t)i)))

float sum(const float *x);
float sum(const float *x) { return syn_v_sum(syn_v_load(x)); }

float top(const float *x);
float top(const float *x) { return syn_v_top(syn_v_load(x)); }

/* which: 0 f16, 1 bf16; 2, 3 the same from n words, a vector of their low halves and one of the high ones in turn */
void halves(float *y, const uint16_t *x, uint32_t n, uint32_t which);
void halves(float *y, const uint16_t *x, uint32_t n, uint32_t which) {
    for (uint32_t i = 0; i < n; i += SYN_LANES) {
        if (which < 2) syn_v_store(y + i, which ? syn_v_from_bf16(x + i) : syn_v_from_f16(x + i));
        if (which < 2) continue;
        syn_vi words = syn_vi_load(x + 2 * i);
        int is_brain = which == 3;
        syn_v_store(y + 2 * i, is_brain ? syn_v_low_bf16(words) : syn_v_low_f16(words));
        syn_v_store(y + 2 * i + SYN_LANES, is_brain ? syn_v_high_bf16(words) : syn_v_high_f16(words));
    }
}

/* y (n) = sum (n) + Σ a · b of four bytes */
void dot4(int32_t *y, const int32_t *sum, const int8_t *a, const int8_t *b, uint32_t n);
void dot4(int32_t *y, const int32_t *sum, const int8_t *a, const int8_t *b, uint32_t n) {
    for (uint32_t i = 0; i < n; i += SYN_LANES)
        syn_vi_store(y + i, syn_dot4(syn_vi_load(sum + i), syn_vi_load(a + 4 * i), syn_vi_load(b + 4 * i)));
}
