/* linear on vectors, and by the tile instructions (AMX) or those of squares (SMMLA) where there are; what it computes
 * stands in kernels/linear.c and linear.h.
 *
 * Weights stay as they lie. A thread takes 32 rows of a weight at a time, takes a part of their
 * columns apart into a panel that fits the first cache, and multiplies it with all rows of x, a few at
 * a time. One row of x, or a few, go through packed weights without a panel (stream.c), in the same order
 * of sums: a row's bits are the same alone and batched.
 *
 * Floats are multiplied in float32 (tile_f32.h), with AMX in parts of bfloat16 (tile_bf16.h).
 */
#include "../kernels/linear.h"

/* The instruction is let into this file and stream.c alone, and the larger and smaller of two are asked for by name: a
 * compiler that may use wasm's relaxed instructions takes those, too, whose results differ from engine to engine. */
#ifdef SYN_RELAXED_DOT
#pragma clang attribute push(__attribute__((target("relaxed-simd"))), apply_to = function)
#endif
#include "panel_fill.h"
#include "stream.h"
#include "tile_amx.h"
#include "tile_bf16.h"
#include "tile_mmla.h"

/* Rows of x up to here are prepared by every thread for itself: cheaper than to wait for the others. */
enum { OWN_ROWS = 4 };
/* Blocks taken apart at a time: as many as a panel holds, but few for a single tile, so that reading
 * weights and multiplying take turns more often than memory takes to answer. */
enum { FEW_BLOCKS = 8 };

/* Tiles of 16 rows that are mostly empty are slower than a few of six. */
enum { MATRIX_WORTH = 13 };

enum { BLOCK_BYTES = 1 << 20 };

/* Steps of packed bfloat16 that go through all rows of x together. */
enum { PACKED_STEPS = 32 };

/* Where weights are few and rows of x many, threads share the rows: then what a thread writes is what it reads in the
 * next op, in its own cache, and none waits for x. Each takes all weights apart, which must be little work. */
enum { APART_ROWS = 64, APART_BYTES = 1 << 20 };

/* How an op is laid out: of x for each row, and of a thread's own room. */
typedef struct {
    int integers, own;                /* products of integers; every thread prepares x */
    int by_row;                       /* of integers: with a scale for a whole row */
    int streams;                      /* a few rows of x go through packed weights without a panel */
    int matrix, split;                /* by the tile instructions: of integers, of numbers in parts */
    int squares;                      /* of integers, two rows by two */
    uint32_t cols, rows, blocks;      /* blocks of 32 columns, the last perhaps short */
    uint32_t tile, room_rows;         /* rows of x taken together, and what the last tile has room for */
    int apart;                        /* every thread has rows of x of its own, and goes through all weights */
    uint32_t block_rows;              /* rows of x that stay in the second cache while panels go by */
    size_t code_bytes, scale_bytes;   /* of a row of x; codes, or numbers */
    size_t x_bytes, sums_bytes, panel_bytes, decoded_bytes;
    uint32_t copies;
} plan;

/* Offsets of the 16 rows of a vector must be 32-bit numbers. */
enum { MOST_ROW_BYTES = 0x07ffffff };

static int check(const syn_op *op) {
    int code = linear_check(op);
    for (uint32_t i = 0; !code && i < op->outputs; i++)
        if (op->in[1 + 2 * i].row_bytes > MOST_ROW_BYTES) code = TOO_MANY_COLUMNS;
    return code;
}

/* Rows of x that all weights let through together without a panel; 0: a weight is not packed, or has no blocks. */
static uint32_t streamed_rows(const syn_op *op) {
    uint32_t most = op->attributes[0] == ARITH_A8_32 ? STREAM_ROWS : 0;
    for (uint32_t i = 0; i < op->outputs; i++) {
        const syn_operand *w = &op->in[1 + 2 * i];
        uint32_t rows = w->packed && w->dtype != SYN_INT8 ? stream_rows(w->dtype) : 0;
        if (rows < most) most = rows;
    }
    return most;
}

static plan plan_of(const syn_op *op, uint32_t threads) {
    const syn_operand *x = &op->in[0];
    uint32_t arith = op->attributes[0];
    plan p = {.integers = arith == ARITH_A8_32 || arith == ARITH_A8_ROW, .own = x->rows <= OWN_ROWS,
              .cols = x->cols, .rows = x->rows, .blocks = x->cols / 32 + (x->cols % 32 != 0)};
    p.streams = x->rows <= streamed_rows(op);
    p.matrix = HAS_MATRIX && p.integers && !p.streams && x->rows >= MATRIX_WORTH;
    p.split = HAS_MATRIX && !p.integers;
    p.squares = HAS_SQUARES && p.integers && x->rows > 1;
    p.tile = p.matrix || p.split ? MATRIX_ROWS : p.integers ? TILE_ROWS : TILE_MOST;
    if (p.streams) p.tile = STREAM_ROWS;
    int fills = p.matrix || (p.split && x->rows > MATRIX_ROWS);
    p.room_rows = fills ? (x->rows + MATRIX_ROWS - 1) / MATRIX_ROWS * MATRIX_ROWS : x->rows;
    p.by_row = arith == ARITH_A8_ROW;
    p.code_bytes = p.integers ? (size_t)p.blocks * 32 : (size_t)x->cols * 4;
    if (p.matrix && p.by_row) p.code_bytes = ((size_t)p.blocks + 1) / 2 * 64;  /* two blocks beside each other */
    if (p.split) p.code_bytes = (size_t)p.blocks * STEP_COLUMNS * 2 * x_parts(arith == ARITH_BF16);
    p.scale_bytes = p.integers ? (size_t)p.blocks * 4 : 0;
    uint64_t weights = 0;
    for (uint32_t i = 0; i < op->outputs; i++) weights += (uint64_t)op->in[1 + 2 * i].rows * op->in[1 + 2 * i].row_bytes;
    p.apart = threads > 1 && x->rows >= APART_ROWS * threads && weights <= APART_BYTES;
    p.x_bytes = (size_t)syn_aligned((p.code_bytes + 4 * p.scale_bytes) * p.room_rows);
    p.copies = p.own ? threads : 1;
    size_t tiles = BLOCK_BYTES / ((p.code_bytes + 4 * p.scale_bytes) * p.tile);
    p.block_rows = (tiles > 1 ? (uint32_t)tiles : 1) * p.tile;
    if (p.block_rows > p.room_rows) p.block_rows = p.room_rows;
    p.sums_bytes = (size_t)p.block_rows * PANEL_ROWS * 4;
    p.panel_bytes = p.integers ? sizeof(syn_panel) : (PART_COLUMNS + 8) * PANEL_ROWS * 4;
    if (p.split) p.panel_bytes = SPLIT_PANEL_BYTES;
    for (uint32_t i = 0; !p.integers && i < op->outputs; i++)
        if (is_decoded(arith, op->in[1 + 2 * i].dtype))
            p.decoded_bytes = (size_t)syn_aligned((uint64_t)x->cols * 4 * PANEL_ROWS);
    return p;
}

static size_t room_bytes(const plan *p) { return p->sums_bytes + p->panel_bytes + p->decoded_bytes; }

/* Prepared x, once or for each thread; then of each thread: sums (T, 32), a panel, decoded rows (32, C). */
static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    plan most = plan_of(op, threads), few = most;
    if (!most.own) {  /* a call with few rows of x has more copies of them */
        syn_op small = *op;
        small.in[0].rows = OWN_ROWS;
        few = plan_of(&small, threads);
    }
    uint64_t x = (uint64_t)most.x_bytes * most.copies, small = (uint64_t)few.x_bytes * few.copies;
    uint64_t room = room_bytes(&most);  /* rows that stream are not divided into blocks */
    uint32_t together = most.rows < STREAM_ROWS ? most.rows : STREAM_ROWS;
    if (most.block_rows < together) room += (uint64_t)(together - most.block_rows) * PANEL_ROWS * 4;
    return (x > small ? x : small) + threads * room;
}

/* Rows of x in the tile that begins at row t; a matrix tile is always full, its last rows perhaps unused. */
static uint32_t tile_rows(const plan *p, uint32_t t) {
    uint32_t left = p->room_rows - t;
    return left < p->tile ? left : p->tile;
}

/* A tile's codes, sums and scales: three arrays over all rows of x. */
static syn_tile tile_at(const plan *p, uint8_t *x, uint32_t t) {
    uint8_t *sums = x + p->code_bytes * p->room_rows, *scales = sums + 3 * p->scale_bytes * p->room_rows;
    return (syn_tile){(int32_t *)(void *)(x + p->code_bytes * t), (int32_t *)(void *)(sums + 3 * p->scale_bytes * t),
                      (float *)(void *)(scales + p->scale_bytes * t)};
}

/* Rows [lo, hi) of x (T, C) → prepared. */
static void prepare(const plan *p, uint32_t arith, uint8_t *to, const float *x, uint32_t lo, uint32_t hi) {
    for (uint32_t row = lo; row < hi; row++) {
        uint32_t first = row - row % p->tile, T = tile_rows(p, first);
        const float *numbers = x + (size_t)row * p->cols;
        syn_tile tile = tile_at(p, to, first);
        uint32_t t = row - first;
        int round = arith == ARITH_BF16;
        if (p->integers) quantise_row(&tile, t, T, numbers, p->cols, p->by_row);
        else if (p->split) split_row((uint16_t *)(void *)tile.code, t, T, numbers, p->cols, x_parts(round));
        else pack_row((float *)(void *)tile.code, t, T, numbers, p->cols, round);
    }
}

/* A thread's room. */
typedef struct {
    float *sums;          /* (block_rows, 32); int32 for a8/row */
    uint8_t *panel;
    float *decoded;       /* (32, C) */
    uint32_t begin, end;  /* the rows of x of this block; the end may be in the last tile's room */
    uint32_t from, until; /* the rows of all its blocks */
} room;

/* 32 rows of a weight from n on, and what their products with x become on their way to y. */
typedef struct {
    const plan *p;
    const room *r;
    const syn_operand *w;
    uint8_t *x;            /* prepared */
    const float *numbers;  /* the same as they came, (T, C) */
    float *y;              /* (T, N) from its column n on */
    uint32_t n;
    int round, past_caches;
    syn_vf add[PANEL_VECTORS], scale[PANEL_VECTORS];
} strip;

static void put_outputs(const strip *s, const float *sums, uint32_t t, uint32_t T);

/* Where the sums of T rows of x from t on are made, from zero on if the columns begin. Those that are whole after one
 * part of the columns need a place only until they are put out. */
static float *sums_at(const strip *s, uint32_t t, uint32_t T, int begins, int ends) {
    float *sums = s->r->sums + (begins && ends ? 0 : (size_t)(t - s->r->begin) * PANEL_ROWS);
    if (begins) __builtin_memset(sums, 0, (size_t)T * PANEL_ROWS * 4);
    return sums;
}

static void integer_sums(const strip *s) {
    const plan *p = s->p;
    const room *r = s->r;
    const syn_operand *w = s->w;
    syn_panel *panel = (syn_panel *)(void *)r->panel;
    syn_rows16 low = weight_rows(w, s->n), high = weight_rows(w, s->n + GROUP_ROWS);
    for (uint32_t h = 0; p->streams && h < 2 && s->n + h * GROUP_ROWS < w->rows; h++) {
        syn_tile tile = tile_at(p, s->x, 0);
        syn_stream_blocks(r->sums + h * GROUP_ROWS, h ? &high : &low, w->dtype, &tile, p->blocks, p->rows);
    }
    if (p->streams) {
        put_outputs(s, r->sums, 0, p->rows);
        return;
    }
    uint32_t as = p->squares ? AS_SQUARES : CODES_RAISED && !p->matrix ? AS_RAISED : AS_SIGNED;
    uint32_t most = p->rows <= TILE_ROWS ? FEW_BLOCKS : panel_blocks(w->dtype);
    for (uint32_t first = 0; first < p->blocks; first += most) {
        uint32_t blocks = p->blocks - first < most ? p->blocks - first : most;
        int begins = first == 0, ends = first + blocks == p->blocks;
        expand_half(panel, 0, &low, w, first, blocks, as);
        expand_half(panel, 1, &high, w, first, blocks, as);
        for (uint32_t t = r->begin, T; t < r->end; t += T) {
            T = tile_rows(p, t);
            syn_tile tile = tile_at(p, s->x, t);
            if (p->matrix && p->by_row) {
                int both = t + T < r->end;
                uint32_t rows = both ? 2 * T : T;
                float *to = sums_at(s, t, rows, begins, ends);
                multiply_row((int32_t *)(void *)to, panel, tile.code + (size_t)first * 8 * T, p->code_bytes / 4 * T,
                             blocks, both);
                for (uint32_t i = 0; ends && i < rows; i += T) put_outputs(s, to + (size_t)i * PANEL_ROWS, t + i, T);
                t += rows - T;
                continue;
            }
            float *sums = sums_at(s, t, T, begins, ends);
            tile.code += (size_t)first * 8 * T;
            tile.sum += (size_t)first * 3 * T;
            tile.scale += (size_t)first * T;
            if (p->matrix) multiply_matrix(sums, panel, &tile, blocks, w->dtype);
            else if (p->squares) multiply_squares(sums, panel, &tile, blocks, w->dtype, T);
            else multiply_int8(sums, panel, &tile, blocks, w->dtype, T);
            if (ends) put_outputs(s, sums, t, T);
        }
    }
}

/* Up to 32 rows from n on of a format that float products do not read → (32, C) */
static void decode_rows(float *to, const syn_operand *w, uint32_t n) {
    for (uint32_t i = 0; is_decoded(ARITH_F32, w->dtype) && i < PANEL_ROWS && n + i < w->rows; i++)
        syn_decode_row(to + (size_t)i * w->cols, w, n + i);
}

/* The rows of a strip as a float product reads them; return their format. */
static uint32_t float_rows(const strip *s, syn_rows16 rows[2]) {
    const syn_operand *w = s->w;
    uint32_t left = w->rows - s->n < PANEL_ROWS ? w->rows - s->n : PANEL_ROWS;
    const uint8_t *decoded = is_decoded(ARITH_F32, w->dtype) ? (const uint8_t *)s->r->decoded : NULL;
    for (uint32_t h = 0; h < 2; h++)
        rows[h] = decoded ? rows_at(decoded, (size_t)s->p->cols * 4, h * GROUP_ROWS, left)
                          : weight_rows(w, s->n + h * GROUP_ROWS);
    return decoded ? SYN_F32 : w->dtype;
}

/* Columns [from, from + count) of 32 rows → panel (count, 32), rounded to bfloat16 if asked. */
static void expand_part(float *panel, const syn_rows16 rows[2], uint32_t dtype, uint32_t from, uint32_t count,
                        int round) {
    expand_floats(panel, 0, &rows[0], dtype, from, count);
    expand_floats(panel, 1, &rows[1], dtype, from, count);
    for (uint32_t i = 0; round && dtype != SYN_BF16 && i < count * PANEL_ROWS; i++)
        panel[i] = syn_from_bf16(syn_to_bf16(panel[i]));
}

/* By fused multiply-adds. */
static void float_sums(const strip *s) {
    const plan *p = s->p;
    const room *r = s->r;
    float *panel = (float *)(void *)r->panel;
    syn_rows16 rows[2];
    uint32_t dtype = float_rows(s, rows);
    if (p->rows == 1 && rows[0].packed && (!s->round || dtype == SYN_BF16)) {
        const float *row = (const float *)(const void *)s->x;
        syn_stream_floats(r->sums, &rows[0], dtype, row, p->cols);
        if (s->n + GROUP_ROWS < s->w->rows) syn_stream_floats(r->sums + GROUP_ROWS, &rows[1], dtype, row, p->cols);
        put_outputs(s, r->sums, 0, 1);
        return;
    }
    for (uint32_t from = 0; from < p->cols; from += PART_COLUMNS) {
        uint32_t count = p->cols - from < PART_COLUMNS ? p->cols - from : PART_COLUMNS;
        int begins = from == 0, ends = from + count == p->cols;
        expand_part(panel, rows, dtype, from, count, s->round);
        for (uint32_t t = r->begin, T; t < r->end; t += T) {
            T = tile_rows(p, t);
            const float *tile = (const float *)(const void *)tile_at(p, s->x, t).code + (size_t)from * T;
            float *sums = sums_at(s, t, T, begins, ends);
            multiply_f32(sums, panel, tile, count, T);
            if (ends) put_outputs(s, sums, t, T);
        }
    }
}

#ifdef __AMX_BF16__

/* Is any lane not zero? */
static int has_any(syn_vi mask) { return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0; }

/* By tiles of bfloat16. */
static void split_sums(const strip *s) {
    const plan *p = s->p;
    const room *r = s->r;
    syn_rows16 rows[2];
    uint32_t dtype = float_rows(s, rows), parts = parts_of(dtype, s->round);
    /* Steps that a panel has room for; bfloat16 that lie packed need none. Sums go through memory between them: the
     * more the better, but for three parts, whose panel would not stay near. */
    uint32_t most = parts == MOST_PARTS ? 4 : SPLIT_PANEL_BYTES / (2 * SPLIT_BYTES) / parts, T = tile_rows(p, 0);
    if (rows[0].packed && dtype == SYN_BF16 && p->cols % STEP_COLUMNS == 0) most = PACKED_STEPS;
    syn_split_x tile = {(const uint16_t *)(const void *)s->x, p->code_bytes / 2 * T, T, x_parts(s->round)};
    for (uint32_t h = 0; h < 2 && rows[h].packed; h++) rows[h].ahead = rows[h].packed + NEAR_BYTES;
    if (p->rows <= MATRIX_ROWS && rows[0].packed) {
        stream_parts(r->sums, rows, &tile, p->cols, dtype);
        put_outputs(s, r->sums, 0, p->rows);
        return;
    }
    for (uint32_t step = 0; step < p->blocks; step += most) {
        uint32_t left = p->blocks - step, from = step * STEP_COLUMNS;
        syn_split split = {.steps = left < most ? left : most, .stored = parts, .parts = 1};
        uint32_t end = from + split.steps * STEP_COLUMNS, count = (end < p->cols ? end : p->cols) - from;
        int as_packed = rows[0].packed && dtype == SYN_BF16 && p->cols % STEP_COLUMNS == 0;
        int begins = step == 0, ends = left == split.steps;
        for (uint32_t h = 0; h < 2; h++) {
            uint8_t *to = r->panel + (size_t)h * split.steps * parts * SPLIT_BYTES;
            split.half[h] = as_packed ? rows[h].packed + (size_t)from * 2 * GROUP_ROWS : to;
            if (as_packed) continue;
            uint32_t used = split_weights(to, &rows[h], dtype, s->round, from, count);
            if (used > split.parts) split.parts = used;
        }
        for (uint32_t t = r->begin, rows_x; t < r->end; t += rows_x) {
            int both = t + T < r->end;
            rows_x = both ? 2 * T : T;
            tile.at = (const uint16_t *)(const void *)tile_at(p, s->x, t).code + (size_t)from * tile.parts * T;
            float *sums = sums_at(s, t, rows_x, begins, ends);
            multiply_parts(sums, &split, &tile, both, as_packed && t == r->begin);
            if (ends) put_outputs(s, sums, t, rows_x);
        }
    }
}

/* Are all numbers of x (C) so small that their products would be lost in tiles? */
static int is_tiny(const float *x, uint32_t cols) {
    syn_vf most = syn_v_set(0.0f);
    for (uint32_t i = 0; i < cols; i += SYN_LANES) most = syn_v_max(syn_v_abs(syn_v_load_part(x + i, cols - i)), most);
    float top = syn_v_top(most);
    return top > 0.0f && top < 0x1p-60f;
}

SYN_INLINE syn_vi is_large(syn_vf size) { return ~(size <= syn_v_set(0x1.fffffep127f)); }

SYN_INLINE syn_vi is_small(syn_vf size) { return size < syn_v_set(0x1p-60f); }

/* Sums of vector v of a strip with one row of x that parts of numbers have not done (infinities, no numbers, the
 * smallest and the largest): they are made by fused multiply-adds; that depends on this row of x and that of w alone. */
__attribute__((noinline)) static syn_vf mend_sums(syn_vf sum, const strip *s, uint32_t v, uint32_t t) {
    const float *x = s->numbers + (size_t)t * s->p->cols;
    syn_vi bad = is_large(syn_v_abs(sum)), small = is_small(syn_v_abs(sum));
    if (has_any(small) && is_tiny(x, s->p->cols)) bad |= small;
    if (!has_any(bad)) return sum;
    float row[PART_COLUMNS], y[PANEL_ROWS] = {0};
    _Alignas(64) float panel[(PART_COLUMNS + 8) * PANEL_ROWS];  /* the room's is still in use */
    syn_rows16 rows[2];
    uint32_t dtype = float_rows(s, rows);
    for (uint32_t from = 0; from < s->p->cols; from += PART_COLUMNS) {
        uint32_t count = s->p->cols - from < PART_COLUMNS ? s->p->cols - from : PART_COLUMNS;
        expand_part(panel, rows, dtype, from, count, s->round);
        pack_row(row, 0, 1, x + from, count, s->round);
        multiply_f32(y, panel, row, count, 1);
    }
    return syn_v_select(bad, syn_v_load(y + v * SYN_LANES), sum);
}

SYN_INLINE syn_vf mended(syn_vf sum, const strip *s, uint32_t v, uint32_t t) {
    syn_vf size = syn_v_abs(sum);
    return has_any(is_large(size) | is_small(size)) ? mend_sums(sum, s, v, t) : sum;
}

#else
static void split_sums(const strip *s) { (void)s; }

SYN_INLINE syn_vf mended(syn_vf sum, const strip *s, uint32_t v, uint32_t t) {
    (void)s, (void)v, (void)t;
    return sum;
}
#endif

/* T rows of sums (T, 32) from row t of x on → y; the compiler knows what is done to them. */
SYN_INLINE void put_rows(const strip *s, const float *sums, uint32_t t, uint32_t T, int by_row, int split,
                         int past_caches, int whole) {
    const float *x_scale = by_row ? tile_at(s->p, s->x, t).scale : NULL;
    uint32_t width = s->w->rows;
    for (uint32_t i = 0; i < T; i++, sums += PANEL_ROWS) {
        float *to = s->y + (size_t)(t + i) * width;
        for (uint32_t v = 0, at = 0; v < PANEL_VECTORS && (whole || s->n + at < width); v++, at += SYN_LANES) {
            syn_vf sum = syn_v_load(sums + at);
            if (by_row) sum = syn_v_of((syn_vi)sum) * (s->scale[v] * x_scale[i]);
            if (split) sum = mended(sum, s, v, t + i);
            sum += s->add[v];
            if (past_caches) syn_v_stream(to + at, sum);
            else if (whole) syn_v_store(to + at, sum);
            else syn_v_store_part(to + at, sum, width - s->n - at);
        }
    }
}

/* Sums of a tile, T rows from t on, some perhaps in the room behind the last → y; of two, where no scales are of rows. */
static void put_outputs(const strip *s, const float *sums, uint32_t t, uint32_t T) {
    int whole = s->w->rows - s->n >= PANEL_ROWS;
    if (T > s->p->rows - t) T = s->p->rows - t;
#define PUT(past_caches, whole) \
    (s->p->by_row  ? put_rows(s, sums, t, T, 1, 0, past_caches, whole) \
     : s->p->split ? put_rows(s, sums, t, T, 0, 1, past_caches, whole) \
                   : put_rows(s, sums, t, T, 0, 0, past_caches, whole))
    if (s->past_caches) PUT(1, 1);
    else if (whole) PUT(0, 1);
    else PUT(0, 0);
#undef PUT
}

/* Scales of the rows of int8 from n on, of a vector. */
static syn_vf row_scales(const syn_operand *w, uint32_t n) {
    syn_rows16 r = weight_rows(w, n / GROUP_ROWS * GROUP_ROWS);
    return (syn_vf)take_word(&r, n % GROUP_ROWS / SYN_LANES, 0, r.packed != NULL);
}

/* Outputs of more bytes than this go past the caches: lines far apart would each be read in order to
 * be written. */
enum { PAST_CACHES_BYTES = 1 << 19 };

static strip strip_at(const syn_op *op, uint32_t pair, const plan *p, const room *r, uint8_t *x, uint32_t n) {
    const syn_operand *w = &op->in[1 + 2 * pair], *b = &op->in[2 + 2 * pair];
    const float *bias = b->kind == SYN_NONE ? NULL : (const void *)b->data;
    strip s = {.p = p, .r = r, .w = w, .x = x, .n = n, .round = op->attributes[0] == ARITH_BF16,
               .numbers = (const float *)(const void *)op->in[0].data,
               .y = (float *)(void *)op->out[pair].data + n};
    int aligned = ((uintptr_t)s.y | (uintptr_t)w->rows * 4) % sizeof(syn_vf) == 0;
    uint64_t bytes = (uint64_t)(r->until - r->from) * w->rows * 4;
    s.past_caches = w->rows - n >= PANEL_ROWS && aligned && bytes > PAST_CACHES_BYTES;
    for (uint32_t v = 0, at = n; v < PANEL_VECTORS; v++, at += SYN_LANES) {
        s.add[v] = bias && at < w->rows ? syn_v_load_part(bias + at, w->rows - at) : syn_v_set(0.0f);
        s.scale[v] = p->by_row && at < w->rows ? row_scales(w, at) : s.add[v];
    }
    return s;
}

static uint32_t panels_of(const syn_operand *w) { return (w->rows + PANEL_ROWS - 1) / PANEL_ROWS; }

/* Panels [from, end) of one pair, as far as it has them, for a block of rows. */
static void multiply(const syn_op *op, uint32_t pair, const plan *p, const room *r, uint8_t *x, uint32_t from,
                     uint32_t end) {
    const syn_operand *w = &op->in[1 + 2 * pair];
    if (p->matrix) configure_tiles(MATRIX_ROWS, p->by_row ? 64 : syn_block_format_of(w->dtype).run == 16 ? 16 : 32);
    if (p->split) configure_tiles(tile_rows(p, 0), 64);
    if (end > panels_of(w)) end = panels_of(w);
    for (uint32_t n = from * PANEL_ROWS; n < end * PANEL_ROWS; n += PANEL_ROWS) {
        strip s = strip_at(op, pair, p, r, x, n);
        if (!p->integers) decode_rows(r->decoded, w, n);
        if (p->integers) integer_sums(&s);
        else if (p->split) split_sums(&s);
        else float_sums(&s);
    }
}

/* x (T, C), w (N, C), b (N) → y (T, N), for each pair; threads share the panels of all w, or the rows. */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *x = &op->in[0];
    uint32_t arith = op->attributes[0], panels = 0, lo, hi;
    plan p = plan_of(op, call->threads);
    uint8_t *prepared = call->scratch + (p.own ? call->thread * p.x_bytes : 0);
    uint8_t *mine = call->scratch + p.copies * p.x_bytes + call->thread * room_bytes(&p);
    uint8_t *decoded = mine + p.sums_bytes + p.panel_bytes;
    room r = {(float *)(void *)mine, mine + p.sums_bytes, (float *)(void *)decoded, 0, 0, 0, p.room_rows};
    const float *numbers = (const float *)(const void *)x->data;
    if (p.own) {
        prepare(&p, arith, prepared, numbers, 0, p.rows);
    } else if (p.apart) {
        syn_share(call, (p.room_rows + p.tile - 1) / p.tile, &lo, &hi);
        r.from = lo * p.tile;
        r.until = hi * p.tile < p.room_rows ? hi * p.tile : p.room_rows;
        prepare(&p, arith, prepared, numbers, r.from, r.until < p.rows ? r.until : p.rows);
    } else {
        syn_share(call, p.rows, &lo, &hi);
        prepare(&p, arith, prepared, numbers, lo, hi);
        syn_barrier(call);
    }
    for (uint32_t i = 0; i < op->outputs; i++) panels += panels_of(&op->in[1 + 2 * i]);
    syn_share(call, panels, &lo, &hi);
    if (p.apart) lo = 0, hi = panels;
    for (r.begin = r.from; r.begin < r.until; r.begin = r.end) {
        r.end = r.until - r.begin < p.block_rows ? r.until : r.begin + p.block_rows;
        for (uint32_t i = 0, before = 0; i < op->outputs; before += panels_of(&op->in[1 + 2 * i]), i++)
            multiply(op, i, &p, &r, prepared, lo > before ? lo - before : 0, hi > before ? hi - before : 0);
    }
    if (p.matrix || p.split) release_tiles();
    syn_v_fence();
}
#ifdef SYN_RELAXED_DOT
#pragma clang attribute pop
#endif

extern const syn_kernel syn_kernel_linear;
const syn_kernel syn_kernel_linear = {SYN_ABI, "linear", check, scratch_bytes, run};
