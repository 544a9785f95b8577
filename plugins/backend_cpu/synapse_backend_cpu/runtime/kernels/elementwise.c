/* Ops on each number by itself: add, mul, scale. */
#include "elementwise.h"

/* The second operand from number i on, and how many numbers of it lie there before `hi`. */
static const syn_loose_f32 *other_from(const syn_op *op, uint32_t i, uint32_t hi, uint32_t *n) {
    const syn_operand *o = &op->in[1];
    uint32_t col = i % o->cols;
    *n = o->cols - col < hi - i ? o->cols - col : hi - i;
    return (const syn_loose_f32 *)(const void *)o->data + (o->kind == SYN_WEIGHT ? col : i);
}

/* x (T, C), other (T, C) or (C) → y (T, C) */
static void add_run(const syn_op *op, const syn_call *call) {
    uint32_t lo, hi, n;
    share_numbers(op, call, &lo, &hi);
    for (uint32_t i = lo; i < hi; i += n) {
        const syn_loose_f32 *other = other_from(op, i, hi, &n);
        const float *x = numbers_in(op, 0) + i;
        float *y = numbers_out(op) + i;
        for (uint32_t j = 0; j < n; j++) y[j] = x[j] + other[j];
    }
}

/* x (T, C), other (T, C) or (C) → y (T, C) */
static void mul_run(const syn_op *op, const syn_call *call) {
    uint32_t lo, hi, n;
    share_numbers(op, call, &lo, &hi);
    for (uint32_t i = lo; i < hi; i += n) {
        const syn_loose_f32 *other = other_from(op, i, hi, &n);
        const float *x = numbers_in(op, 0) + i;
        float *y = numbers_out(op) + i;
        for (uint32_t j = 0; j < n; j++) y[j] = x[j] * other[j];
    }
}

/* x (T, C) → y (T, C) */
static void scale_run(const syn_op *op, const syn_call *call) {
    const float *x = numbers_in(op, 0);
    float *y = numbers_out(op), factor = syn_attribute_f32(op, 0);
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) y[i] = x[i] * factor;
}

extern const syn_kernel syn_kernel_add, syn_kernel_mul, syn_kernel_scale;
const syn_kernel syn_kernel_add = {SYN_ABI, "add", binary_check, no_scratch, add_run};
const syn_kernel syn_kernel_mul = {SYN_ABI, "mul", binary_check, no_scratch, mul_run};
const syn_kernel syn_kernel_scale = {SYN_ABI, "scale", unary_check, no_scratch, scale_run};
