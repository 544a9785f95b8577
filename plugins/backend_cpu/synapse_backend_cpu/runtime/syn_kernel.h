/* What a kernel's file includes: the contract (syn.h), math (syn_math.h), formats (syn_formats.h), helpers.
 *
 * A kernel is one `const syn_kernel syn_kernel_<name>`; see docs/decisions/0004-kernel-contract.md.
 * `check` refuses what `run` could not do safely; `run` is called by every thread at once, and may
 * read and write nothing but its operands, its share of scratch, and its slots' states.
 */
#ifndef SYN_KERNEL_H
#define SYN_KERNEL_H

#include "syn.h"
#include "syn_formats.h"
#include "syn_math.h"

/* ---- check: what an operand is ---- */

/* Is `o` a float32 tensor of `cols` columns, of a size that 32-bit arithmetic can count? */
static inline int syn_is_tensor(const syn_operand *o, uint32_t cols) {
    return o->kind == SYN_TENSOR && o->dtype == SYN_F32 && o->cols == cols && cols > 0
        && (uint64_t)o->rows * cols <= 0x3fffffffu;
}

/* Is `o` a column of i32, such as ids or row numbers? */
static inline int syn_is_index(const syn_operand *o) {
    return o->kind == SYN_TENSOR && o->dtype == SYN_I32 && o->cols == 1 && o->rows <= 0x3fffffffu;
}

/* Is `o` a weight of `cols` columns in a format that syn_decode_row reads? */
static inline int syn_is_matrix(const syn_operand *o, uint32_t cols) {
    return o->kind == SYN_WEIGHT && o->cols == cols && cols > 0 && o->rows > 0
        && o->row_bytes && o->row_bytes == syn_row_bytes(o->dtype, cols);
}

/* Is `o` a float32 weight of one row and `cols` columns? */
static inline int syn_is_vector(const syn_operand *o, uint32_t cols) {
    return syn_is_matrix(o, cols) && o->dtype == SYN_F32 && o->rows == 1;
}

static inline int syn_is_vector_or_none(const syn_operand *o, uint32_t cols) {
    return o->kind == SYN_NONE || syn_is_vector(o, cols);
}

static inline int syn_is_derived(const syn_operand *o) { return o->space != o->base; }

/* Do two tensors have the same rows, with the same slots and positions? Groups of one row are as
 * many as the rows of their base, but count their slots from zero. */
static inline int syn_same_rows(const syn_operand *a, const syn_operand *b) {
    return a->base == b->base && a->multiple == b->multiple && a->rows == b->rows
        && syn_is_derived(a) == syn_is_derived(b);
}

/* Positions of a tensor's rows are below this; 0 when its rows have none. */
static inline uint32_t syn_position_limit(const syn_operand *o) {
    if (syn_is_derived(o)) return o->multiple;
    return o->flags & SYN_SPACE_ROWS ? o->max_position : 0;
}

static inline float syn_attribute_f32(const syn_op *op, uint32_t index) {
    return syn_float(op->attributes[index]);
}

/* ---- run: work, threads, scratch ---- */

/* This thread's part [lo, hi) of `count` things. */
static inline void syn_share(const syn_call *call, uint32_t count, uint32_t *lo, uint32_t *hi) {
    uint32_t each = count / call->threads, rest = count % call->threads, t = call->thread;
    *lo = t * each + (t < rest ? t : rest);
    *hi = *lo + each + (t < rest);
}

/* Wait for all threads of the call. Every thread must come here equally often. */
static inline void syn_barrier(const syn_call *call) {
    if (call->barrier) call->barrier(call->barrier_context);
}

/* Bytes rounded up to whole cache lines. */
static inline uint64_t syn_aligned(uint64_t bytes) { return (bytes + 63) & ~(uint64_t)63; }

/* ---- run: rows, slots, states ---- */

/* The slot of row `row`: in a derived space the number of its group. */
static inline uint32_t syn_slot(const syn_call *call, const syn_operand *o, uint32_t row) {
    return syn_is_derived(o) ? row / o->multiple : call->rows[o->base].slot[row];
}

/* The position of row `row`: in a derived space its index in the group. */
static inline uint32_t syn_position(const syn_call *call, const syn_operand *o, uint32_t row) {
    return syn_is_derived(o) ? row % o->multiple : call->rows[o->base].position[row];
}

/* The rows [first, end) of the same slot around row `row`. */
static inline void syn_run_of(const syn_call *call, const syn_operand *o, uint32_t row,
                              uint32_t *first, uint32_t *end) {
    if (syn_is_derived(o)) {
        *first = row - row % o->multiple;
        *end = *first + o->multiple;
        return;
    }
    const uint32_t *slot = call->rows[o->base].slot;
    uint32_t a = row, b = row + 1;
    while (a > 0 && slot[a - 1] == slot[row]) a--;
    while (b < o->rows && slot[b] == slot[row]) b++;
    *first = a;
    *end = b;
}

/* A slot's recurrent memory: (width) numbers of the state's dtype, zero at position 0. */
static inline uint8_t *syn_memory(const syn_call *call, const syn_operand *state, uint32_t slot) {
    return call->slots + (size_t)slot * (size_t)state->slot_bytes + (size_t)state->offset;
}

/* The part of a slot's KV page that holds `position`: the k of 64 positions, then their v, in the state's
 * dtype; of each the rows of the first head, then those of the next. NULL where the host gave no page, as behind
 * a window. */
static inline uint8_t *syn_kv_page(const syn_call *call, const syn_operand *state, uint32_t slot,
                                   uint32_t position) {
    const syn_pages *pages = &call->pages[state->group];
    uint32_t entry = position / SYN_PAGE_ROWS;
    if (entry >= pages->per_slot) return NULL;
    uint32_t page = pages->table[(size_t)slot * pages->per_slot + entry];
    if (page >= pages->pages) return NULL;
    return pages->pool + (size_t)page * (size_t)state->page_bytes + (size_t)state->offset;
}

/* Numbers of a head of a state's k and v: rows of so many lie one behind the other. */
static inline uint32_t syn_head(const syn_operand *state) { return state->head ? state->head : state->cols; }

/* Where number `column` of a position's k lies in its page, and of its v; those of its head lie behind it. */
static inline uint8_t *syn_kv_key(const syn_operand *state, uint8_t *page, uint32_t position, uint32_t column) {
    uint32_t head = syn_head(state), row = column / head * SYN_PAGE_ROWS + position % SYN_PAGE_ROWS;
    return page + row * syn_state_bytes(state->dtype, head) + syn_state_bytes(state->dtype, column % head);
}

static inline uint8_t *syn_kv_value(const syn_operand *state, uint8_t *page, uint32_t position, uint32_t column) {
    size_t keys = SYN_PAGE_ROWS * syn_state_bytes(state->dtype, state->cols);
    return syn_kv_key(state, page + keys, position, column);
}

/* ---- run: numbers ---- */

/* 32 numbers → a block of q8_0: a float16 scale max |x| / 127, codes rounded with halves away from zero. */
static inline void syn_encode_q8_0(uint8_t *block, const float *x) {
    float most = 0.0f;
    for (uint32_t i = 0; i < 32; i++) {
        float size = x[i] < 0.0f ? -x[i] : x[i];
        most = size > most ? size : most;
    }
    float scale = most / 127.0f, inverse = scale == 0.0f ? 0.0f : 1.0f / scale;
    *(syn_loose_u16 *)(void *)block = syn_to_f16(scale);
    for (uint32_t i = 0; i < 32; i++) {
        float number = x[i] * inverse;
        number = number > 127.0f ? 127.0f : number >= -127.0f ? number : number < -127.0f ? -127.0f : 0.0f;
        int32_t whole = (int32_t)number;
        float rest = number - (float)whole;
        block[2 + i] = (uint8_t)(whole + (rest >= 0.5f) - (rest <= -0.5f));
    }
}

/* n float32 numbers from and to f32, f16, bf16 or q8_0. */
static inline void syn_decode(float *y, const void *x, uint32_t dtype, uint32_t n) {
    const syn_loose_u16 *half = x;
    if (dtype == SYN_F32) __builtin_memcpy(y, x, (size_t)n * 4);
    else if (dtype == SYN_Q8_0) syn_decode_blocks(y, dtype, x, n);
    else if (dtype == SYN_F16) for (uint32_t i = 0; i < n; i++) y[i] = syn_from_f16(half[i]);
    else for (uint32_t i = 0; i < n; i++) y[i] = syn_from_bf16(half[i]);
}

static inline void syn_encode(void *y, const float *x, uint32_t dtype, uint32_t n) {
    syn_loose_u16 *half = y;
    if (dtype == SYN_F32) __builtin_memcpy(y, x, (size_t)n * 4);
    else if (dtype == SYN_Q8_0) for (uint32_t i = 0; i < n; i += 32) syn_encode_q8_0((uint8_t *)y + i / 32 * 34, x + i);
    else if (dtype == SYN_F16) for (uint32_t i = 0; i < n; i++) half[i] = syn_to_f16(x[i]);
    else for (uint32_t i = 0; i < n; i++) half[i] = syn_to_bf16(x[i]);
}

static inline const uint8_t *syn_weight_row(const syn_operand *weight, uint32_t row) {
    return weight->data + (size_t)row * weight->row_bytes;
}

/* One row of a weight as float32 numbers. y (cols) */
static inline void syn_decode_row(float *y, const syn_operand *weight, uint32_t row) {
    const uint8_t *from = syn_weight_row(weight, row);
    if (weight->dtype == SYN_INT8) {
        float scale = *(const syn_loose_f32 *)(const void *)from;
        const int8_t *code = (const int8_t *)from + 4;
        for (uint32_t i = 0; i < weight->cols; i++) y[i] = scale * (float)code[i];
    } else if (syn_block_format_of(weight->dtype).columns) {
        syn_decode_blocks(y, weight->dtype, from, weight->cols);
    } else {
        syn_decode(y, from, weight->dtype, weight->cols);
    }
}

/* The order of every float sum over columns: number i goes to lane i % 8, then this tree. */
static inline float syn_sum_lanes(const float lane[8]) {
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* Σ a·b over n columns. */
static inline float syn_dot(const float *a, const float *b, uint32_t n) {
    float lane[8] = {0};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t j = 0; j < 8; j++) lane[j] += a[i + j] * b[i + j];
    for (uint32_t j = 0; i + j < n; j++) lane[j] += a[i + j] * b[i + j];
    return syn_sum_lanes(lane);
}

/* Σ x over n columns. */
static inline float syn_sum(const float *x, uint32_t n) {
    float lane[8] = {0};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t j = 0; j < 8; j++) lane[j] += x[i + j];
    for (uint32_t j = 0; i + j < n; j++) lane[j] += x[i + j];
    return syn_sum_lanes(lane);
}

#endif
