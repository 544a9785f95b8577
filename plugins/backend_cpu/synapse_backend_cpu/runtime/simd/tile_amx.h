/* Products of a panel of 32 rows of integer weights with 16 quantised rows of x by the tile
 * instructions (TDPBSSD).
 *
 * The integer sums of a run are exact, and they are scaled and added as tile_int8.h does it: the same
 * bits.
 */
#ifndef SYN_TILE_AMX_H
#define SYN_TILE_AMX_H

#include "tile_int8.h"

#if HAS_MATRIX

/* Tiles 0 to 3 are sums of `rows` rows of x by 16 of w, 4 and 5 rows of x, of so many bytes, 6 and 7
 * weights: a product takes long to come out, so four are on their way at a time. */
SYN_INLINE void configure_tiles(uint32_t rows, uint32_t bytes) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t columns[16];  /* in bytes */
        uint8_t rows[16];
    } tiles = {.palette = 1};
    for (uint32_t i = 0; i < 8; i++) {
        tiles.columns[i] = i == 4 || i == 5 ? (uint16_t)bytes : 64;
        tiles.rows[i] = (uint8_t)(i < 6 ? rows : bytes / 4);
    }
    _tile_loadconfig(&tiles);
}

SYN_INLINE void release_tiles(void) { _tile_release(); }

/* c += x (16, 8 words) · weights (words, 16), these two vectors apart */
#define SYN_ADD_PRODUCT(c, a, b, x, code) \
    _tile_loadd(a, x, 32); \
    _tile_loadd(b, code, 128); \
    _tile_dpbssd(c, a, b)

/* One run of one half of a panel, by its number: what is multiplied, and what its sums are scaled by. */
typedef struct {
    const syn_panel *panel;
    const syn_tile *x;
    uint32_t half, runs;
} syn_runs;

SYN_INLINE const int32_t *run_x(const syn_runs *r, uint32_t n) {
    return r->x->code + (size_t)(n / r->runs) * 8 * MATRIX_ROWS + n % r->runs * (8 / r->runs);
}

SYN_INLINE const syn_vi *run_code(const syn_runs *r, uint32_t n) {
    return &r->panel->code[n / r->runs][n % r->runs * (8 / r->runs)][r->half];
}

SYN_INLINE void add_run(__m512 total[MATRIX_ROWS], const syn_runs *r, uint32_t n, const int32_t *product,
                        int has_minimum) {
    uint32_t block = n / r->runs, run = n % r->runs;
    const float *scale = r->x->scale + (size_t)block * MATRIX_ROWS;
    __m512 scale_w = r->panel->scale[block][run][r->half];
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < MATRIX_ROWS; t++) {
        __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(product + t * SYN_LANES));
        total[t] = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale_w, _mm512_set1_ps(scale[t])), total[t]);
    }
    if (!has_minimum) return;
    const int32_t *sums = r->x->sum + ((size_t)block * 3 + (r->runs == 1 ? SUM_ALL : run)) * MATRIX_ROWS;
    const float *codes = (const float *)(const void *)sums;
    __m512 minimum = r->panel->minimum[block][run][r->half];
#pragma clang loop unroll(full)
    for (uint32_t t = 0; t < MATRIX_ROWS; t++)
        total[t] = _mm512_fmadd_ps(minimum, _mm512_set1_ps(codes[t]), total[t]);
}

/* Runs whose products lie in memory at a time, and how far behind their start they are added. */
enum { STORED = 8, BEHIND = 4, PRODUCT = MATRIX_ROWS * SYN_LANES };

/* Go on with the sums y (16, 32) of one half by `count` runs. A step starts two of them in tiles c and d,
 * stores those of the step before, which are in a and b, and adds those of the step before that: a tile
 * instruction's result takes as long as several of them to come out. */
SYN_INLINE void multiply_half(float *y, const syn_runs *r, uint32_t count, int has_minimum) {
    _Alignas(64) int32_t product[STORED][PRODUCT];
    __m512 total[MATRIX_ROWS];
    for (uint32_t t = 0; t < MATRIX_ROWS; t++) total[t] = _mm512_loadu_ps(y + t * PANEL_ROWS + r->half * SYN_LANES);
#define START(c, n, x, code) \
    if ((n) < count) { \
        _tile_zero(c); \
        SYN_ADD_PRODUCT(c, x, code, run_x(r, n), run_code(r, n)); \
    }
#define STORE(a, n) \
    if ((n) < count) _tile_stored(a, product[(n) % STORED], 64);
#define ADD(n) \
    if ((n) < count) add_run(total, r, n, product[(n) % STORED], has_minimum);
#define STEP(a, b, c, d, n) \
    START(c, n, 4, 6) START(d, (n) + 1, 5, 7) \
    if ((n) >= 2) { STORE(a, (n) - 2) STORE(b, (n) - 1) } \
    if ((n) >= BEHIND) { ADD((n) - BEHIND) ADD((n) - BEHIND + 1) }
    for (uint32_t n = 0; n < count + BEHIND; n += 4) {
        STEP(2, 3, 0, 1, n) STEP(0, 1, 2, 3, n + 2)
    }
#undef START
#undef STORE
#undef ADD
#undef STEP
    for (uint32_t t = 0; t < MATRIX_ROWS; t++) _mm512_storeu_ps(y + t * PANEL_ROWS + r->half * SYN_LANES, total[t]);
}

/* a8/row: go on with the integer sums y (16, 32), or (32, 32) if `both`, by some blocks; the second tile of x lies `next`
 * words behind the first. Behind the last of an odd number of blocks x has zeros. */
SYN_INLINE void multiply_row_tiles(int32_t *y, const syn_panel *panel, const int32_t *x, size_t next, uint32_t blocks,
                                   int both) {
    int32_t *second = y + MATRIX_ROWS * PANEL_ROWS;
    _tile_loadd(0, y, PANEL_ROWS * 4);
    _tile_loadd(1, y + SYN_LANES, PANEL_ROWS * 4);
    if (both) {
        _tile_loadd(2, second, PANEL_ROWS * 4);
        _tile_loadd(3, second + SYN_LANES, PANEL_ROWS * 4);
    }
    for (uint32_t b = 0; b < blocks; b += 2, x += 16 * MATRIX_ROWS) {
        _tile_loadd(6, &panel->code[b][0][0], 128);
        _tile_loadd(7, &panel->code[b][0][1], 128);
        _tile_loadd(4, x, 64);
        _tile_dpbssd(0, 4, 6);
        _tile_dpbssd(1, 4, 7);
        if (!both) continue;
        _tile_loadd(5, x + next, 64);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, y, PANEL_ROWS * 4);
    _tile_stored(1, y + SYN_LANES, PANEL_ROWS * 4);
    if (both) {
        _tile_stored(2, second, PANEL_ROWS * 4);
        _tile_stored(3, second + SYN_LANES, PANEL_ROWS * 4);
    }
}

static void multiply_row(int32_t *y, const syn_panel *panel, const int32_t *x, size_t next, uint32_t blocks, int both) {
    if (both) multiply_row_tiles(y, panel, x, next, blocks, 1);
    else multiply_row_tiles(y, panel, x, next, blocks, 0);
}

/* a8/32: go on with the sums y (16, 32) by `blocks` blocks; the tiles are configured for the format's runs. */
static void multiply_matrix(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t format) {
    syn_block_format kind = syn_block_format_of(format);
    for (uint32_t half = 0; half < 2; half++) {
        syn_runs one = {panel, x, half, 1}, two = {panel, x, half, 2};
        if (kind.run == 32 && !kind.has_minimum) multiply_half(y, &one, blocks, 0);
        else if (kind.run == 32) multiply_half(y, &one, blocks, 1);
        else if (!kind.has_minimum) multiply_half(y, &two, 2 * blocks, 0);
        else multiply_half(y, &two, 2 * blocks, 1);
    }
}

#else
static void configure_tiles(uint32_t rows, uint32_t bytes) { (void)rows, (void)bytes; }
static void release_tiles(void) {}
static void multiply_row(int32_t *y, const syn_panel *panel, const int32_t *x, size_t next, uint32_t blocks, int both) {
    (void)y, (void)panel, (void)x, (void)next, (void)blocks, (void)both;
}
static void multiply_matrix(float *y, const syn_panel *panel, const syn_tile *x, uint32_t blocks, uint32_t format) {
    (void)y, (void)panel, (void)x, (void)blocks, (void)format;
}
#endif

#endif
