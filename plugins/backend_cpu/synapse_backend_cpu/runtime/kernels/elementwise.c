/* Ops on each number by itself: add, mul, scale, softcap, activation, gated_activation. */
#include "../syn_kernel.h"

enum { SILU, GELU, GELU_TANH, QUICK_GELU, RELU, SIGMOID, TANH, KINDS };
enum { BAD_OPERANDS = 1, BAD_X = 2, BAD_OTHER = 3, BAD_OUTPUT = 4, BAD_ROWS = 5, BAD_KIND = 6 };

static int check_one(const syn_op *op) {
    const syn_operand *x = &op->in[0], *y = &op->out[0];
    if (op->inputs != 1 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, x->cols)) return BAD_OUTPUT;
    return syn_same_rows(x, y) ? 0 : BAD_ROWS;
}

static int check_two(const syn_op *op) {
    const syn_operand *x = &op->in[0], *other = &op->in[1], *y = &op->out[0];
    if (op->inputs != 2 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, x->cols)) return BAD_OUTPUT;
    if (!syn_same_rows(x, y)) return BAD_ROWS;
    if (syn_is_vector(other, x->cols)) return 0;
    if (!syn_is_tensor(other, x->cols)) return BAD_OTHER;
    return syn_same_rows(x, other) ? 0 : BAD_ROWS;
}

static int check_activation(const syn_op *op) {
    return op->attributes[0] < KINDS ? check_one(op) : BAD_KIND;
}

static int check_gated(const syn_op *op) {
    if (op->attributes[0] >= KINDS) return BAD_KIND;
    if (op->inputs != 2 || op->in[1].kind != SYN_TENSOR) return BAD_OPERANDS;
    return check_two(op);
}

static uint64_t no_scratch(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

static const float *input(const syn_op *op, uint32_t i) {
    return (const float *)(const void *)op->in[i].data;
}

static float *output(const syn_op *op) { return (float *)(void *)op->out[0].data; }

static void share_numbers(const syn_op *op, const syn_call *call, uint32_t *lo, uint32_t *hi) {
    syn_share(call, op->in[0].rows * op->in[0].cols, lo, hi);
}

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
        const float *x = input(op, 0) + i;
        float *y = output(op) + i;
        for (uint32_t j = 0; j < n; j++) y[j] = x[j] + other[j];
    }
}

/* x (T, C), other (T, C) or (C) → y (T, C) */
static void mul_run(const syn_op *op, const syn_call *call) {
    uint32_t lo, hi, n;
    share_numbers(op, call, &lo, &hi);
    for (uint32_t i = lo; i < hi; i += n) {
        const syn_loose_f32 *other = other_from(op, i, hi, &n);
        const float *x = input(op, 0) + i;
        float *y = output(op) + i;
        for (uint32_t j = 0; j < n; j++) y[j] = x[j] * other[j];
    }
}

/* x (T, C) → y (T, C) */
static void scale_run(const syn_op *op, const syn_call *call) {
    const float *x = input(op, 0);
    float *y = output(op), factor = syn_attribute_f32(op, 0);
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) y[i] = x[i] * factor;
}

/* x (T, C) → y (T, C) */
static void softcap_run(const syn_op *op, const syn_call *call) {
    const float *x = input(op, 0);
    float *y = output(op), cap = syn_attribute_f32(op, 0);
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) y[i] = cap * syn_tanh(x[i] / cap);
}

/* x (n) → y (n) = f(x); one loop for each kind, so that each is vectorised */
static void activate(float *y, const float *x, uint32_t kind, uint32_t n) {
    const float half_root = 0.707106781f, root = 0.797884561f;  /* √½, √(2/π) */
    switch (kind) {
    case SILU:
        for (uint32_t i = 0; i < n; i++) y[i] = x[i] * syn_sigmoid(x[i]);
        break;
    case GELU:
        for (uint32_t i = 0; i < n; i++)
            y[i] = 0.5f * x[i] * (1.0f + syn_erf(x[i] * half_root));
        break;
    case GELU_TANH:
        for (uint32_t i = 0; i < n; i++)
            y[i] = 0.5f * x[i]
                 * (1.0f + syn_tanh(root * (x[i] + 0.044715f * (x[i] * x[i] * x[i]))));
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
    activate(output(op) + lo, input(op, 0) + lo, op->attributes[0], hi - lo);
}

/* g, u (T, F) → y (T, F) = f(g) · u */
static void gated_run(const syn_op *op, const syn_call *call) {
    const float *u = input(op, 1);
    float *y = output(op);
    uint32_t lo, hi;
    share_numbers(op, call, &lo, &hi);
    activate(y + lo, input(op, 0) + lo, op->attributes[0], hi - lo);
    for (uint32_t i = lo; i < hi; i++) y[i] = y[i] * u[i];
}

extern const syn_kernel syn_kernel_add, syn_kernel_mul, syn_kernel_scale, syn_kernel_softcap,
    syn_kernel_activation, syn_kernel_gated_activation;
const syn_kernel syn_kernel_add = {SYN_ABI, "add", check_two, no_scratch, add_run};
const syn_kernel syn_kernel_mul = {SYN_ABI, "mul", check_two, no_scratch, mul_run};
const syn_kernel syn_kernel_scale = {SYN_ABI, "scale", check_one, no_scratch, scale_run};
const syn_kernel syn_kernel_softcap = {SYN_ABI, "softcap", check_one, no_scratch, softcap_run};
const syn_kernel syn_kernel_activation = {
    SYN_ABI, "activation", check_activation, no_scratch, activation_run};
const syn_kernel syn_kernel_gated_activation = {
    SYN_ABI, "gated_activation", check_gated, no_scratch, gated_run};
