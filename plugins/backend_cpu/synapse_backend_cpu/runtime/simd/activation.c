/* activation, gated_activation and softcap on vectors; what they compute stands in kernels/activation.c. */
#include "../kernels/elementwise.h"
#include "../syn_simd.h"

/* x → f(x); the kind is known to the compiler in each loop. */
SYN_INLINE syn_vf activated(syn_vf x, uint32_t kind) {
    switch (kind) {
    case SILU: return x * syn_v_sigmoid(x);
    case GELU: return 0.5f * x * (1.0f + syn_v_erf(x * ROOT_HALF));
    case GELU_TANH: {
        syn_vf cubed = x * x * x;
        return 0.5f * x * (1.0f + syn_v_tanh(ROOT_TWO_OVER_PI * syn_v_fma(syn_v_set(0.044715f), cubed, x)));
    }
    case QUICK_GELU: return x * syn_v_sigmoid(1.702f * x);
    case RELU: return syn_v_select(x < 0.0f, syn_v_set(0.0f), x);
    case SIGMOID: return syn_v_sigmoid(x);
    default: return syn_v_tanh(x);
    }
}

/* x (n), u (n) or NULL → y (n) = f(x) · u */
SYN_INLINE void activate_kind(float *y, const float *x, const float *u, uint32_t kind, uint32_t n) {
    for (uint32_t i = 0; i < n; i += SYN_LANES) {
        syn_vf made = activated(syn_v_load_part(x + i, n - i), kind);
        if (u) made *= syn_v_load_part(u + i, n - i);
        syn_v_store_part(y + i, made, n - i);
    }
}

static void activate(float *y, const float *x, const float *u, uint32_t kind, uint32_t n) {
    switch (kind) {
    case SILU: activate_kind(y, x, u, SILU, n); break;
    case GELU: activate_kind(y, x, u, GELU, n); break;
    case GELU_TANH: activate_kind(y, x, u, GELU_TANH, n); break;
    case QUICK_GELU: activate_kind(y, x, u, QUICK_GELU, n); break;
    case RELU: activate_kind(y, x, u, RELU, n); break;
    case SIGMOID: activate_kind(y, x, u, SIGMOID, n); break;
    default: activate_kind(y, x, u, TANH, n); break;
    }
}

/* x (T, C) → y (T, C) */
static void activation_run(const syn_op *op, const syn_call *call) {
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    activate(numbers_out(op) + lo, numbers_in(op, 0) + lo, NULL, op->attributes[0], hi - lo);
}

/* g, u (T, F) → y (T, F) = f(g) · u */
static void gated_run(const syn_op *op, const syn_call *call) {
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    activate(numbers_out(op) + lo, numbers_in(op, 0) + lo, numbers_in(op, 1) + lo, op->attributes[0], hi - lo);
}

/* x (T, C) → y (T, C) */
static void softcap_run(const syn_op *op, const syn_call *call) {
    float *y = numbers_out(op), cap = syn_attribute_f32(op, 0);
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    for (uint32_t i = lo; i < hi; i += SYN_LANES) {
        syn_vf x = syn_v_load_part(numbers_in(op, 0) + i, hi - i);
        syn_v_store_part(y + i, cap * syn_v_tanh(x / cap), hi - i);
    }
}

extern const syn_kernel syn_kernel_softcap, syn_kernel_activation, syn_kernel_gated_activation;
const syn_kernel syn_kernel_softcap = {SYN_ABI, "softcap", unary_check, no_scratch, softcap_run};
const syn_kernel syn_kernel_activation = {SYN_ABI, "activation", activation_check, no_scratch, activation_run};
const syn_kernel syn_kernel_gated_activation = {SYN_ABI, "gated_activation", gated_check, no_scratch, gated_run};
