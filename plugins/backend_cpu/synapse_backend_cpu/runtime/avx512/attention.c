/* attention on AVX-512; what it computes stands in kernels/attention.c and attention.h.
 *
 * Some rows of one slot, times the heads that share a kv head, are taken together: up to 48 queries.
 * Keys come in panels of 32, taken apart once for all of them, their numbers turned so that a vector
 * holds a column of 16 keys; values are read as they lie. Keys that only some of the rows see are
 * scored for all and masked; their values are added by themselves, so that no row is touched by what
 * it does not see.
 *
 * Order: scores by columns in rising order; a piece's sum with key j in lane j % 16; values by keys in
 * rising order.
 */
#include "../kernels/attention.h"
#include "tile_f32.h"

enum { QUERIES = 4 * TILE_MOST };

enum { FEW = 2 };  /* so few queries wait for memory, not for products */

/* A thread's room. */
typedef struct {
    float *panel;   /* (D + 8, 32) of keys */
    float *decoded; /* (32, D): keys or values in blocks, as numbers */
    float *q;       /* tiles of (D, T): the queries, up to twelve side by side */
    float *score;   /* (n, 256) */
    float *product; /* (n, 32) */
    float *sum;     /* (n, D) of a piece */
    float *all;     /* (n, D) of the pieces so far */
} room;

static size_t room_floats(uint32_t dim) {
    size_t each = (size_t)3 * (dim + LANES) + PIECE + PANEL_ROWS;
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
    r.product = r.score + (size_t)QUERIES * PIECE;
    r.q = r.product + (size_t)QUERIES * PANEL_ROWS;
    r.sum = r.q + (size_t)QUERIES * (dim + LANES);
    r.all = r.sum + (size_t)QUERIES * (dim + LANES);
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
    size_t column = (size_t)b->kv_head * b->dim;
    stretch s = {NULL, 0, SYN_F32, end - j, NULL};
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
    s.row_bytes = syn_state_bytes(s.dtype, b->state->cols);
    if (page) {
        page = value ? syn_kv_value(b->state, page, j) : syn_kv_key(b->state, page, j);
        s.data = page + syn_state_bytes(s.dtype, column);
    }
    return s;
}

/* At most 32 rows of a stretch in blocks → the same as numbers; others as they are. dim columns */
static stretch as_numbers(const stretch *s, float *decoded, uint32_t dim) {
    if (s->dtype != SYN_Q8_0 || !s->data) return *s;
    for (uint32_t j = 0; j < s->count; j++) {
        const uint8_t *block = s->data + j * s->row_bytes;
        for (uint32_t i = 0; i < dim; i += 32, block += 34) {
            __m512 scale = _mm512_set1_ps(syn_half_at(block));
            for (uint32_t h = 0; h < 32; h += LANES) {
                __m128i code = _mm_loadu_si128((const void *)(block + 2 + h));
                __m512 number = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(code));
                _mm512_storeu_ps(decoded + (size_t)j * dim + i + h, _mm512_mul_ps(scale, number));
            }
        }
    }
    return (stretch){(const uint8_t *)decoded, (size_t)dim * 4, SYN_F32, s->count, NULL};
}

static __m512 cap_scores(__m512 x, float cap) {
    float lane[LANES];
    _mm512_storeu_ps(lane, x);
    for (uint32_t i = 0; i < LANES; i++) lane[i] = cap * syn_tanh(lane[i] / cap);
    return _mm512_loadu_ps(lane);
}

/* Queries in the tile that begins at query i. */
static uint32_t tile_queries(uint32_t n, uint32_t i) { return n - i < TILE_MOST ? n - i : TILE_MOST; }

/* 16 bytes at `at` of keys [first, first + 16) → four vectors of 32 bits, lane = key; the same of the next
 * keys are asked for, a quarter of a line with each piece. */
SYN_INLINE void take_keys(__m512i to[4], const stretch *keys, uint32_t first, size_t at) {
    const uint8_t *from = keys->data + first * keys->row_bytes + at, *next = keys->next;
    size_t step = keys->row_bytes;
    __m512i four[4];
    for (uint32_t i = 0; i < 4; i++) {
        const uint8_t *row = from + i * step;
        four[i] = _mm512_castsi128_si512(_mm_loadu_si128((const void *)row));
        four[i] = _mm512_inserti32x4(four[i], _mm_loadu_si128((const void *)(row + 4 * step)), 1);
        four[i] = _mm512_inserti32x4(four[i], _mm_loadu_si128((const void *)(row + 8 * step)), 2);
        four[i] = _mm512_inserti32x4(four[i], _mm_loadu_si128((const void *)(row + 12 * step)), 3);
        if (next) _mm_prefetch((const char *)(next + (first + at / 16 % 4 * 4 + i) * step + at), _MM_HINT_T1);
    }
    turn_rows(to, four[0], four[1], four[2], four[3]);
}

SYN_INLINE void score_rows(float *y, const stretch *keys, uint32_t dtype, const float *q, uint32_t dim, uint32_t n) {
    uint32_t size = dtype == SYN_F32 ? 4 : 2, each = 4 / size;
    __m512 total[FEW][2];
    for (uint32_t i = 0; i < n; i++) total[i][0] = total[i][1] = _mm512_setzero_ps();
    for (uint32_t byte = 0; byte < dim * size; byte += 16) {
        __m512i piece[2][4];
        for (uint32_t h = 0; h < 2; h++) take_keys(piece[h], keys, h * LANES, byte);
        for (uint32_t place = 0; place < 8; place++) {
            uint32_t word = place / 2, h = place % 2;
            __m512 number[2];
            take_numbers(number, piece[h][word], dtype);
            for (uint32_t c = 0; c < each; c++)
                for (uint32_t i = 0; i < n; i++) {
                    __m512 x = _mm512_set1_ps(q[((size_t)byte / size + word * each + c) * n + i]);
                    total[i][h] = _mm512_fmadd_ps(x, number[c], total[i][h]);
                }
        }
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t h = 0; h < 2; h++)
            _mm512_storeu_ps(y + i * PANEL_ROWS + h * LANES, _mm512_add_ps(_mm512_setzero_ps(), total[i][h]));
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

/* Scores of all queries for the keys [from, end) of a piece → score (n, 256), -inf where a row does
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
            if (b->n <= FEW && b->dim % 8 == 0 && keys.count == PANEL_ROWS) {
                score_few(r->product, &keys, r->q, b->dim, b->n);
            } else {
                syn_rows16 low = rows_at(keys.data, keys.row_bytes, 0, keys.count);
                syn_rows16 high = rows_at(keys.data, keys.row_bytes, LANES, keys.count);
                expand_floats(r->panel, 0, &low, keys.dtype, 0, b->dim);
                if (keys.count > LANES) expand_floats(r->panel, 1, &high, keys.dtype, 0, b->dim);
                __builtin_memset(r->product, 0, (size_t)b->n * PANEL_ROWS * 4);
                for (uint32_t i = 0; i < b->n; i += TILE_MOST)
                    multiply_f32(r->product + (size_t)i * PANEL_ROWS, r->panel, r->q + (size_t)i * b->dim, b->dim,
                                 tile_queries(b->n, i));
            }
        }
        for (uint32_t i = 0; i < b->n; i++) {
            uint32_t row = i / b->heads;
            for (uint32_t h = 0; h < 2 && j + h * LANES < stop; h++) {
                uint32_t at = j + h * LANES;
                __mmask16 there = lanes_of(at, stop), seen = there;
                uint32_t skip = b->begin[row] > at ? b->begin[row] - at : 0;
                seen &= lanes_of(at, b->end[row]);
                seen &= skip < LANES ? (__mmask16)(0xffffu << skip) : 0;
                if (!keys.data) seen = 0;
                __m512 x = _mm512_loadu_ps(r->product + (size_t)i * PANEL_ROWS + h * LANES);
                x = _mm512_mul_ps(x, _mm512_set1_ps(b->scale));
                if (b->cap > 0.0f) x = cap_scores(x, b->cap);
                x = _mm512_mask_blend_ps(seen, _mm512_set1_ps(-__builtin_inff()), x);
                _mm512_mask_storeu_ps(r->score + (size_t)i * PIECE + (at - base), there, x);
            }
        }
    }
}

/* e^x as syn_exp has it, but for its fused multiply-adds. */
static __m512 exp_of(__m512 x) {
    __m512 y = _mm512_min_ps(x, _mm512_set1_ps(89.0f));
    y = _mm512_max_ps(y, _mm512_set1_ps(-104.0f));
    __m512 whole = _mm512_roundscale_ps(_mm512_mul_ps(y, _mm512_set1_ps(1.44269504f)), 8);
    __m512 r = _mm512_fnmadd_ps(whole, _mm512_set1_ps(0.693359375f), y);
    r = _mm512_fmadd_ps(whole, _mm512_set1_ps(2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
    __mmask16 number = _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    return _mm512_mask_blend_ps(number, x, _mm512_scalef_ps(p, whole));
}

/* Of one query: the largest score, and Σ e^(score - most). */
typedef struct { float most, total; } softmax;

/* score [from, to) of a piece → e^(score - its maximum); keys count by their place in the piece. */
static softmax soften_piece(float *score, uint32_t from, uint32_t to) {
    const __m512 low = _mm512_set1_ps(-__builtin_inff());
    __m512 top = low, sum = _mm512_setzero_ps();
    uint32_t first = from - from % LANES;
    for (uint32_t j = first; j < to; j += LANES) {
        __mmask16 lanes = lanes_of(j, to) & (j < from ? (__mmask16)(0xffffu << (from - j)) : 0xffff);
        __m512 x = _mm512_mask_loadu_ps(low, lanes, score + j);
        top = _mm512_mask_max_ps(top, _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q), x, top);
    }
    float most = _mm512_reduce_max_ps(top);
    for (uint32_t j = first; j < to; j += LANES) {
        __mmask16 lanes = lanes_of(j, to) & (j < from ? (__mmask16)(0xffffu << (from - j)) : 0xffff);
        __m512 x = _mm512_maskz_loadu_ps(lanes, score + j);
        x = _mm512_maskz_mov_ps(lanes, exp_of(_mm512_sub_ps(x, _mm512_set1_ps(most))));
        _mm512_mask_storeu_ps(score + j, lanes, x);
        sum = _mm512_add_ps(sum, x);
    }
    return (softmax){most, _mm512_reduce_add_ps(sum)};
}

/* Of few queries the sums of up to 128 columns stay in registers, so that a value is read once, from its
 * first byte to its last. */
enum { WHOLE = 8, AHEAD_ROWS = 12 };

/* Ask for the columns at `byte` of row j of a stretch, which may lie in the next one. */
SYN_INLINE void ask_for(const stretch *v, uint32_t j, uint32_t byte, uint32_t vectors) {
    const uint8_t *at = v->data + j * v->row_bytes;
    if (j >= v->count) {
        if (!v->next) return;
        at = v->next + (j - v->count) * v->row_bytes;
    }
    for (uint32_t i = 0; i < vectors * LANES * (v->dtype == SYN_F32 ? 4 : 2); i += 64)
        _mm_prefetch((const char *)(at + byte + i), _MM_HINT_T0);
}

/* 16 numbers of a value. */
SYN_INLINE __m512 value_lanes(const uint8_t *at, uint32_t dtype, uint32_t column, __mmask16 lanes) {
    if (dtype == SYN_F32) return _mm512_maskz_loadu_ps(lanes, (const float *)(const void *)at + column);
    __m256i half = _mm256_maskz_loadu_epi16(lanes, (const uint16_t *)(const void *)at + column);
    if (dtype == SYN_F16) return _mm512_cvtph_ps(half);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
}

/* Columns [column, column + 16 · vectors) of sum (n, D) += weights (n, 256, from `place` on) · values of a
 * stretch. */
SYN_INLINE void weigh_columns(float *sum, const float *weight, const stretch *v, uint32_t column, uint32_t dim,
                              uint32_t dtype, uint32_t n, uint32_t vectors) {
    __mmask16 lanes[WHOLE];
    __m512 total[2 * TILE_MOST];
    for (uint32_t h = 0; h < vectors; h++) lanes[h] = lanes_of(column + h * LANES, dim);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t h = 0; h < vectors; h++)
            total[i * vectors + h] = _mm512_maskz_loadu_ps(lanes[h], sum + (size_t)i * dim + column + h * LANES);
    for (uint32_t j = 0; j < v->count; j++) {
        const uint8_t *at = v->data + j * v->row_bytes;
        if (n <= FEW) ask_for(v, j + AHEAD_ROWS, column * (dtype == SYN_F32 ? 4 : 2), vectors);
#pragma clang loop unroll(full)
        for (uint32_t h = 0; h < vectors; h++) {
            __m512 value = value_lanes(at, dtype, column + h * LANES, lanes[h]);
#pragma clang loop unroll(full)
            for (uint32_t i = 0; i < n; i++) {
                __m512 w = _mm512_set1_ps(weight[(size_t)i * PIECE + j]);
                total[i * vectors + h] = _mm512_fmadd_ps(w, value, total[i * vectors + h]);
            }
        }
    }
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t h = 0; h < vectors; h++)
            _mm512_mask_storeu_ps(sum + (size_t)i * dim + column + h * LANES, lanes[h], total[i * vectors + h]);
}

SYN_INLINE void weigh_queries(float *sum, const float *weight, const stretch *v, uint32_t dim, uint32_t n) {
    uint32_t vectors = n <= FEW ? WHOLE : 2;
    for (uint32_t column = 0; column < dim; column += vectors * LANES) {
        if (v->dtype == SYN_F32) weigh_columns(sum, weight, v, column, dim, SYN_F32, n, vectors);
        else if (v->dtype == SYN_F16) weigh_columns(sum, weight, v, column, dim, SYN_F16, n, vectors);
        else weigh_columns(sum, weight, v, column, dim, SYN_BF16, n, vectors);
    }
}

/* Values of a stretch for queries [first, first + n). */
static void weigh(const room *r, uint32_t first, uint32_t n, uint32_t place, const stretch *v, uint32_t dim) {
    float *sum = r->sum + (size_t)first * dim;
    const float *weight = r->score + (size_t)first * PIECE + place;
#define WEIGH(queries) weigh_queries(sum, weight, v, dim, queries)
    SYN_FOR_TWELVE(n, WEIGH)
#undef WEIGH
}

/* sum (n, D) += weights · values of the keys [from, end), for rows [first, last) of the block. */
static void weigh_keys(const block *b, const room *r, uint32_t from, uint32_t end, uint32_t first, uint32_t last) {
    for (uint32_t j = from; j < end;) {
        stretch v = stretch_at(b, j, end, 1);
        if (v.dtype == SYN_Q8_0 && v.count > PANEL_ROWS) v.count = PANEL_ROWS;
        if (j + v.count < end) v.next = stretch_at(b, j + v.count, end, 1).data;
        v = as_numbers(&v, r->decoded, b->dim);
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
