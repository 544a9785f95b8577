/* Packed weights: 16 rows' bytes side by side, so that they are read as the kernels use them, one
 * behind the other.
 *
 * A block of a row is a sequence of 32-bit words with perhaps one float16 before or behind them; of 16
 * rows every word becomes a vector of 64 bytes, every float16 one of 32. What lies at byte n of a row
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
    return syn_row_bytes(format, cols) * (((uint64_t)rows + LANES - 1) / LANES * LANES);
}

static void pack_halves(uint8_t *to, const syn_rows16 *r, size_t at) {
    for (uint32_t i = 0; i < LANES; i++) __builtin_memcpy(to + 2 * i, r->row[i] + at, 2);
}

/* As pack_words: words of two float16, which become a vector of 32 bytes each. */
static void pack_pairs(uint8_t *to, const syn_rows16 *r, uint32_t words) {
    __m512i piece[4];
    for (uint32_t n = 0; n < words; n += 4) {
        take_piece(piece, r, (size_t)4 * n, 0);
        for (uint32_t i = 0; i < 4; i++, to += 64) {
            _mm256_storeu_si256((void *)to, _mm512_cvtepi32_epi16(piece[i]));
            _mm256_storeu_si256((void *)(to + 32), _mm512_cvtepi32_epi16(_mm512_srli_epi32(piece[i], 16)));
        }
    }
}

static void pack_words(uint8_t *to, const syn_rows16 *r, size_t at, uint32_t words) {
    __m512i piece[4];
    uint32_t n = 0;
    for (; n + 4 <= words; n += 4) {
        take_piece(piece, r, at + 4 * n, 0);
        for (uint32_t i = 0; i < 4; i++) _mm512_storeu_si512(to + (size_t)(n + i) * 64, piece[i]);
    }
    for (; n < words; n++) _mm512_storeu_si512(to + (size_t)n * 64, take_word(r, at + 4 * n, 0));
}

void syn_pack(uint8_t *to, const uint8_t *from, uint32_t format, uint32_t rows, uint32_t cols, uint32_t first,
              uint32_t end) {
    size_t row_bytes = (size_t)syn_row_bytes(format, cols);
    pattern p = pattern_of(format, cols);
    uint32_t halves = (uint32_t)(p.half_first + p.half_last), words = (p.bytes - 2 * halves) / 4;
    for (uint32_t group = first; group < end; group++) {
        syn_rows16 r = rows_at(from, row_bytes, group * LANES, rows);
        uint8_t *out = to + (size_t)group * LANES * row_bytes;
        if (format == SYN_F16) {
            pack_pairs(out, &r, (uint32_t)row_bytes / 4);
            continue;
        }
        for (size_t at = 0; at < row_bytes; at += p.bytes) {
            size_t begin = at + (p.half_first ? 2 : 0);
            if (p.half_first) pack_halves(out + at * LANES, &r, at);
            pack_words(out + begin * LANES, &r, begin, words);
            if (p.half_last) pack_halves(out + (begin + 4 * words) * LANES, &r, begin + 4 * words);
        }
    }
}
