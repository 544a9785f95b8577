/* What linear promises, whatever computes it: operands, arithmetic, and what is refused. */
#ifndef SYN_LINEAR_H
#define SYN_LINEAR_H

#include "../syn_kernel.h"

enum { ARITH_F32 = 0, ARITH_BF16 = 1, ARITH_A8_32 = 2, ARITH_A8_ROW = 3 };
enum { MAX_PAIRS = 4, MAX_INT_COLS = 131072 };  /* 128 · 127 · 131072 < 2^31 */
enum { BAD_OPERANDS = 1, BAD_X = 2, BAD_ARITH = 3, BAD_WEIGHT = 4, BAD_FORMAT = 5, BAD_BIAS = 6,
       BAD_OUTPUT = 7, BAD_ROWS = 8, TOO_MANY_COLUMNS = 9 };

/* Can this arithmetic read weights of this format? */
static inline int linear_reads(uint32_t arith, uint32_t format) {
    switch (arith) {
    case ARITH_F32: return 1;
    case ARITH_BF16: return format == SYN_F32 || format == SYN_F16 || format == SYN_BF16;
    case ARITH_A8_32: return syn_block_format_of(format).columns != 0;
    default: return format == SYN_INT8;
    }
}

/* Is it a float product that decodes whole rows first? */
static inline int is_decoded(uint32_t arith, uint32_t format) {
    int floats = arith == ARITH_F32 || arith == ARITH_BF16;
    return floats && format != SYN_F32 && format != SYN_F16 && format != SYN_BF16;
}

static inline int linear_check(const syn_op *op) {
    const syn_operand *x = &op->in[0];
    uint32_t arith = op->attributes[0];
    uint64_t outputs = 0;
    if (op->outputs < 1 || op->outputs > MAX_PAIRS || op->inputs != 1 + 2 * op->outputs)
        return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (arith > ARITH_A8_ROW) return BAD_ARITH;
    if (arith == ARITH_A8_ROW && x->cols > MAX_INT_COLS) return TOO_MANY_COLUMNS;
    for (uint32_t p = 0; p < op->outputs; p++) {
        const syn_operand *w = &op->in[1 + 2 * p], *y = &op->out[p];
        if (!syn_is_matrix(w, x->cols)) return BAD_WEIGHT;
        if (!linear_reads(arith, w->dtype)) return BAD_FORMAT;
        if (!syn_is_vector_or_none(&op->in[2 + 2 * p], w->rows)) return BAD_BIAS;
        if (!syn_is_tensor(y, w->rows)) return BAD_OUTPUT;
        if (!syn_same_rows(x, y)) return BAD_ROWS;
        outputs += w->rows;
    }
    return outputs <= 0x7fffffffu ? 0 : TOO_MANY_COLUMNS;
}

#endif
