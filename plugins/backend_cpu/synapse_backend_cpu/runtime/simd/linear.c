/* linear on vectors, and with the tile instructions (AMX) where there are; what it computes
 * stands in kernels/linear.c and linear.h.
 *
 * Weights stay as they lie. A thread takes 32 rows of a weight at a time, takes a part of their
 * columns apart into a panel that fits the first cache, and multiplies it with all rows of x, a few at
 * a time. One row of x goes through packed weights without a panel (stream.h), in the same order of
 * sums: its bits are the same alone and batched.
 */
#include "../kernels/linear.h"
#include "stream.h"
#include "tile_amx.h"
#include "tile_f32.h"

/* Rows of x up to here are prepared by every thread for itself: cheaper than to wait for the others. */
enum { OWN_ROWS = 4 };
/* Blocks taken apart at a time: as many as a panel holds, but few for a single tile, so that reading
 * weights and multiplying take turns more often than memory takes to answer. */
enum { FEW_BLOCKS = 8 };

/* Tiles of 16 rows that are mostly empty are slower than a few of six. */
enum { MATRIX_WORTH = 13 };

enum { BLOCK_BYTES = 1 << 20 };

/* How an op is laid out: of x for each row, and of a thread's own room. */
typedef struct {
    int integers, own, matrix;        /* of integers; every thread prepares x; by the tile instructions */
    uint32_t cols, rows, blocks;      /* blocks of 32 columns, the last perhaps short */
    uint32_t tile, room_rows;         /* rows of x taken together, and what the last tile has room for */
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

/* Does a float product decode whole rows first? */
static int is_decoded(const syn_operand *w) {
    return w->dtype != SYN_F32 && w->dtype != SYN_F16 && w->dtype != SYN_BF16;
}

static plan plan_of(const syn_op *op, uint32_t threads) {
    const syn_operand *x = &op->in[0];
    uint32_t arith = op->attributes[0];
    plan p = {.integers = arith == ARITH_A8_32 || arith == ARITH_A8_ROW, .own = x->rows <= OWN_ROWS,
              .cols = x->cols, .rows = x->rows, .blocks = x->cols / 32 + (x->cols % 32 != 0)};
    p.matrix = HAS_MATRIX && p.integers && x->rows >= MATRIX_WORTH;
    p.tile = p.matrix ? MATRIX_ROWS : p.integers ? TILE_ROWS : TILE_MOST;
    p.room_rows = p.matrix ? (x->rows + MATRIX_ROWS - 1) / MATRIX_ROWS * MATRIX_ROWS : x->rows;
    p.code_bytes = p.integers ? (size_t)p.blocks * 32 : (size_t)x->cols * 4;
    p.scale_bytes = p.integers ? (size_t)p.blocks * 4 : 0;
    p.x_bytes = (size_t)syn_aligned((p.code_bytes + 4 * p.scale_bytes) * p.room_rows);
    p.copies = p.own ? threads : 1;
    size_t tiles = BLOCK_BYTES / ((p.code_bytes + 4 * p.scale_bytes) * p.tile);
    p.block_rows = (tiles > 1 ? (uint32_t)tiles : 1) * p.tile;
    if (p.block_rows > p.room_rows) p.block_rows = p.room_rows;
    p.sums_bytes = (size_t)p.block_rows * PANEL_ROWS * 4;
    p.panel_bytes = p.integers ? sizeof(syn_panel) : (PART_COLUMNS + 8) * PANEL_ROWS * 4;
    for (uint32_t i = 0; !p.integers && i < op->outputs; i++)
        if (is_decoded(&op->in[1 + 2 * i]))
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
    return (x > small ? x : small) + (uint64_t)threads * room_bytes(&most);
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
        if (p->integers) quantise_row(&tile, row - first, T, numbers, p->cols, arith == ARITH_A8_ROW);
        else pack_row((float *)(void *)tile.code, row - first, T, numbers, p->cols, arith == ARITH_BF16);
    }
}

/* A thread's room. */
typedef struct {
    float *sums;          /* (block_rows, 32); int32 for a8/row */
    uint8_t *panel;
    float *decoded;       /* (32, C) */
    uint32_t begin, end;  /* the rows of x of this block; the end may be in the last tile's room */
} room;

static void integer_sums(const plan *p, const room *r, uint8_t *x, const syn_operand *w, uint32_t n) {
    syn_panel *panel = (syn_panel *)(void *)r->panel;
    syn_rows16 low = weight_rows(w, n), high = weight_rows(w, n + GROUP_ROWS);
    if (p->rows == 1 && w->packed && w->dtype != SYN_INT8) {
        syn_tile tile = tile_at(p, x, 0);
        multiply_stream(r->sums, &low, w->dtype, &tile, p->blocks);
        if (n + GROUP_ROWS < w->rows) multiply_stream(r->sums + GROUP_ROWS, &high, w->dtype, &tile, p->blocks);
        return;
    }
    uint32_t most = p->rows <= TILE_ROWS ? FEW_BLOCKS : panel_blocks(w->dtype);
    for (uint32_t first = 0; first < p->blocks; first += most) {
        uint32_t blocks = p->blocks - first < most ? p->blocks - first : most;
        expand_half(panel, 0, &low, w, first, blocks, CODES_RAISED && !p->matrix);
        expand_half(panel, 1, &high, w, first, blocks, CODES_RAISED && !p->matrix);
        for (uint32_t t = r->begin, T; t < r->end; t += T) {
            T = tile_rows(p, t);
            float *sums = r->sums + (size_t)(t - r->begin) * PANEL_ROWS;
            syn_tile tile = tile_at(p, x, t);
            tile.code += (size_t)first * 8 * T;
            tile.sum += (size_t)first * 3 * T;
            tile.scale += (size_t)first * T;
            if (p->matrix) multiply_matrix(sums, panel, &tile, blocks, w->dtype);
            else multiply_int8(sums, panel, &tile, blocks, w->dtype, T);
        }
    }
}

static void float_sums(const plan *p, const room *r, uint8_t *x, const syn_operand *w, uint32_t n, int round) {
    float *panel = (float *)(void *)r->panel;
    uint32_t dtype = w->dtype, left = w->rows - n;
    syn_rows16 low, high;
    if (is_decoded(w)) {
        left = left < PANEL_ROWS ? left : PANEL_ROWS;
        for (uint32_t i = 0; i < left; i++) syn_decode_row(r->decoded + (size_t)i * p->cols, w, n + i);
        low = rows_at((const uint8_t *)r->decoded, (size_t)p->cols * 4, 0, left);
        high = rows_at((const uint8_t *)r->decoded, (size_t)p->cols * 4, GROUP_ROWS, left);
        dtype = SYN_F32;
    } else {
        low = weight_rows(w, n);
        high = weight_rows(w, n + GROUP_ROWS);
        if (p->rows == 1 && w->packed && (!round || dtype == SYN_BF16)) {
            const float *row = (const float *)(const void *)x;
            stream_f32(r->sums, &low, dtype, row, p->cols);
            if (n + GROUP_ROWS < w->rows) stream_f32(r->sums + GROUP_ROWS, &high, dtype, row, p->cols);
            return;
        }
    }
    for (uint32_t from = 0; from < p->cols; from += PART_COLUMNS) {
        uint32_t count = p->cols - from < PART_COLUMNS ? p->cols - from : PART_COLUMNS;
        expand_floats(panel, 0, &low, dtype, from, count);
        expand_floats(panel, 1, &high, dtype, from, count);
        for (uint32_t i = 0; round && dtype != SYN_BF16 && i < count * PANEL_ROWS; i++)
            panel[i] = syn_from_bf16(syn_to_bf16(panel[i]));
        for (uint32_t t = r->begin, T; t < r->end; t += T) {
            T = tile_rows(p, t);
            const float *tile = (const float *)(const void *)tile_at(p, x, t).code + (size_t)from * T;
            multiply_f32(r->sums + (size_t)(t - r->begin) * PANEL_ROWS, panel, tile, count, T);
        }
    }
}

/* Scales of the rows of int8 from n on, of a vector. */
static syn_vf row_scales(const syn_operand *w, uint32_t n) {
    syn_rows16 r = weight_rows(w, n / GROUP_ROWS * GROUP_ROWS);
    return (syn_vf)take_word(&r, n % GROUP_ROWS / SYN_LANES, 0, r.packed != NULL);
}

/* Outputs of more bytes than this go past the caches: lines far apart would each be read in order to
 * be written. */
enum { STREAM_BYTES = 1 << 19 };

/* Sums of rows [n, n + 32) of w → y (T, N) */
static void put_outputs(const plan *p, const room *r, uint8_t *x, const syn_operand *w, const float *bias, float *y,
                        uint32_t n) {
    int by_row = w->dtype == SYN_INT8 && p->integers;
    for (uint32_t v = 0, at = n; v < PANEL_VECTORS && at < w->rows; v++, at += SYN_LANES) {
        uint32_t left = w->rows - at;
        const float *from = r->sums + v * SYN_LANES;
        syn_vf add = bias ? syn_v_load_part(bias + at, left) : syn_v_set(0.0f);
        int streams = left >= SYN_LANES && ((uintptr_t)(y + at) | w->rows * 4) % sizeof(syn_vf) == 0
                      && (uint64_t)p->rows * w->rows * 4 > STREAM_BYTES;
        syn_vf scale = by_row ? row_scales(w, at) : add;
        for (uint32_t t = r->begin, first = t; t < r->end && t < p->rows; t++, from += PANEL_ROWS) {
            syn_vf sum = syn_v_load(from);
            if (t - first == p->tile) first = t;
            if (by_row) sum = syn_v_of((syn_vi)sum) * (scale * tile_at(p, x, first).scale[t - first]);
            float *to = y + (size_t)t * w->rows + at;
            if (streams) syn_v_stream(to, sum + add);
            else syn_v_store_part(to, sum + add, left);
        }
    }
}

static uint32_t panels_of(const syn_operand *w) { return (w->rows + PANEL_ROWS - 1) / PANEL_ROWS; }

/* Panels [from, end) of one pair, as far as it has them, for a block of rows. */
static void multiply(const syn_op *op, uint32_t pair, const plan *p, const room *r, uint8_t *x, uint32_t from,
                     uint32_t end) {
    const syn_operand *w = &op->in[1 + 2 * pair], *b = &op->in[2 + 2 * pair];
    const float *bias = b->kind == SYN_NONE ? NULL : (const void *)b->data;
    float *y = (float *)(void *)op->out[pair].data;
    if (p->matrix) configure_tiles(syn_block_format_of(w->dtype).run == 16 ? 16 : 32);
    if (end > panels_of(w)) end = panels_of(w);
    for (uint32_t n = from * PANEL_ROWS; n < end * PANEL_ROWS; n += PANEL_ROWS) {
        __builtin_memset(r->sums, 0, p->sums_bytes);
        if (p->integers) integer_sums(p, r, x, w, n);
        else float_sums(p, r, x, w, n, op->attributes[0] == ARITH_BF16);
        put_outputs(p, r, x, w, bias, y, n);
    }
}

/* x (T, C), w (N, C), b (N) → y (T, N), for each pair; threads share the panels of all w. */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *x = &op->in[0];
    uint32_t arith = op->attributes[0], panels = 0, lo, hi;
    plan p = plan_of(op, call->threads);
    uint8_t *prepared = call->scratch + (p.own ? call->thread * p.x_bytes : 0);
    uint8_t *mine = call->scratch + p.copies * p.x_bytes + call->thread * room_bytes(&p);
    uint8_t *decoded = mine + p.sums_bytes + p.panel_bytes;
    room r = {(float *)(void *)mine, mine + p.sums_bytes, (float *)(void *)decoded, 0, 0};
    const float *numbers = (const float *)(const void *)x->data;
    if (p.own) {
        prepare(&p, arith, prepared, numbers, 0, p.rows);
    } else {
        syn_share(call, p.rows, &lo, &hi);
        prepare(&p, arith, prepared, numbers, lo, hi);
        syn_barrier(call);
    }
    for (uint32_t i = 0; i < op->outputs; i++) panels += panels_of(&op->in[1 + 2 * i]);
    syn_share(call, panels, &lo, &hi);
    for (r.begin = 0; r.begin < p.room_rows; r.begin = r.end) {
        r.end = p.room_rows - r.begin < p.block_rows ? p.room_rows : r.begin + p.block_rows;
        for (uint32_t i = 0, before = 0; i < op->outputs; before += panels_of(&op->in[1 + 2 * i]), i++)
            multiply(op, i, &p, &r, prepared, lo > before ? lo - before : 0, hi > before ? hi - before : 0);
    }
    if (p.matrix) release_tiles();
    syn_v_fence();
}

extern const syn_kernel syn_kernel_linear;
const syn_kernel syn_kernel_linear = {SYN_ABI, "linear", check, scratch_bytes, run};
