/* Ops that move rows between spaces, and slice_columns. They copy; only pool_rows computes. */
#include "../syn_kernel.h"

enum { BAD_OPERANDS = 1, BAD_X = 2, BAD_OUTPUT = 3, BAD_ROWS = 4, BAD_INDEX = 5, BAD_ROW = 6,
       BAD_WEIGHT = 7, BAD_WHERE = 8, BAD_SIZE = 9, BAD_COLUMNS = 10 };

static uint64_t no_scratch(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

static const float *input(const syn_op *op) {
    return (const float *)(const void *)op->in[0].data;
}

static float *output(const syn_op *op) { return (float *)(void *)op->out[0].data; }

static void copy(float *y, const float *x, uint32_t n) { __builtin_memcpy(y, x, (size_t)n * 4); }

/* Is y of the base space of x, with one row for each group of x? */
static int is_base_of(const syn_operand *y, const syn_operand *x) {
    return y->base == x->base && y->multiple == 1 && x->multiple > 0
        && (uint64_t)y->rows * x->multiple == x->rows;
}

static int select_check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *index = &op->in[1], *y = &op->out[0];
    if (op->inputs < 1 || op->inputs > 2 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, x->cols)) return BAD_OUTPUT;
    if (op->inputs == 1 || index->kind == SYN_NONE) {
        if (!is_base_of(y, x)) return BAD_ROWS;
        return op->attributes[0] < x->multiple ? 0 : BAD_ROW;
    }
    if (!syn_is_index(index) || index->limit || index->limit_space != x->space) return BAD_INDEX;
    return syn_same_rows(index, y) ? 0 : BAD_ROWS;
}

/* x (T, C), index? (n) → y (n, C); without index x (n · multiple, C) */
static void select_run(const syn_op *op, const syn_call *call) {
    const syn_operand *x = &op->in[0], *index = &op->in[1];
    const int32_t *rows = (const int32_t *)(const void *)index->data;
    int by_index = op->inputs == 2 && index->kind != SYN_NONE;
    uint32_t lo, hi;
    syn_share(call, op->out[0].rows, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) {
        uint32_t row = by_index ? (uint32_t)rows[i] : i * x->multiple + op->attributes[0];
        copy(output(op) + (size_t)i * x->cols, input(op) + (size_t)row * x->cols, x->cols);
    }
}

static int pool_check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *y = &op->out[0];
    if (op->inputs != 1 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, x->cols)) return BAD_OUTPUT;
    if (!is_base_of(y, x)) return BAD_ROWS;
    return op->attributes[0] < x->multiple ? 0 : BAD_ROW;
}

/* x (n · multiple, C) → y (n, C): the mean of each group from row `first` on, summed in order */
static void pool_run(const syn_op *op, const syn_call *call) {
    const syn_operand *x = &op->in[0];
    uint32_t cols = x->cols, first = op->attributes[0], taken = x->multiple - first, lo, hi;
    syn_share(call, op->out[0].rows, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) {
        const float *row = input(op) + ((size_t)i * x->multiple + first) * cols;
        float *y = output(op) + (size_t)i * cols;
        copy(y, row, cols);
        for (uint32_t k = 1; k < taken; k++)
            for (uint32_t c = 0; c < cols; c++) y[c] += row[(size_t)k * cols + c];
        for (uint32_t c = 0; c < cols; c++) y[c] = y[c] / (float)taken;
    }
}

static int append_check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *row = &op->in[1], *y = &op->out[0];
    if (op->inputs != 2 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_vector(row, x->cols)) return BAD_WEIGHT;
    if (!syn_is_tensor(y, x->cols)) return BAD_OUTPUT;
    if (y->base != x->base || x->multiple == 0 || y->multiple - 1 != x->multiple) return BAD_ROWS;
    if (x->rows % x->multiple || (uint64_t)(x->rows / x->multiple) * y->multiple != y->rows)
        return BAD_ROWS;
    return op->attributes[0] <= 1 ? 0 : BAD_WHERE;
}

/* x (n · k, C), row (C) → y (n · (k + 1), C) */
static void append_run(const syn_op *op, const syn_call *call) {
    uint32_t cols = op->in[0].cols, k = op->in[0].multiple, back = op->attributes[0], lo, hi;
    syn_share(call, op->out[0].rows, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) {
        uint32_t group = i / (k + 1), at = i % (k + 1);
        float *y = output(op) + (size_t)i * cols;
        if (at == (back ? k : 0))
            __builtin_memcpy(y, op->in[1].data, (size_t)cols * 4);
        else
            copy(y, input(op) + ((size_t)group * k + at - !back) * cols, cols);
    }
}

enum { CHANNELS, HEIGHT, WIDTH, PATCH };

static int patches_check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *y = &op->out[0];
    const uint32_t *a = op->attributes;
    uint32_t patch = a[PATCH];
    if (op->inputs != 1 || op->outputs != 1) return BAD_OPERANDS;
    if (a[HEIGHT] > 0xffff || a[WIDTH] > 0xffff || patch == 0 || a[HEIGHT] % patch
        || a[WIDTH] % patch || a[HEIGHT] == 0 || a[WIDTH] == 0)
        return BAD_SIZE;
    if ((uint64_t)a[CHANNELS] * (a[HEIGHT] * a[WIDTH]) != x->cols) return BAD_COLUMNS;
    if ((uint64_t)a[CHANNELS] * (patch * patch) != y->cols) return BAD_COLUMNS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, y->cols)) return BAD_OUTPUT;
    if (y->base != x->base || x->multiple != 1) return BAD_ROWS;
    if (y->multiple != (a[HEIGHT] / patch) * (a[WIDTH] / patch)) return BAD_ROWS;
    return (uint64_t)x->rows * y->multiple == y->rows ? 0 : BAD_ROWS;
}

/* image (n, channels · height · width) → y (n · P, channels · patch · patch) */
static void patches_run(const syn_op *op, const syn_call *call) {
    const uint32_t *a = op->attributes;
    uint32_t patch = a[PATCH], across = a[WIDTH] / patch, each = op->out[0].multiple, lo, hi;
    syn_share(call, op->out[0].rows, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) {
        uint32_t top = i % each / across * patch, left = i % each % across * patch;
        const float *image = input(op) + (size_t)(i / each) * op->in[0].cols;
        float *y = output(op) + (size_t)i * op->out[0].cols;
        for (uint32_t c = 0; c < a[CHANNELS]; c++)
            for (uint32_t line = top; line < top + patch; line++, y += patch)
                copy(y, image + ((size_t)c * a[HEIGHT] + line) * a[WIDTH] + left, patch);
    }
}

enum { START, SLICE };

static int slice_check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *y = &op->out[0];
    uint32_t start = op->attributes[START], width = op->attributes[SLICE];
    if (op->inputs != 1 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, width)) return BAD_OUTPUT;
    if (start > x->cols || width > x->cols - start) return BAD_COLUMNS;
    return syn_same_rows(x, y) ? 0 : BAD_ROWS;
}

/* x (T, C) → y (T, width) */
static void slice_run(const syn_op *op, const syn_call *call) {
    uint32_t cols = op->in[0].cols, width = op->attributes[SLICE], lo, hi;
    syn_share(call, op->in[0].rows, &lo, &hi);
    for (uint32_t t = lo; t < hi; t++)
        copy(output(op) + (size_t)t * width,
             input(op) + (size_t)t * cols + op->attributes[START], width);
}

extern const syn_kernel syn_kernel_select_rows, syn_kernel_pool_rows, syn_kernel_append_row,
    syn_kernel_patches, syn_kernel_slice_columns;
const syn_kernel syn_kernel_select_rows = {
    SYN_ABI, "select_rows", select_check, no_scratch, select_run};
const syn_kernel syn_kernel_pool_rows = {SYN_ABI, "pool_rows", pool_check, no_scratch, pool_run};
const syn_kernel syn_kernel_append_row = {
    SYN_ABI, "append_row", append_check, no_scratch, append_run};
const syn_kernel syn_kernel_patches = {SYN_ABI, "patches", patches_check, no_scratch, patches_run};
const syn_kernel syn_kernel_slice_columns = {
    SYN_ABI, "slice_columns", slice_check, no_scratch, slice_run};
