/* Functions of each number by itself: activation, gated_activation, softcap. */
#include "elementwise.h"

/* x (T, C) → y (T, C) */
static void softcap_run(const syn_op *op, const syn_call *call) {
    const float *x = numbers_in(op, 0);
    float *y = numbers_out(op), cap = syn_attribute_f32(op, 0);
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) y[i] = cap * syn_tanh(x[i] / cap);
}

/* x (n) → y (n) = f(x); one loop for each kind, so that each is vectorised */
static void activate(float *y, const float *x, uint32_t kind, uint32_t n) {
    switch (kind) {
    case SILU:
        for (uint32_t i = 0; i < n; i++) y[i] = x[i] * syn_sigmoid(x[i]);
        break;
    case GELU:
        for (uint32_t i = 0; i < n; i++)
            y[i] = 0.5f * x[i] * (1.0f + syn_erf(x[i] * ROOT_HALF));
        break;
    case GELU_TANH:
        for (uint32_t i = 0; i < n; i++)
            y[i] = 0.5f * x[i]
                 * (1.0f + syn_tanh(ROOT_TWO_OVER_PI * (x[i] + 0.044715f * (x[i] * x[i] * x[i]))));
        break;
    case QUICK_GELU:
        for (uint32_t i = 0; i < n; i++) y[i] = x[i] * syn_sigmoid(1.702f * x[i]);
        break;
    case RELU:
        for (uint32_t i = 0; i < n; i++) y[i] = x[i] < 0.0f ? 0.0f : x[i];
        break;
    case SIGMOID:
        for (uint32_t i = 0; i < n; i++) y[i] = syn_sigmoid(x[i]);
        break;
    default:
        for (uint32_t i = 0; i < n; i++) y[i] = syn_tanh(x[i]);
        break;
    }
}

/* x (T, C) → y (T, C) */
static void activation_run(const syn_op *op, const syn_call *call) {
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    activate(numbers_out(op) + lo, numbers_in(op, 0) + lo, op->attributes[0], hi - lo);
}

/* g, u (T, F) → y (T, F) = f(g) · u */
static void gated_run(const syn_op *op, const syn_call *call) {
    const float *u = numbers_in(op, 1);
    float *y = numbers_out(op);
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    activate(y + lo, numbers_in(op, 0) + lo, op->attributes[0], hi - lo);
    for (uint32_t i = lo; i < hi; i++) y[i] = y[i] * u[i];
}

extern const syn_kernel syn_kernel_softcap, syn_kernel_activation, syn_kernel_gated_activation;
const syn_kernel syn_kernel_softcap = {SYN_ABI, "softcap", unary_check, no_scratch, softcap_run};
const syn_kernel syn_kernel_activation = {
    SYN_ABI, "activation", activation_check, no_scratch, activation_run};
const syn_kernel syn_kernel_gated_activation = {
    SYN_ABI, "gated_activation", gated_check, no_scratch, gated_run};
