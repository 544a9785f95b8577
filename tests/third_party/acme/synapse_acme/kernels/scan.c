/* acme.scan: s = decay · s + x, column by column; one number of memory a column.
 *
 * inputs: x (T, C), decay (1, C) f32, a recurrent state of C numbers; output: y (T, C).
 */
#include "syn_kernel.h"
#include "syn_simd.h"

static int check(const syn_op *op) {
    if (op->inputs != 3 || op->outputs != 1) return 1;
    const syn_operand *x = &op->in[0], *decay = &op->in[1], *state = &op->in[2], *y = &op->out[0];
    if (!syn_is_tensor(x, x->cols) || !syn_is_tensor(y, x->cols) || !syn_same_rows(x, y)) return 2;
    if (!syn_is_vector(decay, x->cols)) return 3;
    if (state->kind != SYN_STATE || state->state_kind != SYN_STATE_RECURRENT) return 4;
    if (state->dtype != SYN_F32 || state->cols < x->cols) return 5;
    return syn_is_derived(x) || !(x->flags & SYN_SPACE_ROWS) ? 6 : 0;
}

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

/* Columns are independent: each thread walks all rows over its own. */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *in = &op->in[0], *state = &op->in[2];
    const float *x = (const float *)in->data;
    const uint8_t *decay = op->in[1].data;
    float *y = (float *)op->out[0].data;
    uint32_t cols = in->cols, lo, hi;
    syn_share(call, cols, &lo, &hi);
    for (uint32_t row = 0; row < in->rows; row++) {
        float *memory = (float *)syn_memory(call, state, syn_slot(call, in, row));
        for (uint32_t i = lo; i < hi; i += SYN_LANES) {
            syn_vf kept = syn_v_load_part(memory + i, hi - i);
            syn_vf next = syn_v_load_part(decay + 4 * (size_t)i, hi - i) * kept
                        + syn_v_load_part(x + (size_t)row * cols + i, hi - i);
            syn_v_store_part(memory + i, next, hi - i);
            syn_v_store_part(y + (size_t)row * cols + i, next, hi - i);
        }
    }
}

const syn_kernel syn_kernel_acme_scan = {SYN_ABI, "acme.scan", check, scratch_bytes, run};
