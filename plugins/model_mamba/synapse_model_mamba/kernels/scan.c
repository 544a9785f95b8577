/* mamba.selective_scan and mamba.ssd_scan: the recurrences of Mamba and Mamba-2, step by step.
 *
 * Both hold h' = decay * h + drive * b and y = sum over n of c[n] * h[n], n rising. Lanes are columns, so that no
 * sum crosses lanes; PART numbers of a column's memory stay in registers while TILE rows go by. What a row gives
 * depends on nothing but its slot's rows before it: not on the chunk, on threads, or on other slots.
 */
#include "syn_kernel.h"
#include "syn_simd.h"

#pragma clang diagnostic ignored "-Wpass-failed"  /* where code is to be small, loops stay loops */

enum {
    TILE = 16,
    PART = SYN_LANES == 16 ? 16 : 8,
    MOST_STATE = 1024,
    MOST_SIZE = 1 << 16
};

/* 2^x for x in [-125, 127], cut to that; 2^0 is 1, as a memory that does not fade needs it. */
SYN_INLINE syn_vf power_of_two(syn_vf x) {
    x = syn_v_min(syn_v_max(x, syn_v_set(-125.0f)), syn_v_set(127.0f));
    syn_vf shifted = x + SYN_ROUNDER, r = x - (shifted - SYN_ROUNDER);
    /* (2^r - 1) / r, |r| <= 1/2: fitted for the least largest error, 8e-9 of 2^r */
    syn_vf p = syn_v_set(1.5469734e-4f);
    p = syn_v_fma(p, r, syn_v_set(1.3390867e-3f));
    p = syn_v_fma(p, r, syn_v_set(9.618031e-3f));
    p = syn_v_fma(p, r, syn_v_set(5.550357e-2f));
    p = syn_v_fma(p, r, syn_v_set(2.4022651e-1f));
    p = syn_v_fma(p, r, syn_v_set(6.9314718e-1f));
    p = syn_v_fma(p, r, syn_v_set(1.0f));
    return (syn_vf)(((syn_vi)shifted << 23) + (syn_vi)p);
}

/* log(1 + e^x) = max(x, 0) + 2 artanh(u / (2 + u)), u = e^-|x|: as exact where u is small. */
SYN_INLINE syn_vf softplus(syn_vf x) {
    syn_vf u = syn_v_exp(-syn_v_abs(x)), s = u / (2.0f + u), q = s * s;
    /* (artanh(s) / s - 1) / s^2, s <= 1/3: fitted likewise, 2e-9 of artanh(s) */
    syn_vf p = syn_v_set(1.2781736e-1f);
    p = syn_v_fma(p, q, syn_v_set(1.0602339e-1f));
    p = syn_v_fma(p, q, syn_v_set(1.4312762e-1f));
    p = syn_v_fma(p, q, syn_v_set(1.9999513e-1f));
    p = syn_v_fma(p, q, syn_v_set(3.3333334e-1f));
    syn_vf twice = s + s, above = syn_v_select(x > 0.0f, x, syn_v_set(0.0f));
    return above + syn_v_fma(twice * q, p, twice);
}

static int is_memory(const syn_operand *o, uint64_t numbers) {
    return o->kind == SYN_STATE && o->state_kind == SYN_STATE_RECURRENT && o->dtype == SYN_F32 && o->cols == numbers;
}

static int is_beside(const syn_operand *o, const syn_operand *x, uint32_t cols) {
    return syn_is_tensor(o, cols) && syn_same_rows(o, x);
}

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

/* ---- Mamba: a memory (N, C), lanes are columns ----
 * inputs: x, dt (T, C), b, c (T, N), a (N, C) f32, d (1, C) f32, z (T, C) or none, state; output: y (T, C). */

static int check_selective(const syn_op *op) {
    if (op->inputs != 8 || op->outputs != 1) return 1;
    const syn_operand *x = &op->in[0], *a = &op->in[4], *z = &op->in[6];
    if (!syn_is_tensor(x, x->cols) || syn_is_derived(x) || !(x->flags & SYN_SPACE_ROWS)) return 2;
    if (!syn_is_matrix(a, x->cols) || a->dtype != SYN_F32 || a->rows > MOST_STATE) return 3;
    if (!is_beside(&op->in[1], x, x->cols) || !is_beside(&op->out[0], x, x->cols)) return 4;
    if (!is_beside(&op->in[2], x, a->rows) || !is_beside(&op->in[3], x, a->rows)) return 5;
    if (!syn_is_vector(&op->in[5], x->cols)) return 6;
    if (z->kind != SYN_NONE && !is_beside(z, x, x->cols)) return 7;
    return is_memory(&op->in[7], (uint64_t)a->rows * x->cols) ? 0 : 8;
}

/* `count` numbers, PART or 1, of the memory of some columns, over a tile of rows; y is added to in `sum`. */
SYN_INLINE void advance_columns(float *memory, const syn_operand *a, uint32_t n, uint32_t count, uint32_t column,
                                uint32_t lanes, const float *b, const float *c, uint32_t states, const syn_vf *step,
                                const syn_vf *drive, syn_vf *sum, uint32_t rows) {
    uint32_t cols = a->cols;
    syn_vf h[PART], rate[PART];
    for (uint32_t k = 0; k < count; k++) {
        h[k] = syn_v_load_part(memory + (size_t)(n + k) * cols + column, lanes);
        rate[k] = syn_v_load_part(syn_weight_row(a, n + k) + 4 * (size_t)column, lanes) * 1.44269504f;
    }
    for (uint32_t t = 0; t < rows; t++, b += states, c += states) {
        syn_vf y = sum[t];
#pragma clang loop unroll(full)  /* so that h stays in registers */
        for (uint32_t k = 0; k < count; k++) {
            h[k] = syn_v_fma(power_of_two(step[t] * rate[k]), h[k], drive[t] * b[n + k]);
            y = syn_v_fma(syn_v_set(c[n + k]), h[k], y);
        }
        sum[t] = y;
    }
    for (uint32_t k = 0; k < count; k++)
        syn_v_store_part(memory + (size_t)(n + k) * cols + column, h[k], lanes);
}

/* A tile of `rows` rows from `row` on, some columns. */
static void scan_columns(const syn_op *op, float *memory, uint32_t row, uint32_t rows, uint32_t column,
                         uint32_t lanes) {
    const syn_operand *a = &op->in[4];
    uint32_t cols = a->cols, states = a->rows, n = 0;
    size_t at = (size_t)row * cols + column;
    const float *x = (const float *)op->in[0].data + at, *dt = (const float *)op->in[1].data + at;
    const float *b = (const float *)op->in[2].data + (size_t)row * states;
    const float *c = (const float *)op->in[3].data + (size_t)row * states;
    const float *z = op->in[6].kind == SYN_NONE ? NULL : (const float *)op->in[6].data + at;
    float *y = (float *)op->out[0].data + at;
    syn_vf step[TILE], drive[TILE], sum[TILE];
    for (uint32_t t = 0; t < rows; t++) {
        step[t] = softplus(syn_v_load_part(dt + (size_t)t * cols, lanes));
        drive[t] = step[t] * syn_v_load_part(x + (size_t)t * cols, lanes);
        sum[t] = syn_v_set(0.0f);
    }
    for (; n + PART <= states; n += PART)
        advance_columns(memory, a, n, PART, column, lanes, b, c, states, step, drive, sum, rows);
    for (; n < states; n++)
        advance_columns(memory, a, n, 1, column, lanes, b, c, states, step, drive, sum, rows);
    syn_vf skip = syn_v_load_part(op->in[5].data + 4 * (size_t)column, lanes);
    for (uint32_t t = 0; t < rows; t++) {
        syn_vf out = syn_v_fma(skip, syn_v_load_part(x + (size_t)t * cols, lanes), sum[t]);
        if (z) {
            syn_vf gate = syn_v_load_part(z + (size_t)t * cols, lanes);
            out *= gate / (1.0f + syn_v_exp(-gate));
        }
        syn_v_store_part(y + (size_t)t * cols, out, lanes);
    }
}

/* Columns are independent: each thread walks all rows over its own. */
static void run_selective(const syn_op *op, const syn_call *call) {
    const syn_operand *in = &op->in[0];
    uint32_t cols = in->cols, first, end, lo, hi;
    syn_share(call, (cols + SYN_LANES - 1) / SYN_LANES, &lo, &hi);
    for (uint32_t begin = 0; begin < in->rows; begin = end) {
        syn_run_of(call, in, begin, &first, &end);
        float *memory = (float *)syn_memory(call, &op->in[7], syn_slot(call, in, begin));
        for (uint32_t row = begin; row < end; row += TILE)
            for (uint32_t n = lo; n < hi; n++)
                scan_columns(op, memory, row, end - row < TILE ? end - row : TILE, n * SYN_LANES,
                             cols - n * SYN_LANES);
    }
}

/* ---- Mamba-2: a memory (H, N, P), lanes are a head's columns ----
 * inputs: xbc (T, H*P + 2*G*N), dt (T, H), a, d, dt_bias (1, H) f32, state; output: y (T, H*P).
 * Attributes: H, P, G, N, least and most of a step. */

typedef struct { uint32_t heads, width, groups, states; } shape;

static shape shape_of(const syn_op *op) {
    return (shape){op->attributes[0], op->attributes[1], op->attributes[2], op->attributes[3]};
}

static int check_ssd(const syn_op *op) {
    if (op->inputs != 6 || op->outputs != 1) return 1;
    shape s = shape_of(op);
    for (uint32_t n = 0; n < 4; n++)
        if (op->attributes[n] < 1 || op->attributes[n] > MOST_SIZE) return 2;
    if (s.heads % s.groups) return 3;
    const syn_operand *x = &op->in[0];
    uint64_t inner = (uint64_t)s.heads * s.width, cols = inner + 2 * (uint64_t)s.groups * s.states;
    if (cols > 0x3fffffffu || !syn_is_tensor(x, (uint32_t)cols)) return 4;
    if (syn_is_derived(x) || !(x->flags & SYN_SPACE_ROWS)) return 5;
    if (!is_beside(&op->in[1], x, s.heads) || !is_beside(&op->out[0], x, (uint32_t)inner)) return 6;
    for (uint32_t n = 2; n < 5; n++)
        if (!syn_is_vector(&op->in[n], s.heads)) return 7;
    return is_memory(&op->in[5], inner * s.states) ? 0 : 8;
}

/* `count` rows, PART or 1, of the memory (N, P) of some columns of a head, over a tile of rows; y is added to in `sum`. */
SYN_INLINE void advance_head(float *memory, uint32_t width, uint32_t count, uint32_t lanes, const float *b,
                             const float *c, uint32_t cols, const float *decay, const syn_vf *drive, syn_vf *sum,
                             uint32_t rows) {
    syn_vf h[PART];
    for (uint32_t k = 0; k < count; k++) h[k] = syn_v_load_part(memory + (size_t)k * width, lanes);
    for (uint32_t t = 0; t < rows; t++, b += cols, c += cols) {
        syn_vf y = sum[t], fade = syn_v_set(decay[t]);
#pragma clang loop unroll(full)
        for (uint32_t k = 0; k < count; k++) {
            h[k] = syn_v_fma(fade, h[k], drive[t] * b[k]);
            y = syn_v_fma(syn_v_set(c[k]), h[k], y);
        }
        sum[t] = y;
    }
    for (uint32_t k = 0; k < count; k++) syn_v_store_part(memory + (size_t)k * width, h[k], lanes);
}

/* A tile of `rows` rows from `row` on, the columns of a head from `column` on. */
static void scan_head(const syn_op *op, float *memory, uint32_t row, uint32_t rows, uint32_t head, uint32_t column,
                      const float *step, const float *decay) {
    shape s = shape_of(op);
    uint32_t cols = op->in[0].cols, inner = s.heads * s.width, lanes = s.width - column, n = 0;
    uint32_t first = head * s.width + column, group = head / (s.heads / s.groups);
    const float *xbc = (const float *)op->in[0].data + (size_t)row * cols, *x = xbc + first;
    const float *b = xbc + inner + group * s.states, *c = b + (size_t)s.groups * s.states;
    float *y = (float *)op->out[0].data + (size_t)row * inner + first;
    memory += (size_t)head * s.states * s.width + column;
    syn_vf drive[TILE], sum[TILE];
    for (uint32_t t = 0; t < rows; t++) {
        drive[t] = step[t] * syn_v_load_part(x + (size_t)t * cols, lanes);
        sum[t] = syn_v_set(0.0f);
    }
    for (; n + PART <= s.states; n += PART)
        advance_head(memory + (size_t)n * s.width, s.width, PART, lanes, b + n, c + n, cols, decay, drive, sum, rows);
    for (; n < s.states; n++)
        advance_head(memory + (size_t)n * s.width, s.width, 1, lanes, b + n, c + n, cols, decay, drive, sum, rows);
    syn_vf skip = syn_v_set(((const syn_loose_f32 *)(const void *)op->in[3].data)[head]);
    for (uint32_t t = 0; t < rows; t++)
        syn_v_store_part(y + (size_t)t * inner,
                         syn_v_fma(skip, syn_v_load_part(x + (size_t)t * cols, lanes), sum[t]), lanes);
}

/* How far a head goes at each row of a tile, and what of its memory is left. */
static void steps_of_head(const syn_op *op, uint32_t row, uint32_t rows, uint32_t head, float *step, float *decay) {
    uint32_t heads = op->attributes[0];
    const syn_loose_f32 *a = (const void *)op->in[2].data, *bias = (const void *)op->in[4].data;
    const float *dt = (const float *)op->in[1].data + (size_t)row * heads + head;
    syn_vf least = syn_v_set(syn_attribute_f32(op, 4)), most = syn_v_set(syn_attribute_f32(op, 5));
    for (uint32_t t = 0; t < TILE; t++) step[t] = (t < rows ? dt[(size_t)t * heads] : 0.0f) + bias[head];
    for (uint32_t t = 0; t < rows; t += SYN_LANES) {
        syn_vf far = softplus(syn_v_load(step + t));
        far = syn_v_select(far < least, least, syn_v_select(far > most, most, far));
        syn_v_store(step + t, far);
        syn_v_store(decay + t, syn_v_exp(far * a[head]));
    }
}

/* Columns of heads are independent: each thread walks all rows over its own. */
static void run_ssd(const syn_op *op, const syn_call *call) {
    const syn_operand *in = &op->in[0];
    shape s = shape_of(op);
    uint32_t pieces = (s.width + SYN_LANES - 1) / SYN_LANES, first, end, lo, hi;
    float step[TILE], decay[TILE];
    syn_share(call, s.heads * pieces, &lo, &hi);
    for (uint32_t begin = 0; begin < in->rows; begin = end) {
        syn_run_of(call, in, begin, &first, &end);
        float *memory = (float *)syn_memory(call, &op->in[5], syn_slot(call, in, begin));
        for (uint32_t row = begin; row < end; row += TILE) {
            uint32_t rows = end - row < TILE ? end - row : TILE;
            for (uint32_t n = lo; n < hi; n++) {
                if (n == lo || n % pieces == 0) steps_of_head(op, row, rows, n / pieces, step, decay);
                scan_head(op, memory, row, rows, n / pieces, n % pieces * SYN_LANES, step, decay);
            }
        }
    }
}

const syn_kernel syn_kernel_mamba_selective_scan = {SYN_ABI, "mamba.selective_scan", check_selective, scratch_bytes,
                                                    run_selective};
const syn_kernel syn_kernel_mamba_ssd_scan = {SYN_ABI, "mamba.ssd_scan", check_ssd, scratch_bytes, run_ssd};
