/* rmsnorm, layernorm, and both with the residual added first. */
#include "../syn_kernel.h"

enum { BAD_OPERANDS = 1, BAD_X = 2, BAD_WEIGHT = 3, BAD_BIAS = 4, BAD_OUTPUT = 5, BAD_ROWS = 6,
       BAD_WIDTH = 7 };

/* Σ (x - middle)² over n columns, in the lanes of syn_dot. */
static float sum_squares(const float *x, float middle, uint32_t n) {
    float lane[8] = {0};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t j = 0; j < 8; j++) lane[j] += (x[i + j] - middle) * (x[i + j] - middle);
    for (uint32_t j = 0; i + j < n; j++) lane[j] += (x[i + j] - middle) * (x[i + j] - middle);
    return syn_sum_lanes(lane);
}

/* x, w (n) → y (n) = x / √(mean x² + eps) · w */
static void rms(float *y, const float *x, const syn_loose_f32 *w, uint32_t n, float eps) {
    float factor = syn_rsqrt(sum_squares(x, 0.0f, n) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) y[i] = x[i] * factor * w[i];
}

/* x (n), w?, b? (n) → y (n) = (x - mean) / √(variance + eps) · w + b */
static void layer(float *y, const float *x, const syn_loose_f32 *w, const syn_loose_f32 *b,
                  uint32_t n, float eps) {
    float mean = syn_sum(x, n) / (float)n;
    float factor = syn_rsqrt(sum_squares(x, mean, n) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) y[i] = (x[i] - mean) * factor;
    if (w) for (uint32_t i = 0; i < n; i++) y[i] = y[i] * w[i];
    if (b) for (uint32_t i = 0; i < n; i++) y[i] = y[i] + b[i];
}

static const syn_loose_f32 *vector(const syn_operand *o) {
    return o->kind == SYN_NONE ? NULL : (const void *)o->data;
}

/* x and every output: float32, C columns, the same rows; `width` divides C. */
static int check_tensors(const syn_op *op, uint32_t width) {
    const syn_operand *x = &op->in[0];
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (width == 0 || x->cols % width) return BAD_WIDTH;
    for (uint32_t i = 0; i < op->outputs; i++) {
        if (!syn_is_tensor(&op->out[i], x->cols)) return BAD_OUTPUT;
        if (!syn_same_rows(x, &op->out[i])) return BAD_ROWS;
    }
    return 0;
}

static int rmsnorm_check(const syn_op *op) {
    if (op->inputs != 2 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_vector(&op->in[1], op->in[1].cols)) return BAD_WEIGHT;
    return check_tensors(op, op->in[1].cols);
}

static int layernorm_check(const syn_op *op) {
    uint32_t width = op->attributes[1];
    if (op->inputs != 3 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_vector_or_none(&op->in[1], width)) return BAD_WEIGHT;
    if (!syn_is_vector_or_none(&op->in[2], width)) return BAD_BIAS;
    return check_tensors(op, width);
}

static int check_residual(const syn_op *op) {
    if (!syn_is_tensor(&op->in[1], op->in[0].cols)) return BAD_X;
    if (!syn_same_rows(&op->in[0], &op->in[1])) return BAD_ROWS;
    return check_tensors(op, op->in[0].cols);
}

static int add_rmsnorm_check(const syn_op *op) {
    if (op->inputs != 3 || op->outputs != 2) return BAD_OPERANDS;
    if (!syn_is_vector(&op->in[2], op->in[0].cols)) return BAD_WEIGHT;
    return check_residual(op);
}

static int add_layernorm_check(const syn_op *op) {
    if (op->inputs != 4 || op->outputs != 2) return BAD_OPERANDS;
    if (!syn_is_vector_or_none(&op->in[2], op->in[0].cols)) return BAD_WEIGHT;
    if (!syn_is_vector_or_none(&op->in[3], op->in[0].cols)) return BAD_BIAS;
    return check_residual(op);
}

static uint64_t no_scratch(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

/* x (T, C), w (W) → y (T, C); each run of W columns by itself */
static void rmsnorm_run(const syn_op *op, const syn_call *call) {
    const float *x = (const float *)(const void *)op->in[0].data;
    float *y = (float *)(void *)op->out[0].data, eps = syn_attribute_f32(op, 0);
    uint32_t width = op->in[1].cols, lo, hi;
    syn_share(call, op->in[0].rows * (op->in[0].cols / width), &lo, &hi);
    for (uint32_t i = lo; i < hi; i++)
        rms(y + (size_t)i * width, x + (size_t)i * width, vector(&op->in[1]), width, eps);
}

/* x (T, C), w?, b? (W) → y (T, C) */
static void layernorm_run(const syn_op *op, const syn_call *call) {
    const float *x = (const float *)(const void *)op->in[0].data;
    float *y = (float *)(void *)op->out[0].data, eps = syn_attribute_f32(op, 0);
    uint32_t width = op->attributes[1], lo, hi;
    syn_share(call, op->in[0].rows * (op->in[0].cols / width), &lo, &hi);
    for (uint32_t i = lo; i < hi; i++)
        layer(y + (size_t)i * width, x + (size_t)i * width, vector(&op->in[1]),
              vector(&op->in[2]), width, eps);
}

/* x, r (T, C) → s (T, C) = x + r, row t; returns it */
static const float *add_row(const syn_op *op, uint32_t t) {
    size_t cols = op->in[0].cols, at = t * cols;
    const float *x = (const float *)(const void *)op->in[0].data + at;
    const float *r = (const float *)(const void *)op->in[1].data + at;
    float *s = (float *)(void *)op->out[0].data + at;
    for (size_t i = 0; i < cols; i++) s[i] = x[i] + r[i];
    return s;
}

/* x, r (T, C), w (C) → s, y (T, C) */
static void add_rmsnorm_run(const syn_op *op, const syn_call *call) {
    float *y = (float *)(void *)op->out[1].data, eps = syn_attribute_f32(op, 0);
    uint32_t cols = op->in[0].cols, lo, hi;
    syn_share(call, op->in[0].rows, &lo, &hi);
    for (uint32_t t = lo; t < hi; t++)
        rms(y + (size_t)t * cols, add_row(op, t), vector(&op->in[2]), cols, eps);
}

/* x, r (T, C), w?, b? (C) → s, y (T, C) */
static void add_layernorm_run(const syn_op *op, const syn_call *call) {
    float *y = (float *)(void *)op->out[1].data, eps = syn_attribute_f32(op, 0);
    uint32_t cols = op->in[0].cols, lo, hi;
    syn_share(call, op->in[0].rows, &lo, &hi);
    for (uint32_t t = lo; t < hi; t++)
        layer(y + (size_t)t * cols, add_row(op, t), vector(&op->in[2]), vector(&op->in[3]), cols,
              eps);
}

extern const syn_kernel syn_kernel_rmsnorm, syn_kernel_layernorm, syn_kernel_add_rmsnorm,
    syn_kernel_add_layernorm;
const syn_kernel syn_kernel_rmsnorm = {SYN_ABI, "rmsnorm", rmsnorm_check, no_scratch, rmsnorm_run};
const syn_kernel syn_kernel_layernorm = {
    SYN_ABI, "layernorm", layernorm_check, no_scratch, layernorm_run};
const syn_kernel syn_kernel_add_rmsnorm = {
    SYN_ABI, "add_rmsnorm", add_rmsnorm_check, no_scratch, add_rmsnorm_run};
const syn_kernel syn_kernel_add_layernorm = {
    SYN_ABI, "add_layernorm", add_layernorm_check, no_scratch, add_layernorm_run};
