/* rwkv.wkv7: what RWKV-7 does between the projections of its time mix, head by head.
 *
 * inputs: r, w, k, v, a, g (T, C); first, mix (T, C) or none; a recurrent state of C · N numbers;
 * k_k, k_a (1, C) f32; r_k (H, N); norm, norm_bias (1, C) f32; output: y (T, C). Of a head's N
 * columns, S its state of N values × N keys:
 *
 *   decay = e^(-e^-0.5 · sigmoid(w));  rate = sigmoid(a);  v' = v + (first - v) · sigmoid(mix)
 *   kk = k · k_k, of length 1;         k' = k · (1 + (rate - 1) · k_a)
 *   S = S · diag(decay) - (S · kk) ⊗ (kk · rate) + v' ⊗ k'
 *   y = (groupnorm(S · r) + (r · k' · r_k) v') · g
 *
 * The state lies key by key, N values together: a lane is a value, and a sum over keys runs in
 * their order, in one chunk as in many. A head of a slot is one thread's. While a row updates S,
 * the next row's S · kk is summed already: one trip through S a row.
 */
#include "syn_kernel.h"
#include "syn_simd.h"

enum { R, W, K, V, A, G, FIRST, MIX, STATE, KEY_SCALE, KEY_RATE, BONUS, NORM, NORM_BIAS, INPUTS };
enum { BAD_OPERANDS = 1, BAD_TENSOR = 2, BAD_PAIR = 3, BAD_HEAD = 4, BAD_STATE = 5, BAD_WEIGHT = 6, BAD_ROWS = 7 };

static int check(const syn_op *op) {
    const syn_operand *r = &op->in[R], *state = &op->in[STATE], *y = &op->out[0];
    if (op->inputs != INPUTS || op->outputs != 1) return BAD_OPERANDS;
    for (uint32_t i = R; i <= MIX; i++) {
        if (i >= FIRST && op->in[i].kind == SYN_NONE) continue;
        if (!syn_is_tensor(&op->in[i], r->cols)) return BAD_TENSOR;
        if (!syn_same_rows(r, &op->in[i])) return BAD_ROWS;
    }
    if (op->in[FIRST].kind != op->in[MIX].kind) return BAD_PAIR;
    if (!syn_is_tensor(y, r->cols)) return BAD_TENSOR;
    if (!syn_same_rows(r, y)) return BAD_ROWS;
    uint32_t cols = r->cols, size = op->attributes[0];
    if (size == 0 || size > cols || cols % size) return BAD_HEAD;
    if (state->kind != SYN_STATE || state->state_kind != SYN_STATE_RECURRENT) return BAD_STATE;
    if (state->dtype != SYN_F32 || (uint64_t)cols * size != state->cols) return BAD_STATE;
    for (uint32_t i = KEY_SCALE; i < INPUTS; i++) {
        if (i == BONUS) {
            if (!syn_is_matrix(&op->in[i], size) || op->in[i].rows != cols / size) return BAD_WEIGHT;
        } else if (!syn_is_vector(&op->in[i], cols)) {
            return BAD_WEIGHT;
        }
    }
    return syn_is_derived(r) || !(r->flags & SYN_SPACE_ROWS) ? BAD_ROWS : 0;
}

/* What a thread holds of a head: two rows prepared, r_k, and what a row sees and reads of S. */
typedef struct {
    float *decay, *key, *learn, *unlearn, *value;  /* (N): k', kk · rate, -kk, v' */
    float bonus;                                   /* r · k' · r_k */
} prepared;

enum { VECTORS = 2 * 5 + 3 };

/* N numbers and what a last vector has more. */
static uint64_t padded(uint32_t size) { return ((uint64_t)size + SYN_LANES - 1) / SYN_LANES * SYN_LANES; }

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    return threads * syn_aligned(VECTORS * 4 * padded(op->attributes[0]));
}

static const float *input(const syn_op *op, uint32_t i, size_t at) {
    return (const float *)(const void *)op->in[i].data + at;
}

static const uint8_t *vector(const syn_op *op, uint32_t i, size_t column) { return op->in[i].data + 4 * column; }

SYN_INLINE syn_vf sigmoid(syn_vf x) { return 1.0f / (1.0f + syn_v_exp(-x)); }

/* Everything of a row but S: columns [column, column + N) of row t. */
static void prepare(prepared *to, const syn_op *op, const float *r_k, uint32_t t, uint32_t column) {
    const float fade = 0.60653066f;  /* e^-0.5 */
    uint32_t cols = op->in[R].cols, size = op->attributes[0];
    size_t at = (size_t)t * cols + column;
    const float *r = input(op, R, at), *w = input(op, W, at), *k = input(op, K, at);
    const float *v = input(op, V, at), *a = input(op, A, at);
    syn_vf squares = {0}, products = {0};
    for (uint32_t i = 0; i < size; i += SYN_LANES) {
        syn_vf kk = syn_v_load_part(k + i, size - i) * syn_v_load_part(vector(op, KEY_SCALE, column + i), size - i);
        squares = syn_v_fma(kk, kk, squares);
        syn_v_store(to->unlearn + i, kk);
    }
    float length = __builtin_sqrtf(syn_v_sum(squares));
    float inverse = 1.0f / (length < 1e-12f ? 1e-12f : length);
    for (uint32_t i = 0; i < size; i += SYN_LANES) {
        uint32_t n = size - i;
        syn_vf kk = syn_v_load(to->unlearn + i) * inverse, rate = sigmoid(syn_v_load_part(a + i, n));
        syn_vf key = syn_v_load_part(k + i, n), value = syn_v_load_part(v + i, n);
        key = key * (1.0f + (rate - 1.0f) * syn_v_load_part(vector(op, KEY_RATE, column + i), n));
        if (op->in[FIRST].kind == SYN_TENSOR) {
            syn_vf mix = sigmoid(syn_v_load_part(input(op, MIX, at) + i, n));
            value += (syn_v_load_part(input(op, FIRST, at) + i, n) - value) * mix;
        }
        products = syn_v_fma(syn_v_load_part(r + i, n) * key, syn_v_load(r_k + i), products);
        syn_v_store(to->decay + i, syn_v_exp(-fade * sigmoid(syn_v_load_part(w + i, n))));
        syn_v_store(to->unlearn + i, -kk);
        syn_v_store(to->learn + i, kk * rate);
        syn_v_store(to->key + i, key);
        syn_v_store(to->value + i, value);
    }
    to->bonus = syn_v_sum(products);
}

/* seen = S · unlearn of a head's first row. S (N keys, N values) */
static void look(float *seen, const float *state, const float *unlearn, uint32_t size) {
    for (uint32_t i = 0; i < size; i += SYN_LANES) {
        syn_vf sum = {0};
        for (uint32_t j = 0; j < size; j++)
            sum = syn_v_fma(syn_v_load_part(state + (size_t)j * size + i, size - i), syn_v_set(unlearn[j]), sum);
        syn_v_store(seen + i, sum);
    }
}

/* `blocks` vectors of values, the last of them `part` lanes: S takes the row in; `read` = S · r;
 * with `next` `seen` becomes S · next's unlearn. state, seen, read, value: from the first lane on */
SYN_INLINE void step(float *state, float *seen, float *read, const prepared *row, const float *r, const float *next,
                     uint32_t i, uint32_t size, const uint32_t blocks, uint32_t part) {
    syn_vf sees[4], reads[4], sums[4], value[4];
    for (uint32_t n = 0; n < blocks; n++) {
        sees[n] = syn_v_load(seen + i + n * SYN_LANES);
        value[n] = syn_v_load(row->value + i + n * SYN_LANES);
        reads[n] = sums[n] = (syn_vf){0};
    }
    for (uint32_t j = 0; j < size; j++) {
        float *at = state + (size_t)j * size + i;
        syn_vf decay = syn_v_set(row->decay[j]), learn = syn_v_set(row->learn[j]), key = syn_v_set(row->key[j]);
        syn_vf reader = syn_v_set(r[j]), ahead = syn_v_set(next ? next[j] : 0.0f);
        for (uint32_t n = 0; n < blocks; n++) {
            uint32_t lanes = n + 1 < blocks ? SYN_LANES : part;
            syn_vf s = syn_v_load_part(at + n * SYN_LANES, lanes) * decay;
            s = syn_v_fma(sees[n], learn, s);
            s = syn_v_fma(value[n], key, s);
            reads[n] = syn_v_fma(s, reader, reads[n]);
            if (next) sums[n] = syn_v_fma(s, ahead, sums[n]);
            syn_v_store_part(at + n * SYN_LANES, s, lanes);
        }
    }
    for (uint32_t n = 0; n < blocks; n++) {
        syn_v_store(read + i + n * SYN_LANES, reads[n]);
        syn_v_store(seen + i + n * SYN_LANES, sums[n]);
    }
}

/* Vectors of a step: as many as the registers hold beside what they share. */
enum { BLOCKS = SYN_LANES == 16 ? 4 : 2 };

static void take_in(float *state, float *seen, float *read, const prepared *row, const float *r, const float *next,
                    uint32_t size) {
    uint32_t i = 0;
    for (; i + BLOCKS * SYN_LANES <= size; i += BLOCKS * SYN_LANES) {
        if (next) step(state, seen, read, row, r, next, i, size, BLOCKS, SYN_LANES);
        else step(state, seen, read, row, r, NULL, i, size, BLOCKS, SYN_LANES);
    }
    for (; i + SYN_LANES <= size; i += SYN_LANES) step(state, seen, read, row, r, next, i, size, 1, SYN_LANES);
    if (i < size) step(state, seen, read, row, r, next, i, size, 1, size - i);
}

/* y = (groupnorm(read) + bonus · value) · g, columns [column, column + N) of row t */
static void finish(const syn_op *op, const prepared *row, const float *read, uint32_t t, uint32_t column) {
    uint32_t cols = op->in[R].cols, size = op->attributes[0];
    size_t at = (size_t)t * cols + column;
    float *y = (float *)(void *)op->out[0].data + at;
    syn_vf sum = {0}, squares = {0};
    for (uint32_t i = 0; i < size; i += SYN_LANES) sum += syn_v_load_part(read + i, size - i);
    float mean = syn_v_sum(sum) / (float)size;
    for (uint32_t i = 0; i < size; i += SYN_LANES) {
        syn_vf off = syn_v_load_part(read + i, size - i) - mean;
        off = syn_v_select(syn_v_index((int32_t)i) < (int32_t)size, off, (syn_vf){0});
        squares = syn_v_fma(off, off, squares);
    }
    float factor = syn_rsqrt(syn_v_sum(squares) / (float)size + syn_attribute_f32(op, 1));
    for (uint32_t i = 0; i < size; i += SYN_LANES) {
        uint32_t n = size - i;
        syn_vf normed = (syn_v_load_part(read + i, n) - mean) * factor;
        normed = normed * syn_v_load_part(vector(op, NORM, column + i), n)
               + syn_v_load_part(vector(op, NORM_BIAS, column + i), n);
        normed += syn_v_load(row->value + i) * row->bonus;
        syn_v_store_part(y + i, normed * syn_v_load_part(input(op, G, at) + i, n), n);
    }
}

/* Rows [first, end) of one slot, one head. */
static void run_head(const syn_op *op, const syn_call *call, uint32_t head, uint32_t first, uint32_t end) {
    uint32_t size = op->attributes[0], column = head * size;
    size_t each = (size_t)padded(size);
    float *room = (float *)(void *)(call->scratch + call->thread * syn_aligned(VECTORS * 4 * each));
    float *r_k = room, *seen = room + each, *read = room + 2 * each;
    prepared rows[2];
    for (uint32_t n = 0; n < 2; n++) {
        float *own = room + (3 + 5 * n) * each;
        rows[n] = (prepared){own, own + each, own + 2 * each, own + 3 * each, own + 4 * each, 0.0f};
    }
    for (size_t i = size; i < each; i++) r_k[i] = 0.0f;
    syn_decode_row(r_k, &op->in[BONUS], head);
    float *state = (float *)(void *)syn_memory(call, &op->in[STATE], syn_slot(call, &op->in[R], first));
    state += (size_t)column * size;
    prepare(&rows[first % 2], op, r_k, first, column);
    look(seen, state, rows[first % 2].unlearn, size);
    for (uint32_t t = first; t < end; t++) {
        const prepared *row = &rows[t % 2];
        prepared *next = t + 1 < end ? &rows[(t + 1) % 2] : NULL;
        if (next) prepare(next, op, r_k, t + 1, column);
        const float *r = input(op, R, (size_t)t * op->in[R].cols + column);
        take_in(state, seen, read, row, r, next ? next->unlearn : NULL, size);
        finish(op, row, read, t, column);
    }
}

/* A head of a slot is one thread's: they take them in turn. */
static void run(const syn_op *op, const syn_call *call) {
    uint32_t rows = op->in[R].rows, heads = op->in[R].cols / op->attributes[0], turn = 0;
    for (uint32_t first = 0, end; first < rows; first = end) {
        uint32_t ignored;
        syn_run_of(call, &op->in[R], first, &ignored, &end);
        for (uint32_t head = 0; head < heads; head++) {
            if (turn == call->thread) run_head(op, call, head, first, end);
            turn = turn + 1 < call->threads ? turn + 1 : 0;
        }
    }
}

extern const syn_kernel syn_kernel_rwkv_wkv7;
const syn_kernel syn_kernel_rwkv_wkv7 = {SYN_ABI, "rwkv.wkv7", check, scratch_bytes, run};
