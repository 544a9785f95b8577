/* mamba.conv1d_causal: each column's own filter over the rows of its slot, then perhaps SiLU.
 *
 * inputs: x (T, C), w (K, C) f32, bias (1, C) f32 or none, a recurrent state of (K - 1, C): the last rows of x,
 * the oldest first; output: y (T, C). Attribute 0: 0 none, 1 silu.
 */
#include "syn_kernel.h"
#include "syn_simd.h"

enum { MOST_TAPS = 16 };

static int check(const syn_op *op) {
    if (op->inputs != 4 || op->outputs != 1 || op->attributes[0] > 1) return 1;
    const syn_operand *x = &op->in[0], *w = &op->in[1], *state = &op->in[3], *y = &op->out[0];
    if (!syn_is_tensor(x, x->cols) || !syn_is_tensor(y, x->cols) || !syn_same_rows(x, y)) return 2;
    if (!syn_is_matrix(w, x->cols) || w->dtype != SYN_F32 || w->rows < 2 || w->rows > MOST_TAPS) return 3;
    if (!syn_is_vector_or_none(&op->in[2], x->cols)) return 4;
    if (state->kind != SYN_STATE || state->state_kind != SYN_STATE_RECURRENT || state->dtype != SYN_F32) return 5;
    if (state->cols != (uint64_t)(w->rows - 1) * x->cols) return 6;
    return syn_is_derived(x) || !(x->flags & SYN_SPACE_ROWS) ? 7 : 0;
}

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

/* Columns [lo, hi) of one row: y = bias + sum over k of w[k] * from[k], k rising. */
SYN_INLINE void filter(float *y, const float *const *from, const syn_operand *w, const uint8_t *bias, uint32_t taps,
                       int gated, uint32_t lo, uint32_t hi) {
    for (uint32_t i = lo; i < hi; i += SYN_LANES) {
        syn_vf sum = bias ? syn_v_load_part(bias + 4 * (size_t)i, hi - i) : syn_v_set(0.0f);
        for (uint32_t k = 0; k < taps; k++)
            sum = syn_v_fma(syn_v_load_part(syn_weight_row(w, k) + 4 * (size_t)i, hi - i),
                            syn_v_load_part(from[k] + i, hi - i), sum);
        if (gated) sum = sum / (1.0f + syn_v_exp(-sum));
        syn_v_store_part(y + i, sum, hi - i);
    }
}

/* Columns are independent: each thread walks all rows over its own. */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *in = &op->in[0], *w = &op->in[1];
    const float *x = (const float *)in->data;
    const uint8_t *bias = op->in[2].kind == SYN_NONE ? NULL : op->in[2].data;
    float *y = (float *)op->out[0].data;
    uint32_t cols = in->cols, taps = w->rows, kept = taps - 1, lo, hi, end, first = 0;
    int gated = op->attributes[0] == 1;
    syn_share(call, (cols + SYN_LANES - 1) / SYN_LANES, &lo, &hi);
    lo *= SYN_LANES;
    hi = hi * SYN_LANES < cols ? hi * SYN_LANES : cols;
    if (lo >= hi) return;
    for (uint32_t begin = 0; begin < in->rows; begin = end) {
        syn_run_of(call, in, begin, &first, &end);
        float *memory = (float *)syn_memory(call, &op->in[3], syn_slot(call, in, begin));  /* (K - 1, C) */
        for (uint32_t row = begin; row < end; row++) {
            const float *from[MOST_TAPS];
            for (uint32_t k = 0; k < taps; k++) {
                uint32_t place = row - begin + k;  /* in memory, then this run's rows */
                from[k] = place < kept ? memory + (size_t)place * cols : x + (size_t)(begin + place - kept) * cols;
            }
            float *to = y + (size_t)row * cols;
            if (taps == 4) filter(to, from, w, bias, 4, gated, lo, hi);
            else filter(to, from, w, bias, taps, gated, lo, hi);
        }
        for (uint32_t k = 0; k < kept; k++) {  /* what moves down lies above: a run has a row at least */
            uint32_t place = end - begin + k;
            const float *from =
                place < kept ? memory + (size_t)place * cols : x + (size_t)(begin + place - kept) * cols;
            for (uint32_t i = lo; i < hi; i += SYN_LANES)
                syn_v_store_part(memory + (size_t)k * cols + i, syn_v_load_part(from + i, hi - i), hi - i);
        }
    }
}

const syn_kernel syn_kernel_mamba_conv1d_causal = {SYN_ABI, "mamba.conv1d_causal", check, scratch_bytes, run};
