/* What ops on each number by itself promise, whatever computes them: operands, and what is refused. */
#ifndef SYN_ELEMENTWISE_H
#define SYN_ELEMENTWISE_H

#include "../syn_kernel.h"

enum { SILU, GELU, GELU_TANH, QUICK_GELU, RELU, SIGMOID, TANH, KINDS };
enum { BAD_OPERANDS = 1, BAD_X = 2, BAD_OTHER = 3, BAD_OUTPUT = 4, BAD_ROWS = 5, BAD_KIND = 6 };

/* √½ and √(2/π) of GELU and of its approximation. */
#define ROOT_HALF 0.707106781f
#define ROOT_TWO_OVER_PI 0.797884561f

static inline int unary_check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *y = &op->out[0];
    if (op->inputs != 1 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, x->cols)) return BAD_OUTPUT;
    return syn_same_rows(x, y) ? 0 : BAD_ROWS;
}

static inline int binary_check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *other = &op->in[1], *y = &op->out[0];
    if (op->inputs != 2 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, x->cols)) return BAD_OUTPUT;
    if (!syn_same_rows(x, y)) return BAD_ROWS;
    if (syn_is_vector(other, x->cols)) return 0;
    if (!syn_is_tensor(other, x->cols)) return BAD_OTHER;
    return syn_same_rows(x, other) ? 0 : BAD_ROWS;
}

static inline int activation_check(const syn_op *op) {
    return op->attributes[0] < KINDS ? unary_check(op) : BAD_KIND;
}

static inline int gated_check(const syn_op *op) {
    if (op->attributes[0] >= KINDS) return BAD_KIND;
    if (op->inputs != 2 || op->in[1].kind != SYN_TENSOR) return BAD_OPERANDS;
    return binary_check(op);
}

static inline uint64_t no_scratch(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

static inline const float *numbers_in(const syn_op *op, uint32_t i) {
    return (const float *)(const void *)op->in[i].data;
}

static inline float *numbers_out(const syn_op *op) { return (float *)(void *)op->out[0].data; }

/* This thread's numbers, [lo, hi). */
static inline void share_numbers(const syn_op *op, const syn_call *call, uint32_t *lo, uint32_t *hi) {
    syn_share(call, op->in[0].rows * op->in[0].cols, lo, hi);
}

#endif
