/* Packed weights: 16 rows' bytes side by side, so that they are read as the kernels use them, one
 * behind the other.
 *
 * A block of a row is a sequence of 32-bit words with perhaps one float16 before or behind them; of 16
 * rows every word becomes 64 bytes, every float16 32. What lies at byte n of a row
 * lies at byte 16 n of the 16 rows.
 */
#include "../../host/pack.h"
#include "../kernels/linear.h"
#include "wide.h"

/* Bytes of a block, and whether a float16 begins or ends it. */
typedef struct { uint32_t bytes; int half_first, half_last; } pattern;

static pattern pattern_of(uint32_t format, uint32_t cols) {
    pattern p = {syn_block_format_of(format).bytes, 0, 0};
    switch (format) {
    case SYN_Q8_0:
    case SYN_Q4_0:
    case SYN_Q5_0: p.half_first = 1; break;
    case SYN_Q6_K: p.half_last = 1; break;
    case SYN_F32:
    case SYN_F16:
    case SYN_BF16: if (cols % 8 == 0) p.bytes = (uint32_t)syn_row_bytes(format, cols); break;
    case SYN_INT8: if (cols % 32 == 0) p.bytes = (uint32_t)syn_row_bytes(format, cols); break;
    default: break;
    }
    return p;
}

uint64_t syn_packed_bytes(uint32_t format, uint32_t arith, uint32_t rows, uint32_t cols) {
    if (is_decoded(arith, format) || !pattern_of(format, cols).bytes) return 0;
    return syn_row_bytes(format, cols) * (((uint64_t)rows + GROUP_ROWS - 1) / GROUP_ROWS * GROUP_ROWS);
}

static void pack_halves(uint8_t *to, const syn_rows16 *r, size_t at) {
    for (uint32_t i = 0; i < GROUP_ROWS; i++) __builtin_memcpy(to + 2 * i, r->row[i] + at, 2);
}

/* As pack_words: words of two float16, which become a vector of 32 bytes each. */
static void pack_pairs(uint8_t *to, const syn_rows16 *r, uint32_t words) {
    syn_vi piece[4];
    for (uint32_t v = 0; v < VECTORS; v++, to += sizeof(syn_vh))
        for (uint32_t n = 0; n < words; n += 4) {
            take_piece(piece, r, v, (size_t)4 * n, 0);
            for (uint32_t i = 0; i < 4; i++) {
                syn_vh low = __builtin_convertvector((syn_vu)piece[i], syn_vh);
                syn_vh high = __builtin_convertvector((syn_vu)piece[i] >> 16, syn_vh);
                uint8_t *out = to + (size_t)(n + i) * 4 * GROUP_ROWS;
                __builtin_memcpy(out, &low, sizeof low);
                __builtin_memcpy(out + 2 * GROUP_ROWS, &high, sizeof high);
            }
        }
}

static void pack_words(uint8_t *to, const syn_rows16 *r, size_t at, uint32_t words) {
    syn_vi piece[4];
    for (uint32_t v = 0; v < VECTORS; v++, to += sizeof(syn_vi)) {
        uint32_t n = 0;
        for (; n + 4 <= words; n += 4) {
            take_piece(piece, r, v, at + 4 * n, 0);
            for (uint32_t i = 0; i < 4; i++) syn_vi_store(to + (size_t)(n + i) * 4 * GROUP_ROWS, piece[i]);
        }
        for (; n < words; n++) syn_vi_store(to + (size_t)n * 4 * GROUP_ROWS, take_word(r, v, at + 4 * n, 0));
    }
}

void syn_pack(uint8_t *to, const uint8_t *from, uint32_t format, uint32_t rows, uint32_t cols, uint32_t first,
              uint32_t end) {
    size_t row_bytes = (size_t)syn_row_bytes(format, cols);
    pattern p = pattern_of(format, cols);
    uint32_t halves = (uint32_t)(p.half_first + p.half_last), words = (p.bytes - 2 * halves) / 4;
    for (uint32_t group = first; group < end; group++) {
        syn_rows16 r = rows_at(from, row_bytes, group * GROUP_ROWS, rows);
        uint8_t *out = to + (size_t)group * GROUP_ROWS * row_bytes;
        if (format == SYN_F16) {
            pack_pairs(out, &r, (uint32_t)row_bytes / 4);
            continue;
        }
        for (size_t at = 0; at < row_bytes; at += p.bytes) {
            size_t begin = at + (p.half_first ? 2 : 0);
            if (p.half_first) pack_halves(out + at * GROUP_ROWS, &r, at);
            pack_words(out + begin * GROUP_ROWS, &r, begin, words);
            if (p.half_last) pack_halves(out + (begin + 4 * words) * GROUP_ROWS, &r, begin + 4 * words);
        }
    }
}
