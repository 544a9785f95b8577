/* Rows of a table: embedding (by id) and add_positions (by position). */
#include "../syn_kernel.h"

enum { BAD_OPERANDS = 1, BAD_IDS = 2, BAD_TABLE = 3, BAD_OUTPUT = 4, BAD_ROWS = 5, TABLE_TOO_SHORT = 6 };

static int embedding_check(const syn_op *op) {
    const syn_operand *ids = &op->in[0], *table = &op->in[1], *y = &op->out[0];
    if (op->inputs != 2 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_index(ids)) return BAD_IDS;
    if (!syn_is_matrix(table, y->cols)) return BAD_TABLE;
    if (!syn_is_tensor(y, table->cols)) return BAD_OUTPUT;
    if (!syn_same_rows(ids, y)) return BAD_ROWS;
    if (ids->limit == 0 || ids->limit > table->rows) return TABLE_TOO_SHORT;
    return 0;
}

/* ids (T), table (V, C) → y (T, C) */
static void embedding_run(const syn_op *op, const syn_call *call) {
    const syn_operand *table = &op->in[1];
    const int32_t *ids = (const int32_t *)(const void *)op->in[0].data;
    float *y = (float *)(void *)op->out[0].data, factor = syn_attribute_f32(op, 0);
    uint32_t cols = table->cols, lo, hi;
    syn_share(call, op->out[0].rows, &lo, &hi);
    for (uint32_t t = lo; t < hi; t++) {
        float *row = y + (size_t)t * cols;
        syn_decode_row(row, table, (uint32_t)ids[t]);
        for (uint32_t i = 0; i < cols; i++) row[i] *= factor;
    }
}

static int add_positions_check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *table = &op->in[1], *y = &op->out[0];
    if (op->inputs != 2 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_matrix(table, x->cols)) return BAD_TABLE;
    if (!syn_is_tensor(x, table->cols) || !syn_is_tensor(y, table->cols)) return BAD_OUTPUT;
    if (!syn_same_rows(x, y) || syn_position_limit(x) == 0) return BAD_ROWS;
    if ((uint64_t)syn_position_limit(x) + op->attributes[0] > table->rows) return TABLE_TOO_SHORT;
    return 0;
}

/* x (T, C), table (P, C) → y (T, C) */
static void add_positions_run(const syn_op *op, const syn_call *call) {
    const syn_operand *x = &op->in[0], *table = &op->in[1];
    const float *from = (const float *)(const void *)x->data;
    float *y = (float *)(void *)op->out[0].data;
    uint32_t cols = x->cols, lo, hi;
    syn_share(call, x->rows, &lo, &hi);
    for (uint32_t t = lo; t < hi; t++) {
        float *row = y + (size_t)t * cols;
        syn_decode_row(row, table, syn_position(call, x, t) + op->attributes[0]);
        for (uint32_t i = 0; i < cols; i++) row[i] = from[(size_t)t * cols + i] + row[i];
    }
}

static uint64_t no_scratch(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

extern const syn_kernel syn_kernel_embedding, syn_kernel_add_positions;
const syn_kernel syn_kernel_embedding = {
    SYN_ABI, "embedding", embedding_check, no_scratch, embedding_run};
const syn_kernel syn_kernel_add_positions = {
    SYN_ABI, "add_positions", add_positions_check, no_scratch, add_positions_run};
