/* attention on vectors; what it computes stands in kernels/attention.c and attention.h.
 *
 * Some rows of one slot, times the heads that share a kv head, are taken together: up to 48 queries.
 * Keys come in panels of 32, taken apart once for all of them, their numbers turned so that a vector
 * holds a column of as many keys as it has lanes; values are read as they lie. Keys that only some of the rows see are
 * scored for all and masked; their values are added by themselves, so that no row is touched by what
 * it does not see.
 *
 * Order: scores by columns in rising order; a piece's sum with key j in lane j % 16; values by keys in
 * rising order. Without a state, a row that sees few keys is done by itself, each score with column i in lane i % 16:
 * windows of a few rows, many side by side, would leave most of a panel empty.
 */
#include "../kernels/attention.h"
#include "tile_f32.h"

enum { QUERIES = 48 };

enum { FEW = 2 };  /* so few queries wait for memory, not for products */

enum { FEW_KEYS = 8 };  /* that a row without a panel sees, at the most */

/* Without a state and a mask, so many keys behind the last whole piece belong to it: a class token makes 257. */
enum { JOINED = 32, SCORES = PIECE + JOINED };

/* A thread's room. */
typedef struct {
    float *panel;   /* (D + 8, 32) of keys */
    float *decoded; /* (32, D): keys or values in blocks, as numbers */
    float *q;       /* tiles of (D, T): the queries, up to twelve side by side */
    float *score;   /* (n, 288), of a piece */
    float *product; /* (n, 32) */
    float *sum;     /* (n, D) of a piece */
    float *all;     /* (n, D) of the pieces so far */
} room;

static size_t room_floats(uint32_t dim) {
    size_t each = (size_t)3 * (dim + GROUP_ROWS) + SCORES + PANEL_ROWS;
    return (size_t)(2 * dim + 8) * PANEL_ROWS + QUERIES * each;
}

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    return threads * syn_aligned(room_floats(op->attributes[HEAD_DIM]) * 4);
}

static room room_at(float *at, uint32_t dim) {
    room r;
    r.panel = at;
    r.decoded = r.panel + (size_t)(dim + 8) * PANEL_ROWS;
    r.score = r.decoded + (size_t)dim * PANEL_ROWS;
    r.product = r.score + (size_t)QUERIES * SCORES;
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
typedef struct {
    const uint8_t *data;
    size_t row_bytes;
    uint32_t dtype, count;
    const uint8_t *next;  /* where those behind them lie; NULL: there are none, or it is not known */
} stretch;

static stretch stretch_at(const block *b, uint32_t j, uint32_t end, int value) {
    uint32_t column = b->kv_head * b->dim;
    stretch s = {NULL, 0, SYN_F32, end - j, NULL};
    if (!b->state) {
        const syn_operand *rows = &b->op->in[value ? 2 : 1];
        s.row_bytes = (size_t)rows->cols * 4;
        s.data = rows->data + ((size_t)b->first_row + j) * s.row_bytes + (size_t)column * 4;
        return s;
    }
    uint32_t left = SYN_PAGE_ROWS - j % SYN_PAGE_ROWS;
    uint8_t *page = syn_kv_page(b->call, b->state, b->slot, j);
    if (s.count > left) s.count = left;
    s.dtype = b->state->dtype;
    s.row_bytes = syn_state_bytes(s.dtype, syn_head(b->state));
    if (page) s.data = value ? syn_kv_value(b->state, page, j, column) : syn_kv_key(b->state, page, j, column);
    return s;
}

/* At most 32 rows of a stretch in blocks → the same as numbers; others as they are. dim columns */
static stretch as_numbers(const stretch *s, float *decoded, uint32_t dim) {
    if (s->dtype != SYN_Q8_0 || !s->data) return *s;
    for (uint32_t j = 0; j < s->count; j++) {
        const uint8_t *block = s->data + j * s->row_bytes;
        for (uint32_t i = 0; i < dim; i += 32, block += 34) {
            float scale = syn_half_at(block);
            for (uint32_t h = 0; h < 32; h += SYN_LANES) {
                syn_vb code;
                __builtin_memcpy(&code, block + 2 + h, sizeof code);
                syn_v_store(decoded + (size_t)j * dim + i + h, syn_v_of(__builtin_convertvector(code, syn_vi)) * scale);
            }
        }
    }
    return (stretch){(const uint8_t *)decoded, (size_t)dim * 4, SYN_F32, s->count, NULL};
}

/* All ones in the lanes of the keys [from, to), lane 0 being key `first`. */
SYN_INLINE syn_vi keys_between(uint32_t first, uint32_t from, uint32_t to) {
    syn_vi key = syn_v_index((int32_t)first);
    return (key >= (int32_t)from) & (key < (int32_t)to);
}

/* Queries in the tile that begins at query i. */
static uint32_t tile_queries(uint32_t n, uint32_t i) { return n - i < TILE_MOST ? n - i : TILE_MOST; }

/* 16 bytes at `at` of the keys of vector v → four vectors of 32 bits, lane = key. */
SYN_INLINE void take_keys(syn_vi to[4], const stretch *keys, uint32_t v, size_t at) {
    const uint8_t *from = keys->data + v * SYN_LANES * keys->row_bytes + at;
    size_t step = keys->row_bytes;
    syn_vi four[4];
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t q = 0; q < SYN_LANES / 4; q++)
            __builtin_memcpy((uint8_t *)&four[i] + 16 * q, from + (4 * q + i) * step, 16);
    turn_rows(to, four[0], four[1], four[2], four[3]);
}

/* Ask for a share of the next panel's rows, `bytes` each, in the order in which they lie; the shares of a panel
 * are as many as its rows have pieces of 16 bytes. */
SYN_INLINE void ask_for_panel(const stretch *keys, uint32_t share, uint32_t bytes) {
    uint32_t lines = (bytes + 63) / 64, shares = bytes / 16, all = PANEL_ROWS * lines;
    for (uint32_t i = all * share / shares; keys->next && i < all * (share + 1) / shares; i++)
        __builtin_prefetch(keys->next + i / lines * keys->row_bytes + i % lines * 64, 0, 2);
}

SYN_INLINE void score_rows(float *y, const stretch *keys, uint32_t dtype, const float *q, uint32_t dim, uint32_t n) {
    uint32_t size = dtype == SYN_F32 ? 4 : 2, each = 4 / size;
    syn_vf total[FEW][PANEL_VECTORS];
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t v = 0; v < PANEL_VECTORS; v++) total[i][v] = syn_v_set(0.0f);
    for (uint32_t byte = 0; byte < dim * size; byte += 16) {
        ask_for_panel(keys, byte / 16, dim * size);
#pragma clang loop unroll(full)
        for (uint32_t v = 0; v < PANEL_VECTORS; v++) {
            syn_vi piece[4];
            take_keys(piece, keys, v, byte);
            for (uint32_t word = 0; word < 4; word++) {
                const float *x = q + ((size_t)byte / size + word * each) * n;
                syn_vf number[2];
                take_numbers(number, piece[word], dtype);
                for (uint32_t c = 0; c < each; c++)
                    for (uint32_t i = 0; i < n; i++)
                        total[i][v] = syn_v_fma(syn_v_set(x[c * n + i]), number[c], total[i][v]);
            }
        }
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t v = 0; v < PANEL_VECTORS; v++)
            syn_v_store(y + i * PANEL_ROWS + v * SYN_LANES, total[i][v] + syn_v_set(0.0f));
}

/* Products of 32 keys with one or two queries q (D, n) → y (n, 32), by columns in rising order: straight
 * from memory, without a panel. */
static void score_few(float *y, const stretch *keys, const float *q, uint32_t dim, uint32_t n) {
#define SCORE(type) (n == 1 ? score_rows(y, keys, type, q, dim, 1) : score_rows(y, keys, type, q, dim, 2))
    if (keys->dtype == SYN_F32) SCORE(SYN_F32);
    else if (keys->dtype == SYN_F16) SCORE(SYN_F16);
    else SCORE(SYN_BF16);
#undef SCORE
}

/* Scores of all queries for the keys [from, end) of a piece → score (n, 288), -inf where a row does
 * not see. */
static void score_piece(const block *b, const room *r, uint32_t from, uint32_t end) {
    uint32_t base = from - from % PIECE;
    /* panels begin at multiples of 32 from the piece's first key: they never cross a page */
    for (uint32_t j = from, stop; j < end; j = stop) {
        stop = j - j % PANEL_ROWS + PANEL_ROWS < end ? j - j % PANEL_ROWS + PANEL_ROWS : end;
        stretch keys = stretch_at(b, j, stop, 0);
        if (keys.data) {
            if (stop < end) keys.next = stretch_at(b, stop, end, 0).data;
            keys = as_numbers(&keys, r->decoded, b->dim);
            /* a page has room for whole panels: what lies behind the last key is read, and not seen */
            int whole = keys.count == PANEL_ROWS || (b->state && j % PANEL_ROWS == 0);
            if (b->n <= FEW && b->dim % 8 == 0 && whole) {
                score_few(r->product, &keys, r->q, b->dim, b->n);
            } else {
                syn_rows16 low = rows_at(keys.data, keys.row_bytes, 0, keys.count);
                syn_rows16 high = rows_at(keys.data, keys.row_bytes, GROUP_ROWS, keys.count);
                expand_floats(r->panel, 0, &low, keys.dtype, 0, b->dim);
                if (keys.count > GROUP_ROWS) expand_floats(r->panel, 1, &high, keys.dtype, 0, b->dim);
                __builtin_memset(r->product, 0, (size_t)b->n * PANEL_ROWS * 4);
                for (uint32_t i = 0; i < b->n; i += TILE_MOST)
                    multiply_f32(r->product + (size_t)i * PANEL_ROWS, r->panel, r->q + (size_t)i * b->dim, b->dim,
                                 tile_queries(b->n, i));
            }
        }
        for (uint32_t i = 0; i < b->n; i++) {
            uint32_t row = i / b->heads;
            for (uint32_t at = j; at < stop; at += SYN_LANES) {
                syn_vf x = syn_v_load(r->product + (size_t)i * PANEL_ROWS + (at - j)) * b->scale;
                if (b->cap > 0.0f) x = b->cap * syn_v_tanh(x / b->cap);
                if (!keys.data || at < b->begin[row] || at + SYN_LANES > b->end[row]) {
                    syn_vi seen = keys_between(at, b->begin[row], keys.data ? b->end[row] : 0);
                    x = syn_v_select(seen, x, syn_v_set(-__builtin_inff()));
                }
                syn_v_store_part(r->score + (size_t)i * SCORES + (at - base), x, stop - at);
            }
        }
    }
}

/* e^x of x up to 0; what would be no normal number is zero. */
SYN_INLINE syn_vf exp_below(syn_vf x) {
    syn_vi n;
    syn_vf e = syn_v_exp_part(syn_v_max(syn_v_set(-87.0f), x), &n);  /* no number stays none */
    return (syn_vf)((syn_vi)(e * (syn_vf)((n + 127) << 23)) & ~(x < -87.0f));
}

/* Of one query: the largest score, and Σ e^(score - most). */
typedef struct { float most, total; } softmax;

/* score [from, to) of a piece → e^(score - its maximum); keys count by their place in the piece. */
static softmax soften_piece(float *score, uint32_t from, uint32_t to) {
    const syn_vf low = syn_v_set(-__builtin_inff());
    syn_vf top = low, sum[VECTORS] = {0};
    uint32_t first = from - from % GROUP_ROWS;
    for (uint32_t j = first; j < to; j += SYN_LANES) {
        syn_vf x = syn_v_load(score + j);
        if (j < from || j + SYN_LANES > to) x = syn_v_select(keys_between(j, from, to), x, low);
        top = syn_v_max(x, top);
    }
    float most = syn_v_top(top);
    for (uint32_t j = first; j < to; j += SYN_LANES) {
        syn_vf x = syn_v_load(score + j), e = exp_below(x - most), kept = e;
        if (j < from || j + SYN_LANES > to) {
            syn_vi there = keys_between(j, from, to);
            kept = syn_v_select(there, e, x);
            e = (syn_vf)(there & (syn_vi)e);
        }
        syn_v_store(score + j, kept);
        sum[j / SYN_LANES % VECTORS] += e;
    }
    for (uint32_t v = VECTORS / 2; v > 0; v /= 2)
        for (uint32_t i = 0; i < v; i++) sum[i] += sum[i + v];
    return (softmax){most, syn_v_sum(sum[0])};
}

/* Of few queries the sums of some more columns stay in registers: a value is read once, or nearly. */
enum { WHOLE = SYN_LANES == 8 ? 4 : 8, AHEAD_ROWS = 32 };

/* Ask for the columns at `byte` of row j of a stretch, which may lie in the next one. */
SYN_INLINE void ask_for(const stretch *v, uint32_t j, uint32_t byte, uint32_t bytes) {
    const uint8_t *at = v->data + j * v->row_bytes;
    if (j >= v->count) {
        if (!v->next) return;
        at = v->next + (j - v->count) * v->row_bytes;
    }
    for (uint32_t i = 0; i < bytes; i += 64) __builtin_prefetch(at + byte + i, 0, 2);
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

/* Columns [column, column + a step) of sum (n, D) += weights (n, 288, from `place` on) · values of a stretch. */
SYN_INLINE void weigh_columns(float *sum, const float *weight, const stretch *v, uint32_t column, uint32_t dim,
                              uint32_t dtype, int whole, uint32_t n, uint32_t vectors) {
    syn_vf total[TILE_MOST * FLOAT_VECTORS];
    uint32_t count[WHOLE], size = dtype == SYN_F32 ? 4 : 2;
    for (uint32_t h = 0; h < vectors; h++) {
        uint32_t at = column + h * SYN_LANES;
        count[h] = whole ? SYN_LANES : at >= dim ? 0 : dim - at < SYN_LANES ? dim - at : SYN_LANES;
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t h = 0; h < vectors; h++)
            total[i * vectors + h] = syn_v_load_part(sum + (size_t)i * dim + column + h * SYN_LANES, count[h]);
    for (uint32_t j = 0; j < v->count; j++) {
        const uint8_t *at = v->data + j * v->row_bytes;
        if (n <= FEW) ask_for(v, j + AHEAD_ROWS, column * size, vectors * SYN_LANES * size);
        syn_vf number[WHOLE];
#pragma clang loop unroll(full)
        for (uint32_t h = 0; h < vectors; h++) number[h] = value_lanes(at, dtype, column + h * SYN_LANES, count[h]);
        /* a weight for all columns, not the other way round: as many weights as queries would not fit the registers */
#pragma clang loop unroll(full)
        for (uint32_t i = 0; i < n; i++) {
            syn_vf w = syn_v_set(weight[(size_t)i * SCORES + j]);
#pragma clang loop unroll(full)
            for (uint32_t h = 0; h < vectors; h++) total[i * vectors + h] = syn_v_fma(w, number[h], total[i * vectors + h]);
        }
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t h = 0; h < vectors; h++)
            syn_v_store_part(sum + (size_t)i * dim + column + h * SYN_LANES, total[i * vectors + h], count[h]);
}

/* As many columns as `vectors` hold, again and again from `column` on; return the first that is left. */
SYN_INLINE uint32_t weigh_whole(float *sum, const float *weight, const stretch *v, uint32_t column, uint32_t dim,
                                uint32_t n, uint32_t vectors) {
    for (uint32_t step = vectors * SYN_LANES; column + step <= dim; column += step) {
        if (v->dtype == SYN_F32) weigh_columns(sum, weight, v, column, dim, SYN_F32, 1, n, vectors);
        else if (v->dtype == SYN_F16) weigh_columns(sum, weight, v, column, dim, SYN_F16, 1, n, vectors);
        else weigh_columns(sum, weight, v, column, dim, SYN_BF16, 1, n, vectors);
    }
    return column;
}

SYN_INLINE void weigh_queries(float *sum, const float *weight, const stretch *v, uint32_t dim, uint32_t n) {
    uint32_t column = 0;
    if (n <= FEW) column = weigh_whole(sum, weight, v, column, dim, n, WHOLE);
    column = weigh_whole(sum, weight, v, column, dim, n, FLOAT_VECTORS);
    if (column < dim) weigh_columns(sum, weight, v, column, dim, v->dtype, 0, n, FLOAT_VECTORS);
}

/* Values of a stretch for queries [first, first + n). */
static void weigh(const room *r, uint32_t first, uint32_t n, uint32_t place, const stretch *v, uint32_t dim) {
    float *sum = r->sum + (size_t)first * dim;
    const float *weight = r->score + (size_t)first * SCORES + place;
#define WEIGH(queries) weigh_queries(sum, weight, v, dim, queries)
    SYN_FOR_MOST(n, WEIGH)
#undef WEIGH
}

/* sum (n, D) += weights · values of the keys [from, end) of the piece that begins at `base`, for rows [first, last). */
static void weigh_keys(const block *b, const room *r, uint32_t base, uint32_t from, uint32_t end, uint32_t first,
                       uint32_t last) {
    for (uint32_t j = from; j < end;) {
        stretch v = stretch_at(b, j, end, 1);
        if (v.dtype == SYN_Q8_0 && v.count > PANEL_ROWS) v.count = PANEL_ROWS;
        if (j + v.count < end) v.next = stretch_at(b, j + v.count, end, 1).data;
        v = as_numbers(&v, r->decoded, b->dim);
        for (uint32_t i = first * b->heads; v.data && i < last * b->heads; i += TILE_MOST)
            weigh(r, i, tile_queries(last * b->heads, i), j - base, &v, b->dim);
        j += v.count;
    }
}

/* Values of a piece's keys [from, end): those that every row sees together, the others row by row, in
 * rising order. */
static void weigh_piece(const block *b, const room *r, uint32_t from, uint32_t end) {
    uint32_t common = from, until = end, base = from - from % PIECE;
    __builtin_memset(r->sum, 0, (size_t)b->n * b->dim * 4);
    for (uint32_t row = 0; row < b->rows; row++) {
        if (b->begin[row] > common) common = b->begin[row];
        if (b->end[row] < until) until = b->end[row];
    }
    if (common > until) common = until = common < end ? common : end;
    for (uint32_t row = 0; row < b->rows; row++) {
        uint32_t begin = b->begin[row] > from ? b->begin[row] : from;
        uint32_t stop = b->end[row] < common ? b->end[row] : common;
        weigh_keys(b, r, base, begin, stop, row, row + 1);
    }
    weigh_keys(b, r, base, common, until, 0, b->rows);
    for (uint32_t row = 0; row < b->rows; row++) {
        uint32_t begin = b->begin[row] > until ? b->begin[row] : until;
        uint32_t stop = b->end[row] < end ? b->end[row] : end;
        weigh_keys(b, r, base, begin, stop, row, row + 1);
    }
}

/* Add a piece of one query to the pieces before it, or begin with it. all, sum (D) */
static void merge_piece(float *all, softmax *before, const float *sum, softmax piece, uint32_t dim, int begins) {
    if (begins) {
        __builtin_memcpy(all, sum, (size_t)dim * 4);
        *before = piece;
        return;
    }
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
    }
    uint32_t joined = !b->state && b->op->attributes[MASK] == FULL ? JOINED : 0;
    for (uint32_t from = begin, stop; from < end; from = stop) {
        stop = from - from % PIECE + PIECE;
        if (stop > end || end - stop <= joined) stop = end;
        score_piece(b, r, from, stop);
        softmax piece[QUERIES];
        for (uint32_t i = 0; i < b->n; i++)
            piece[i] = soften_piece(r->score + (size_t)i * SCORES, from % PIECE, from % PIECE + (stop - from));
        weigh_piece(b, r, from, stop);
        for (uint32_t i = 0; i < b->n; i++) {
            uint32_t row = i / b->heads;
            if (b->begin[row] >= stop || b->end[row] <= from) continue;  /* it sees none of the piece */
            merge_piece(r->all + (size_t)i * b->dim, &before[i], r->sum + (size_t)i * b->dim, piece[i], b->dim,
                        b->begin[row] >= from);
        }
    }
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t head = b->head + i % b->heads;
        float *to = y + (size_t)(b->row + i / b->heads) * width + (size_t)head * b->dim;
        for (uint32_t d = 0; d < b->dim; d++) to[d] = r->all[(size_t)i * b->dim + d] / before[i].total;
    }
}

/* The product of q and k (D): column i in lane i % 16. */
SYN_INLINE float dot_columns(const float *q, const float *k, uint32_t dim) {
    syn_vf sum[VECTORS] = {0};
    for (uint32_t d = 0; d < dim; d += GROUP_ROWS)
#pragma clang loop unroll(full)
        for (uint32_t v = 0, at = d; v < VECTORS; v++, at += SYN_LANES) {
            uint32_t count = at < dim ? dim - at : 0;
            sum[v] = syn_v_fma(syn_v_load_part(q + at, count), syn_v_load_part(k + at, count), sum[v]);
        }
    for (uint32_t v = VECTORS / 2; v > 0; v /= 2)
        for (uint32_t i = 0; i < v; i++) sum[i] += sum[i + v];
    return syn_v_sum(sum[0]);
}

/* A block of rows that see few keys each, which are rows of k and v; y (T, H·D). */
static void attend_few(const block *b, float *y, const float *q, uint32_t width) {
    const syn_operand *k = &b->op->in[1], *v = &b->op->in[2];
    size_t first = (size_t)b->first_row * k->cols + (size_t)b->kv_head * b->dim;
    const float *keys = (const float *)(const void *)k->data + first;
    const float *values = (const float *)(const void *)v->data + first;
    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t row = i / b->heads, count = b->end[row] - b->begin[row], dim = b->dim;
        size_t at = (size_t)(b->row + row) * width + (size_t)(b->head + i % b->heads) * dim;
        const float *key = keys + (size_t)b->begin[row] * k->cols, *value = values + (size_t)b->begin[row] * k->cols;
        float score[GROUP_ROWS] = {0};
        for (uint32_t j = 0; j < count; j++) {
            float x = dot_columns(q + at, key + (size_t)j * k->cols, dim) * b->scale;
            score[j] = b->cap > 0.0f ? b->cap * syn_tanh(x / b->cap) : x;
        }
        float total = soften_piece(score, 0, count).total;
        for (uint32_t d = 0; d < dim; d += SYN_LANES) {
            syn_vf sum = syn_v_set(0.0f);
            for (uint32_t j = 0; j < count; j++)
                sum = syn_v_fma(syn_v_set(score[j]), syn_v_load_part(value + (size_t)j * k->cols + d, dim - d), sum);
            syn_v_store_part(y + at + d, sum / total, dim - d);
        }
    }
}

/* The first row behind those of [from, end) that see few keys; all are rows of one slot, the first of them `from`. */
static uint32_t few_until(const syn_op *op, uint32_t from, uint32_t end) {
    uint32_t mask = op->attributes[MASK], rows = end - from;
    if (rows <= FEW_KEYS || (mask == WINDOWED && op->attributes[WINDOW] <= FEW_KEYS)) return end;
    return mask == FULL ? from : from + FEW_KEYS;
}

/* The keys that a row sees, counted from the first of its slot in the call or from position 0. */
static void find_keys(block *b, uint32_t row, uint32_t run_end) {
    const syn_operand *q = &b->op->in[0];
    uint32_t mask = b->op->attributes[MASK], window = b->op->attributes[WINDOW];
    uint32_t last = mask == FULL ? run_end - 1 : row, at = row - b->row;
    b->end[at] = b->state ? syn_position(b->call, q, last) + 1 : last - b->first_row + 1;
    b->begin[at] = mask == WINDOWED && b->end[at] > window ? b->end[at] - window : 0;
}

/* Rows of a block where threads share `rows` of them: at most as many as fit, and no block much smaller. */
static uint32_t rows_of_block(uint32_t rows, uint32_t most, uint32_t threads) {
    uint32_t blocks = (rows + most - 1) / most;
    if (blocks > 1) blocks = (blocks + threads - 1) / threads * threads;
    return (rows + blocks - 1) / blocks;
}

/* q (T, H·D), k, v (T, G·D) → y (T, H·D); threads take blocks in turn. With a state slots come one behind the other
 * for each head: what they have in common of its keys and values is still near. Without one they have nothing in
 * common, and a slot's rows are near while its heads come one behind the other. Where all rows are as much work, a thread
 * has those that it has in other ops. */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *q = &op->in[0];
    const float *numbers = (const float *)(const void *)q->data;
    float *y = (float *)(void *)op->out[0].data;
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
    uint32_t heads = group < TILE_MOST ? group : TILE_MOST, parts = (group + heads - 1) / heads;
    int apart = !b.state && a[MASK] == FULL;
    for (uint32_t from = 0, until = q->rows; from < q->rows; from = until) {
        if (!b.state) syn_run_of(call, q, from, &b.first_row, &until);
        for (uint32_t part = 0; part < a[KV_HEADS] * parts; part++) {
            uint32_t first = part % parts * heads;
            b.kv_head = part / parts;
            b.head = b.kv_head * group + first;
            b.heads = group - first < heads ? group - first : heads;
            for (uint32_t row = from, end = from, few = from, most = 0; row < until; row += b.rows) {
                if (row >= end) {
                    syn_run_of(call, q, row, &b.first_row, &end);
                    few = b.state ? row : few_until(op, row, end);
                    most = QUERIES / heads;
                    if (apart) most = rows_of_block(end - row, most, call->threads);
                }
                b.rows = (row < few ? few : end) - row;
                if (b.rows > most) b.rows = most;
                uint32_t owner = apart ? (uint32_t)((uint64_t)row * call->threads / q->rows) : number++ % call->threads;
                if (owner != call->thread) continue;
                b.row = row;
                b.slot = syn_slot(call, q, row);
                b.n = b.rows * b.heads;
                for (uint32_t i = 0; i < b.rows; i++) find_keys(&b, row + i, end);
                if (row < few) attend_few(&b, y, numbers, q->cols);
                else attend(&b, &r, y, numbers, q->cols);
            }
        }
    }
}

extern const syn_kernel syn_kernel_attention;
const syn_kernel syn_kernel_attention = {SYN_ABI, "attention", attention_check, scratch_bytes, run};
