/* What attention promises, whatever computes it: operands, what is refused, and how keys are stored. */
#ifndef SYN_ATTENTION_H
#define SYN_ATTENTION_H

#include "../syn_kernel.h"

enum { HEADS, KV_HEADS, HEAD_DIM, MASK, WINDOW, SCALE, SOFTCAP };
enum { CAUSAL, WINDOWED, FULL };
enum { PIECE = 256 };  /* keys that have a maximum and a sum of their own */
enum { BAD_OPERANDS = 1, BAD_HEADS = 2, BAD_Q = 3, BAD_K = 4, BAD_V = 5, BAD_OUTPUT = 6,
       BAD_ROWS = 7, BAD_MASK = 8, BAD_STATE = 9 };

/* Does the state hold 64 rows of k and v, `cols` numbers each, within its page? Heads lie within the state's,
 * blocks within heads. */
static inline int is_kv(const syn_operand *state, uint32_t cols, uint32_t head_dim) {
    if (state->kind != SYN_STATE || state->state_kind != SYN_STATE_KV) return 0;
    if (state->dtype == SYN_Q8_0 ? head_dim % 32 != 0
        : state->dtype != SYN_F32 && state->dtype != SYN_F16 && state->dtype != SYN_BF16) return 0;
    if (state->cols != cols || state->width_v != cols || state->group >= SYN_MAX_GROUPS) return 0;
    if (cols % syn_head(state) || syn_head(state) % head_dim) return 0;
    uint64_t need = (uint64_t)(2 * SYN_PAGE_ROWS) * syn_state_bytes(state->dtype, cols);
    return need <= state->bytes && state->bytes <= state->page_bytes
        && state->offset <= state->page_bytes - state->bytes && state->offset % 4 == 0;
}

static inline int attention_check(const syn_op *op) {
    const syn_operand *q = &op->in[0], *k = &op->in[1], *v = &op->in[2], *y = &op->out[0];
    const uint32_t *a = op->attributes;
    if (op->inputs < 3 || op->inputs > 4 || op->outputs != 1) return BAD_OPERANDS;
    if (a[HEADS] == 0 || a[KV_HEADS] == 0 || a[HEAD_DIM] == 0 || a[HEADS] % a[KV_HEADS])
        return BAD_HEADS;
    if ((uint64_t)a[HEADS] * a[HEAD_DIM] != q->cols) return BAD_HEADS;
    if ((uint64_t)a[KV_HEADS] * a[HEAD_DIM] != k->cols) return BAD_HEADS;
    if (!syn_is_tensor(q, q->cols)) return BAD_Q;
    if (!syn_is_tensor(k, k->cols)) return BAD_K;
    if (!syn_is_tensor(v, k->cols)) return BAD_V;
    if (!syn_is_tensor(y, q->cols)) return BAD_OUTPUT;
    if (!syn_same_rows(q, k) || !syn_same_rows(q, v) || !syn_same_rows(q, y)) return BAD_ROWS;
    if (syn_position_limit(q) == 0) return BAD_ROWS;
    if (a[MASK] > FULL || (a[MASK] == WINDOWED && a[WINDOW] == 0)) return BAD_MASK;
    if (op->inputs == 3 || op->in[3].kind == SYN_NONE) return 0;
    return is_kv(&op->in[3], k->cols, a[HEAD_DIM]) && !syn_is_derived(q) ? 0 : BAD_STATE;
}

/* Round this thread's share of the call's k and v into the pages. k, v (T, G·D) */
static inline void store_keys(const syn_op *op, const syn_call *call) {
    const syn_operand *k = &op->in[1], *state = &op->in[3];
    uint32_t cols = k->cols, head = syn_head(state), lo, hi;
    syn_share(call, k->rows, &lo, &hi);
    for (uint32_t t = lo; t < hi; t++) {
        uint32_t position = syn_position(call, k, t);
        uint8_t *page = syn_kv_page(call, state, syn_slot(call, k, t), position);
        if (!page) continue;
        const float *key = (const float *)(const void *)k->data + (size_t)t * cols;
        const float *value = (const float *)(const void *)op->in[2].data + (size_t)t * cols;
        for (uint32_t at = 0; at < cols; at += head) {
            syn_encode(syn_kv_key(state, page, position, at), key + at, state->dtype, head);
            syn_encode(syn_kv_value(state, page, position, at), value + at, state->dtype, head);
        }
    }
}

#endif
