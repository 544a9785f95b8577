/* linear: y = x · wᵀ + b for up to four (w, b) that share x.
 *
 * Arithmetic of one output number; sums over columns have 8 lanes (syn_dot):
 *   f32     Σ x · w, w dequantised
 *   bf16    Σ bf16(x) · bf16(w), products and sums in float32
 *   a8/32   for each 32 columns k, for each run of the weight in them (one of 32, or two of 16):
 *           (float)(Σ q · w) · (scale of the run · scale of x), and where the format has a minimum,
 *           minimum of the run · ((float)(Σ q) · scale of x); all added in float32 in this order,
 *           those of k into lane k % 8
 *   a8/row  (float)(Σ q · w) · (scale of w · scale of x), the sum over the row
 * and then + b. q and its scale, over 32 columns or the row, in float32:
 *   amax = max |x|;  inverse = amax > 0 ? 127 / amax : 0;  q = round half even(x · inverse), within
 *   ±127, NaN to 0;  scale = amax / 127.
 */
#include "blocks.h"
#include "linear.h"

enum { TILE = 4 };

/* Bytes of one prepared row of x: C floats, or C codes and then their scales; for a8/32 C / 32
 * scales and then the sums of each 16 codes. */
static uint64_t prepared_bytes(uint32_t arith, uint32_t cols) {
    if (arith == ARITH_F32) return 0;
    if (arith == ARITH_BF16) return (uint64_t)cols * 4;
    return syn_aligned(cols) + (arith == ARITH_A8_32 ? (uint64_t)(cols / 32) * 8 : 4);
}

/* Scratch: a weight row decoded or expanded for each thread, then x prepared, row after row. */
static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    const syn_operand *x = &op->in[0];
    uint64_t row = syn_aligned(prepared_bytes(op->attributes[0], x->cols));
    return threads * syn_aligned((uint64_t)x->cols * 4) + x->rows * row;
}

/* Quantise n columns; return their scale. */
static float quantise(int8_t *code, const float *x, uint32_t n) {
    float amax = 0.0f;
    for (uint32_t i = 0; i < n; i++) amax = syn_max(syn_abs(x[i]), amax);
    float inverse = amax > 0.0f ? 127.0f / amax : 0.0f;
    for (uint32_t i = 0; i < n; i++) code[i] = (int8_t)syn_round_int8(x[i] * inverse);
    return amax / 127.0f;
}

/* code (C), scale (C/32), sum (C/16) of one row of x (C) */
static void prepare_blocks(int8_t *code, float *scale, int16_t *sum, const float *x, uint32_t cols) {
    for (uint32_t i = 0; i < cols; i += 32) scale[i / 32] = quantise(code + i, x + i, 32);
    for (uint32_t i = 0; i < cols / 16; i++) {
        sum[i] = 0;
        for (uint32_t j = 0; j < 16; j++) sum[i] = (int16_t)(sum[i] + code[i * 16 + j]);
    }
}

/* One row of x (C) as the arithmetic reads it. */
static void prepare(uint8_t *to, const float *x, uint32_t arith, uint32_t cols) {
    float *number = (float *)(void *)to, *scale = (float *)(void *)(to + syn_aligned(cols));
    int8_t *code = (int8_t *)to;
    if (arith == ARITH_BF16)
        for (uint32_t i = 0; i < cols; i++) number[i] = syn_from_bf16(syn_to_bf16(x[i]));
    else if (arith == ARITH_A8_ROW)
        *scale = quantise(code, x, cols);
    else
        prepare_blocks(code, scale, (int16_t *)(void *)(scale + cols / 32), x, cols);
}

static int32_t dot_int8(const int8_t *a, const int8_t *b, uint32_t n) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* syn_dot of w (C) with four rows of x, `stride` numbers apart, in one pass. */
static void dot_tile(float y[TILE], const float *w, const float *x, size_t stride, uint32_t n) {
    const float *x0 = x, *x1 = x + stride, *x2 = x1 + stride, *x3 = x2 + stride;
    float a[8] = {0}, b[8] = {0}, c[8] = {0}, d[8] = {0};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        for (uint32_t j = 0; j < 8; j++) a[j] += x0[i + j] * w[i + j];
        for (uint32_t j = 0; j < 8; j++) b[j] += x1[i + j] * w[i + j];
        for (uint32_t j = 0; j < 8; j++) c[j] += x2[i + j] * w[i + j];
        for (uint32_t j = 0; j < 8; j++) d[j] += x3[i + j] * w[i + j];
    }
    for (uint32_t j = 0; i + j < n; j++) {
        a[j] += x0[i + j] * w[i + j];
        b[j] += x1[i + j] * w[i + j];
        c[j] += x2[i + j] * w[i + j];
        d[j] += x3[i + j] * w[i + j];
    }
    y[0] = syn_sum_lanes(a);
    y[1] = syn_sum_lanes(b);
    y[2] = syn_sum_lanes(c);
    y[3] = syn_sum_lanes(d);
}

/* A weight row as aligned float32: where it lies, or decoded into `room` (C). */
static const float *float_row(float *room, const syn_operand *w, uint32_t n, uint32_t arith) {
    const uint8_t *from = syn_weight_row(w, n);
    if (arith == ARITH_F32 && w->dtype == SYN_F32 && ((uintptr_t)from & 3) == 0)
        return (const float *)(const void *)from;
    syn_decode_row(room, w, n);
    if (arith == ARITH_BF16 && w->dtype != SYN_BF16)
        for (uint32_t i = 0; i < w->cols; i++) room[i] = syn_from_bf16(syn_to_bf16(room[i]));
    return room;
}

/* Output column n for all rows: x (T, C) floats → y[t · N] */
static void float_column(float *y, uint32_t width, const float *w, const float *x, uint32_t rows,
                         uint32_t cols, size_t stride, float bias) {
    uint32_t t = 0;
    for (; t + TILE <= rows; t += TILE) {
        float sum[TILE];
        dot_tile(sum, w, x + t * stride, stride, cols);
        for (uint32_t j = 0; j < TILE; j++) y[(size_t)(t + j) * width] = sum[j] + bias;
    }
    for (; t < rows; t++) y[(size_t)t * width] = syn_dot(x + t * stride, w, cols) + bias;
}

/* The same for quantised x: rows of codes and scales, `stride` bytes apart. */
static void blocks_column(float *y, uint32_t width, const block_row *w, const uint8_t *x,
                          uint32_t rows, uint32_t cols, size_t stride, float bias) {
    for (uint32_t t = 0; t < rows; t++, x += stride) {
        const float *scale = (const float *)(const void *)(x + syn_aligned(cols));
        y[(size_t)t * width] = dot_blocks(w, (const int8_t *)x, scale, cols) + bias;
    }
}

static void int8_column(float *y, uint32_t width, const uint8_t *w, const uint8_t *x, uint32_t rows,
                        uint32_t cols, size_t stride, float bias) {
    float scale_w = *(const syn_loose_f32 *)(const void *)w;
    for (uint32_t t = 0; t < rows; t++, x += stride) {
        float scale = *(const float *)(const void *)(x + syn_aligned(cols));
        int32_t sum = dot_int8((const int8_t *)w + 4, (const int8_t *)x, cols);
        y[(size_t)t * width] = (float)sum * (scale_w * scale) + bias;
    }
}

/* x (T, C), w (N, C), b (N) → y (T, N), for each pair; threads share the rows of all w. */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *x = &op->in[0];
    const float *numbers = (const float *)(const void *)x->data;
    uint32_t arith = op->attributes[0], cols = x->cols, total = 0, first = 0, lo, hi;
    size_t room_bytes = (size_t)syn_aligned((uint64_t)cols * 4);
    size_t row_bytes = (size_t)syn_aligned(prepared_bytes(arith, cols));
    float *room = (float *)(void *)(call->scratch + call->thread * room_bytes);
    uint8_t *prepared = call->scratch + call->threads * room_bytes;
    size_t stride = cols;
    if (arith != ARITH_F32) {
        syn_share(call, x->rows, &lo, &hi);
        for (uint32_t t = lo; t < hi; t++)
            prepare(prepared + t * row_bytes, numbers + (size_t)t * cols, arith, cols);
        syn_barrier(call);
        numbers = (const float *)(const void *)prepared;
        stride = row_bytes / 4;
    }
    for (uint32_t p = 0; p < op->outputs; p++) total += op->in[1 + 2 * p].rows;
    syn_share(call, total, &lo, &hi);
    for (uint32_t p = 0; p < op->outputs; first += op->in[1 + 2 * p].rows, p++) {
        const syn_operand *w = &op->in[1 + 2 * p], *b = &op->in[2 + 2 * p];
        const syn_loose_f32 *bias = b->kind == SYN_NONE ? NULL : (const void *)b->data;
        float *y = (float *)(void *)op->out[p].data;
        uint32_t from = lo > first ? lo - first : 0;
        uint32_t end = hi > first ? hi - first : 0;
        if (end > w->rows) end = w->rows;
        for (uint32_t n = from; n < end; n++) {
            float add = bias ? bias[n] : 0.0f;
            if (arith == ARITH_A8_32) {
                block_row row = expand_row(room, w, n);
                blocks_column(y + n, w->rows, &row, prepared, x->rows, cols, row_bytes, add);
            } else if (arith == ARITH_A8_ROW) {
                int8_column(y + n, w->rows, syn_weight_row(w, n), prepared, x->rows, cols,
                            row_bytes, add);
            } else {
                float_column(y + n, w->rows, float_row(room, w, n, arith), numbers, x->rows, cols,
                             stride, add);
            }
        }
    }
}

extern const syn_kernel syn_kernel_linear;
const syn_kernel syn_kernel_linear = {SYN_ABI, "linear", linear_check, scratch_bytes, run};
