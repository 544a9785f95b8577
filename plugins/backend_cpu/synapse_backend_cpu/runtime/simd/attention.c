/* attention on vectors; what it computes stands in kernels/attention.c and attention.h.
 *
 * Some rows of one slot, times the heads that share a kv head, are taken together: up to 48 queries.
 * Keys come in panels of 32, taken apart once for all of them, their numbers turned so that a vector
 * holds a column of as many keys as it has lanes; values are read as they lie. Keys that only some of the rows see are
 * scored for all and masked; their values are added by themselves, so that no row is touched by what
 * it does not see.
 *
 * Order: scores by columns in rising order; a piece's sum with key j in lane j % 16; values by keys in
 * rising order.
 */
#include "../kernels/attention.h"
#include "tile_f32.h"

enum { QUERIES = 48 };

/* A thread's room. */
typedef struct {
    float *panel;   /* (D + 8, 32) of keys */
    float *q;       /* tiles of (D, T): the queries, up to twelve side by side */
    float *score;   /* (n, 256) */
    float *product; /* (n, 32) */
    float *sum;     /* (n, D) of a piece */
    float *all;     /* (n, D) of the pieces so far */
} room;

static size_t room_floats(uint32_t dim) {
    size_t each = (size_t)3 * (dim + GROUP_ROWS) + PIECE + PANEL_ROWS;
    return (size_t)(dim + 8) * PANEL_ROWS + QUERIES * each;
}

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    return threads * syn_aligned(room_floats(op->attributes[HEAD_DIM]) * 4);
}

static room room_at(float *at, uint32_t dim) {
    room r;
    r.panel = at;
    r.score = r.panel + (size_t)(dim + 8) * PANEL_ROWS;
    r.product = r.score + (size_t)QUERIES * PIECE;
    r.q = r.product + (size_t)QUERIES * PANEL_ROWS;
    r.sum = r.q + (size_t)QUERIES * (dim + GROUP_ROWS);
    r.all = r.sum + (size_t)QUERIES * (dim + GROUP_ROWS);
    return r;
}

/* Rows of one slot and the heads of one kv head: n = rows · heads queries. */
typedef struct {
    const syn_op *op;
    const syn_call *call;
    const syn_operand *state;       /* NULL: keys are rows of k and v */
    uint32_t first_row, slot;       /* row of key 0 without a state */
    uint32_t row, rows, head, heads, kv_head, n;
    uint32_t begin[QUERIES], end[QUERIES];  /* the keys that each row sees */
    uint32_t dim;
    float scale, cap;
} block;

/* Keys or values [j, …) that lie one behind the other. */
typedef struct { const uint8_t *data; size_t row_bytes; uint32_t dtype, count; } stretch;

static stretch stretch_at(const block *b, uint32_t j, uint32_t end, int value) {
    size_t column = (size_t)b->kv_head * b->dim;
    stretch s = {NULL, 0, SYN_F32, end - j};
    if (!b->state) {
        const syn_operand *rows = &b->op->in[value ? 2 : 1];
        s.row_bytes = (size_t)rows->cols * 4;
        s.data = rows->data + ((size_t)b->first_row + j) * s.row_bytes + column * 4;
        return s;
    }
    uint32_t left = SYN_PAGE_ROWS - j % SYN_PAGE_ROWS;
    uint8_t *page = syn_kv_page(b->call, b->state, b->slot, j);
    if (s.count > left) s.count = left;
    s.dtype = b->state->dtype;
    s.row_bytes = (size_t)b->state->cols * syn_state_size(s.dtype);
    if (page) {
        page = value ? syn_kv_value(b->state, page, j) : syn_kv_key(b->state, page, j);
        s.data = page + column * syn_state_size(s.dtype);
    }
    return s;
}

static syn_vf cap_scores(syn_vf x, float cap) {
    for (uint32_t i = 0; i < SYN_LANES; i++) x[i] = cap * syn_tanh(x[i] / cap);
    return x;
}

/* All ones in the lanes of the keys [from, to), lane 0 being key `first`. */
SYN_INLINE syn_vi keys_between(uint32_t first, uint32_t from, uint32_t to) {
    syn_vi key = syn_v_index((int32_t)first);
    return (key >= (int32_t)from) & (key < (int32_t)to);
}

/* Queries in the tile that begins at query i. */
static uint32_t tile_queries(uint32_t n, uint32_t i) { return n - i < TILE_MOST ? n - i : TILE_MOST; }

/* Scores of all queries for the keys [from, end) of a piece → score (n, 256), -inf where a row does
 * not see. */
static void score_piece(const block *b, const room *r, uint32_t from, uint32_t end) {
    uint32_t base = from - from % PIECE;
    /* panels begin at multiples of 32 from the piece's first key: they never cross a page */
    for (uint32_t j = from, stop; j < end; j = stop) {
        stop = j - j % PANEL_ROWS + PANEL_ROWS < end ? j - j % PANEL_ROWS + PANEL_ROWS : end;
        stretch keys = stretch_at(b, j, stop, 0);
        if (keys.data) {
            syn_rows16 low = rows_at(keys.data, keys.row_bytes, 0, keys.count);
            syn_rows16 high = rows_at(keys.data, keys.row_bytes, GROUP_ROWS, keys.count);
            expand_floats(r->panel, 0, &low, keys.dtype, 0, b->dim);
            if (keys.count > GROUP_ROWS) expand_floats(r->panel, 1, &high, keys.dtype, 0, b->dim);
            __builtin_memset(r->product, 0, (size_t)b->n * PANEL_ROWS * 4);
            for (uint32_t i = 0; i < b->n; i += TILE_MOST)
                multiply_f32(r->product + (size_t)i * PANEL_ROWS, r->panel, r->q + (size_t)i * b->dim, b->dim,
                             tile_queries(b->n, i));
        }
        for (uint32_t i = 0; i < b->n; i++) {
            uint32_t row = i / b->heads;
            for (uint32_t at = j; at < stop; at += SYN_LANES) {
                syn_vi seen = keys_between(at, b->begin[row], b->end[row]);
                if (!keys.data) seen = syn_vi_set(0);
                syn_vf x = syn_v_load(r->product + (size_t)i * PANEL_ROWS + (at - j)) * b->scale;
                if (b->cap > 0.0f) x = cap_scores(x, b->cap);
                x = syn_v_select(seen, x, syn_v_set(-__builtin_inff()));
                syn_v_store_part(r->score + (size_t)i * PIECE + (at - base), x, stop - at);
            }
        }
    }
}

/* Of one query: the largest score, and Σ e^(score - most). */
typedef struct { float most, total; } softmax;

/* score [from, to) of a piece → e^(score - its maximum); keys count by their place in the piece. */
static softmax soften_piece(float *score, uint32_t from, uint32_t to) {
    const syn_vf low = syn_v_set(-__builtin_inff());
    syn_vf top = low, sum[VECTORS] = {0};
    uint32_t first = from - from % GROUP_ROWS;
    for (uint32_t j = first; j < to; j += SYN_LANES)
        top = syn_v_max(syn_v_select(keys_between(j, from, to), syn_v_load(score + j), low), top);
    float most = syn_v_top(top);
    for (uint32_t j = first; j < to; j += SYN_LANES) {
        syn_vi there = keys_between(j, from, to);
        syn_vf x = syn_v_load(score + j), e = syn_v_exp(x - most);
        syn_v_store(score + j, syn_v_select(there, e, x));
        sum[j / SYN_LANES % VECTORS] += (syn_vf)(there & (syn_vi)e);
    }
    for (uint32_t v = VECTORS / 2; v > 0; v /= 2)
        for (uint32_t i = 0; i < v; i++) sum[i] += sum[i + v];
    return (softmax){most, syn_v_sum(sum[0])};
}

/* `count` numbers of a value, at most SYN_LANES. */
SYN_INLINE syn_vf value_lanes(const uint8_t *at, uint32_t dtype, uint32_t column, uint32_t count) {
    uint16_t half[SYN_LANES] = {0};
    if (dtype == SYN_F32) return syn_v_load_part(at + (size_t)column * 4, count);
    at += (size_t)column * 2;
    if (count < SYN_LANES) {
        __builtin_memcpy(half, at, (size_t)count * 2);
        at = (const uint8_t *)half;
    }
    return dtype == SYN_F16 ? syn_v_from_f16(at) : syn_v_from_bf16(at);
}

/* Columns [column, column + a step) of sum (n, D) += weights (n, 256, from `place` on) · values of a stretch. */
SYN_INLINE void weigh_columns(float *sum, const float *weight, const stretch *v, uint32_t column, uint32_t dim,
                              uint32_t dtype, int whole, uint32_t n) {
    syn_vf total[TILE_MOST][FLOAT_VECTORS];
    uint32_t count[FLOAT_VECTORS];
    for (uint32_t h = 0; h < FLOAT_VECTORS; h++) {
        uint32_t at = column + h * SYN_LANES;
        count[h] = whole ? SYN_LANES : at >= dim ? 0 : dim - at < SYN_LANES ? dim - at : SYN_LANES;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t h = 0; h < FLOAT_VECTORS; h++)
            total[i][h] = syn_v_load_part(sum + (size_t)i * dim + column + h * SYN_LANES, count[h]);
    for (uint32_t j = 0; j < v->count; j++) {
        const uint8_t *at = v->data + j * v->row_bytes;
        syn_vf number[FLOAT_VECTORS];
        for (uint32_t h = 0; h < FLOAT_VECTORS; h++)
            number[h] = value_lanes(at, dtype, column + h * SYN_LANES, count[h]);
#pragma clang loop unroll(full)
        for (uint32_t i = 0; i < n; i++) {
            syn_vf w = syn_v_set(weight[(size_t)i * PIECE + j]);
            for (uint32_t h = 0; h < FLOAT_VECTORS; h++) total[i][h] = syn_v_fma(w, number[h], total[i][h]);
        }
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t h = 0; h < FLOAT_VECTORS; h++)
            syn_v_store_part(sum + (size_t)i * dim + column + h * SYN_LANES, total[i][h], count[h]);
}

SYN_INLINE void weigh_queries(float *sum, const float *weight, const stretch *v, uint32_t dim, uint32_t n) {
    enum { STEP = FLOAT_VECTORS * SYN_LANES };
    uint32_t whole = dim - dim % STEP, column = 0;
    for (; column < whole; column += STEP) {
        if (v->dtype == SYN_F32) weigh_columns(sum, weight, v, column, dim, SYN_F32, 1, n);
        else if (v->dtype == SYN_F16) weigh_columns(sum, weight, v, column, dim, SYN_F16, 1, n);
        else weigh_columns(sum, weight, v, column, dim, SYN_BF16, 1, n);
    }
    if (column < dim) weigh_columns(sum, weight, v, column, dim, v->dtype, 0, n);
}

/* Values of a stretch for queries [first, first + n). */
static void weigh(const room *r, uint32_t first, uint32_t n, uint32_t place, const stretch *v, uint32_t dim) {
    float *sum = r->sum + (size_t)first * dim;
    const float *weight = r->score + (size_t)first * PIECE + place;
#define WEIGH(queries) weigh_queries(sum, weight, v, dim, queries)
    SYN_FOR_MOST(n, WEIGH)
#undef WEIGH
}

/* sum (n, D) += weights · values of the keys [from, end), for rows [first, last) of the block. */
static void weigh_keys(const block *b, const room *r, uint32_t from, uint32_t end, uint32_t first, uint32_t last) {
    for (uint32_t j = from; j < end;) {
        stretch v = stretch_at(b, j, end, 1);
        for (uint32_t i = first * b->heads; v.data && i < last * b->heads; i += TILE_MOST)
            weigh(r, i, tile_queries(last * b->heads, i), j % PIECE, &v, b->dim);
        j += v.count;
    }
}

/* Values of a piece's keys [from, end): those that every row sees together, the others row by row, in
 * rising order. */
static void weigh_piece(const block *b, const room *r, uint32_t from, uint32_t end) {
    uint32_t common = from, until = end;
    __builtin_memset(r->sum, 0, (size_t)b->n * b->dim * 4);
    for (uint32_t row = 0; row < b->rows; row++) {
        if (b->begin[row] > common) common = b->begin[row];
        if (b->end[row] < until) until = b->end[row];
    }
    if (common > until) common = until = common < end ? common : end;
    for (uint32_t row = 0; row < b->rows; row++) {
        uint32_t begin = b->begin[row] > from ? b->begin[row] : from;
        uint32_t stop = b->end[row] < common ? b->end[row] : common;
        weigh_keys(b, r, begin, stop, row, row + 1);
    }
    weigh_keys(b, r, common, until, 0, b->rows);
    for (uint32_t row = 0; row < b->rows; row++) {
        uint32_t begin = b->begin[row] > until ? b->begin[row] : until;
        uint32_t stop = b->end[row] < end ? b->end[row] : end;
        weigh_keys(b, r, begin, stop, row, row + 1);
    }
}

/* Add a piece of one query to the pieces before it. all, sum (D) */
static void merge_piece(float *all, softmax *before, const float *sum, softmax piece, uint32_t dim) {
    float top = syn_max(piece.most, before->most);
    float old = syn_exp(before->most - top), new = syn_exp(piece.most - top);
    for (uint32_t i = 0; i < dim; i++) all[i] = all[i] * old + sum[i] * new;
    before->total = before->total * old + piece.total * new;
    before->most = top;
}

/* The pieces of a block's rows; y (T, H·D). */
static void attend(const block *b, const room *r, float *y, const float *q, uint32_t width) {
    softmax before[QUERIES];
    uint32_t begin = b->begin[0], end = b->end[b->rows - 1];
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t head = b->head + i % b->heads;
        const float *from = q + (size_t)(b->row + i / b->heads) * width + (size_t)head * b->dim;
        uint32_t tile = i - i % TILE_MOST;
        pack_row(r->q + (size_t)tile * b->dim, i - tile, tile_queries(b->n, tile), from, b->dim, 0);
        before[i] = (softmax){-__builtin_inff(), 0.0f};
    }
    __builtin_memset(r->all, 0, (size_t)b->n * b->dim * 4);
    for (uint32_t from = begin, stop; from < end; from = stop) {
        stop = from - from % PIECE + PIECE < end ? from - from % PIECE + PIECE : end;
        score_piece(b, r, from, stop);
        softmax piece[QUERIES];
        for (uint32_t i = 0; i < b->n; i++)
            piece[i] = soften_piece(r->score + (size_t)i * PIECE, from % PIECE, from % PIECE + (stop - from));
        weigh_piece(b, r, from, stop);
        for (uint32_t i = 0; i < b->n; i++) {
            uint32_t row = i / b->heads;
            if (b->begin[row] >= stop || b->end[row] <= from) continue;  /* it sees none of the piece */
            merge_piece(r->all + (size_t)i * b->dim, &before[i], r->sum + (size_t)i * b->dim, piece[i], b->dim);
        }
    }
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t head = b->head + i % b->heads;
        float *to = y + (size_t)(b->row + i / b->heads) * width + (size_t)head * b->dim;
        for (uint32_t d = 0; d < b->dim; d++) to[d] = r->all[(size_t)i * b->dim + d] / before[i].total;
    }
}

/* The keys that a row sees, counted from the first of its slot in the call or from position 0. */
static void find_keys(block *b, uint32_t row, uint32_t run_end) {
    const syn_operand *q = &b->op->in[0];
    uint32_t mask = b->op->attributes[MASK], window = b->op->attributes[WINDOW];
    uint32_t last = mask == FULL ? run_end - 1 : row, at = row - b->row;
    b->end[at] = b->state ? syn_position(b->call, q, last) + 1 : last - b->first_row + 1;
    b->begin[at] = mask == WINDOWED && b->end[at] > window ? b->end[at] - window : 0;
}

/* q (T, H·D), k, v (T, G·D) → y (T, H·D); threads take blocks in turn */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *q = &op->in[0];
    const uint32_t *a = op->attributes;
    uint32_t group = a[HEADS] / a[KV_HEADS], number = 0;
    block b = {.op = op, .call = call, .dim = a[HEAD_DIM], .scale = syn_attribute_f32(op, SCALE),
               .cap = syn_attribute_f32(op, SOFTCAP)};
    size_t bytes = (size_t)syn_aligned(room_floats(b.dim) * 4);
    room r = room_at((float *)(void *)(call->scratch + call->thread * bytes), b.dim);
    if (op->inputs == 4 && op->in[3].kind != SYN_NONE) {
        b.state = &op->in[3];
        store_keys(op, call);
        syn_barrier(call);
    }
    b.heads = group < TILE_MOST ? group : TILE_MOST;
    uint32_t most = QUERIES / b.heads, end = 0;
    for (uint32_t row = 0; row < q->rows; row += b.rows) {
        if (row >= end) syn_run_of(call, q, row, &b.first_row, &end);
        b.row = row;
        b.rows = end - row < most ? end - row : most;
        b.slot = syn_slot(call, q, row);
        for (uint32_t i = 0; i < b.rows; i++) find_keys(&b, row + i, end);
        for (uint32_t kv = 0; kv < a[KV_HEADS]; kv++)
            for (uint32_t first = 0; first < group; first += b.heads) {
                uint32_t heads = b.heads;
                if (number++ % call->threads != call->thread) continue;
                b.kv_head = kv;
                b.head = kv * group + first;
                if (group - first < heads) heads = group - first;
                block part = b;
                part.heads = heads;
                part.n = b.rows * heads;
                attend(&part, &r, (float *)(void *)op->out[0].data, (const float *)(const void *)q->data, q->cols);
            }
    }
}

extern const syn_kernel syn_kernel_attention;
const syn_kernel syn_kernel_attention = {SYN_ABI, "attention", attention_check, scratch_bytes, run};
