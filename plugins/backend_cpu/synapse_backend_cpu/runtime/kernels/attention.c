/* attention: softmax(scale · q kᵀ) v over the keys that the mask lets a row see.
 *
 * With a state (source = cache) this call's k and v are first rounded into the slot's pages and all
 * keys are read from there; key j is position j. Without one (source = call) the keys are this
 * call's rows of the same slot, key j the j-th of them.
 *
 * Keys are taken in pieces of 256, piece p holding keys 256p to 256p + 255. A piece has its own
 * maximum, sum (key j in lane j % 8) and weighted v (in rising order of keys); pieces are merged
 * in rising order. So a row's bits depend on its keys and its position only.
 */
#include "attention.h"

/* Numbers of scratch of one thread, for the `group` heads that share a kv head. */
static uint64_t room_floats(const syn_op *op) {
    uint64_t group = op->attributes[HEADS] / op->attributes[KV_HEADS];
    return group * ((uint64_t)PIECE + op->attributes[HEAD_DIM] + 4) + op->attributes[HEAD_DIM];
}

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    return threads * syn_aligned(room_floats(op) * 4);
}

/* Of one head: the largest score, and Σ e^(score - most). */
typedef struct { float most, total; } softmax;

/* Where the keys of a row's slot lie, and a thread's room. */
typedef struct {
    const syn_call *call;
    const syn_operand *k, *v, *state;  /* state NULL: keys are rows of k and v */
    uint32_t slot, first;              /* of the state; row of key 0 */
    uint32_t head_dim, kv_head;
    float scale, cap;
    float *score;                      /* (group, 256) */
    float *sum;                        /* (group, D): v weighted by a piece */
    softmax *piece, *all;              /* (group): of this piece, of the pieces so far */
    float *number;                     /* (D): a decoded k or v */
} keys;

/* k or v of key j, (D); NULL where its page is missing. */
static const float *key_numbers(const keys *s, uint32_t j, int value) {
    uint32_t column = s->kv_head * s->head_dim;
    if (!s->state) {
        const syn_operand *rows = value ? s->v : s->k;
        const float *numbers = (const float *)(const void *)rows->data;
        return numbers + ((size_t)s->first + j) * rows->cols + column;
    }
    uint8_t *page = syn_kv_page(s->call, s->state, s->slot, j);
    if (!page) return NULL;
    page = value ? syn_kv_value(s->state, page, j, column) : syn_kv_key(s->state, page, j, column);
    if (s->state->dtype == SYN_F32) return (const float *)(void *)page;
    syn_decode(s->number, page, s->state->dtype, s->head_dim);
    return s->number;
}

/* Scores of n heads for the keys [begin, end) of one piece. q (n, D) → score (n, 256) */
static void score_piece(const keys *s, const float *q, uint32_t n, uint32_t begin, uint32_t end) {
    for (uint32_t j = begin; j < end; j++) {
        const float *k = key_numbers(s, j, 0);
        for (uint32_t h = 0; h < n; h++) {
            float x = -__builtin_inff();
            if (k) x = syn_dot(q + (size_t)h * s->head_dim, k, s->head_dim) * s->scale;
            if (k && s->cap > 0.0f) x = s->cap * syn_tanh(x / s->cap);
            s->score[(size_t)h * PIECE + j % PIECE] = x;
        }
    }
}

/* score (256) → e^(score - its maximum), for keys [begin, end) of the piece. */
static softmax soften_piece(float *score, uint32_t begin, uint32_t end) {
    float lane[8] = {0}, top = score[begin];
    for (uint32_t j = begin; j < end; j++) top = syn_max(score[j], top);
    for (uint32_t j = begin; j < end; j++) score[j] = syn_exp(score[j] - top);
    for (uint32_t j = begin; j < end; j++) lane[j % 8] += score[j];
    return (softmax){top, syn_sum_lanes(lane)};
}

/* v of the keys [begin, end) weighted by score (n, 256) → sum (n, D) */
static void weigh_piece(const keys *s, uint32_t n, uint32_t begin, uint32_t end) {
    uint32_t dim = s->head_dim;
    for (size_t i = 0; i < (size_t)n * dim; i++) s->sum[i] = 0.0f;
    for (uint32_t j = begin; j < end; j++) {
        const float *v = key_numbers(s, j, 1);
        for (uint32_t h = 0; v && h < n; h++) {
            float weight = s->score[(size_t)h * PIECE + j % PIECE], *sum = s->sum + (size_t)h * dim;
            for (uint32_t i = 0; i < dim; i++) sum[i] += weight * v[i];
        }
    }
}

/* Add a piece to the pieces before it. sum, y (D) */
static void merge_piece(float *y, softmax *all, const float *sum, const softmax *piece,
                        uint32_t dim) {
    float top = syn_max(piece->most, all->most);
    float old = syn_exp(all->most - top), new = syn_exp(piece->most - top);
    for (uint32_t i = 0; i < dim; i++) y[i] = y[i] * old + sum[i] * new;
    all->total = all->total * old + piece->total * new;
    all->most = top;
}

/* n heads of one row and one kv head over the keys [begin, end). q, y (n, D) */
static void attend(const keys *s, float *y, const float *q, uint32_t n, uint32_t begin,
                   uint32_t end) {
    uint32_t dim = s->head_dim;
    for (uint32_t h = 0; h < n; h++) s->all[h] = (softmax){-__builtin_inff(), 0.0f};
    for (size_t i = 0; i < (size_t)n * dim; i++) y[i] = 0.0f;
    for (uint32_t at = begin, stop; at < end; at = stop) {
        uint32_t from = at % PIECE;
        stop = end - at > PIECE - from ? at + (PIECE - from) : end;
        score_piece(s, q, n, at, stop);
        for (uint32_t h = 0; h < n; h++)
            s->piece[h] = soften_piece(s->score + (size_t)h * PIECE, from, from + (stop - at));
        weigh_piece(s, n, at, stop);
        for (uint32_t h = 0; h < n; h++)
            merge_piece(y + (size_t)h * dim, &s->all[h], s->sum + (size_t)h * dim, &s->piece[h],
                        dim);
    }
    for (uint32_t h = 0; h < n; h++)
        for (uint32_t i = 0; i < dim; i++) y[(size_t)h * dim + i] /= s->all[h].total;
}

/* The keys [begin, end) that row t sees; fills in where they lie. */
static void find_keys(keys *s, const syn_op *op, uint32_t t, uint32_t *begin, uint32_t *end) {
    const syn_operand *q = &op->in[0];
    uint32_t mask = op->attributes[MASK], window = op->attributes[WINDOW], last = t;
    if (!s->state || mask == FULL) {
        syn_run_of(s->call, q, t, &s->first, &last);
        last--;
    }
    if (mask != FULL) last = t;
    *end = s->state ? syn_position(s->call, q, last) + 1 : last - s->first + 1;
    *begin = mask == WINDOWED && *end > window ? *end - window : 0;
    s->slot = syn_slot(s->call, q, t);
}

/* q (T, H·D), k, v (T, G·D) → y (T, H·D); threads share the (row, head) pairs */
static void run(const syn_op *op, const syn_call *call) {
    const uint32_t *a = op->attributes;
    uint32_t heads = a[HEADS], group = heads / a[KV_HEADS], dim = a[HEAD_DIM], lo, hi, n;
    uint32_t begin = 0, end = 0, found = SYN_NO_PAGE;
    size_t room = (size_t)syn_aligned(room_floats(op) * 4);
    float *floats = (float *)(void *)(call->scratch + call->thread * room);
    keys s = {.call = call, .k = &op->in[1], .v = &op->in[2], .head_dim = dim,
              .scale = syn_attribute_f32(op, SCALE), .cap = syn_attribute_f32(op, SOFTCAP),
              .score = floats, .piece = (softmax *)(void *)(floats + (size_t)group * PIECE)};
    s.all = s.piece + group;
    s.sum = (float *)(void *)(s.all + group);
    s.number = s.sum + (size_t)group * dim;
    if (op->inputs == 4 && op->in[3].kind != SYN_NONE) {
        s.state = &op->in[3];
        store_keys(op, call);
        syn_barrier(call);
    }
    syn_share(call, op->in[0].rows * heads, &lo, &hi);
    for (uint32_t i = lo; i < hi; i += n) {
        uint32_t t = i / heads, head = i % heads;
        n = group - head % group < hi - i ? group - head % group : hi - i;
        s.kv_head = head / group;
        if (t != found) find_keys(&s, op, t, &begin, &end);
        found = t;
        attend(&s, (float *)(void *)op->out[0].data + (size_t)i * dim,
               (const float *)(const void *)op->in[0].data + (size_t)i * dim, n, begin, end);
    }
}

extern const syn_kernel syn_kernel_attention;
const syn_kernel syn_kernel_attention = {SYN_ABI, "attention", attention_check, scratch_bytes, run};
