/* rwkv.token_shift: y = x + (previous - x) · mu, for each of up to six mu.
 *
 * inputs: x (T, C), a recurrent state of C numbers: the slot's last row; mu (1, C) f32 for each
 * output; outputs: y (T, C).
 */
#include "syn_kernel.h"
#include "syn_simd.h"

enum { MOST_SHIFTS = 6 };
enum { BAD_OPERANDS = 1, BAD_X = 2, BAD_STATE = 3, BAD_MU = 4, BAD_OUTPUT = 5, BAD_ROWS = 6 };

static int check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *state = &op->in[1];
    if (op->outputs < 1 || op->outputs > MOST_SHIFTS || op->inputs != op->outputs + 2) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (state->kind != SYN_STATE || state->state_kind != SYN_STATE_RECURRENT) return BAD_STATE;
    if (state->dtype != SYN_F32 || state->cols != x->cols) return BAD_STATE;
    for (uint32_t i = 0; i < op->outputs; i++) {
        if (!syn_is_vector(&op->in[2 + i], x->cols)) return BAD_MU;
        if (!syn_is_tensor(&op->out[i], x->cols)) return BAD_OUTPUT;
        if (!syn_same_rows(x, &op->out[i])) return BAD_ROWS;
    }
    return syn_is_derived(x) || !(x->flags & SYN_SPACE_ROWS) ? BAD_ROWS : 0;
}

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

/* Columns are independent: each thread walks all rows over its own, so that a slot's state has one
 * reader and writer. */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *in = &op->in[0];
    const float *x = (const float *)(const void *)in->data;
    uint32_t cols = in->cols, lo, hi;
    syn_share(call, (cols + SYN_LANES - 1) / SYN_LANES, &lo, &hi);
    lo *= SYN_LANES;
    hi = hi * SYN_LANES < cols ? hi * SYN_LANES : cols;
    if (lo >= hi) return;
    for (uint32_t row = 0; row < in->rows; row++) {
        uint32_t slot = syn_slot(call, in, row);
        float *memory = (float *)(void *)syn_memory(call, &op->in[1], slot);
        int begins = row == 0 || syn_slot(call, in, row - 1) != slot;
        int ends = row + 1 == in->rows || syn_slot(call, in, row + 1) != slot;
        const float *here = x + (size_t)row * cols, *before = begins ? memory : here - cols;
        for (uint32_t i = lo; i < hi; i += SYN_LANES) {
            syn_vf now = syn_v_load_part(here + i, hi - i), delta = syn_v_load_part(before + i, hi - i) - now;
            for (uint32_t n = 0; n < op->outputs; n++) {
                syn_vf mu = syn_v_load_part(op->in[2 + n].data + 4 * (size_t)i, hi - i);
                float *y = (float *)(void *)op->out[n].data + (size_t)row * cols;
                syn_v_store_part(y + i, now + delta * mu, hi - i);
            }
            if (ends) syn_v_store_part(memory + i, now, hi - i);
        }
    }
}

extern const syn_kernel syn_kernel_rwkv_token_shift;
const syn_kernel syn_kernel_rwkv_token_shift = {SYN_ABI, "rwkv.token_shift", check, scratch_bytes, run};
