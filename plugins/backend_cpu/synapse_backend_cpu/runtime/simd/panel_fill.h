/* Filling panels: panel_int8.h's expanders, for each way that rows lie and products want their codes. */
#ifndef SYN_PANEL_FILL_H
#define SYN_PANEL_FILL_H

#include "panel_int8.h"

/* A function for each way that rows lie and codes are wanted. */
#define SYN_EXPAND(name, packed, wanted) \
    __attribute__((noinline)) static void name(syn_panel *panel, uint32_t half, const syn_rows16 *r, \
                                               const syn_operand *w, uint32_t first, uint32_t blocks) { \
        syn_vi even[8]; \
        syn_place to = {.panel = panel, .format = w->dtype, .half = half, .runs = runs_in(w->dtype), .as = wanted, \
                        .even = even}; \
        syn_rows16 rows = *r; /* of this function: no store to the panel can change it */ \
        uint32_t cols = w->cols; \
        for (; to.v < VECTORS; to.v++) expand_blocks(to, &rows, cols, first, blocks, packed); \
    }
#if CODES_RAISED
SYN_EXPAND(expand_packed_raised, 1, AS_RAISED)
SYN_EXPAND(expand_rows_raised, 0, AS_RAISED)
#endif
#if !CODES_RAISED || HAS_MATRIX
SYN_EXPAND(expand_packed_signed, 1, AS_SIGNED)
SYN_EXPAND(expand_rows_signed, 0, AS_SIGNED)
#endif
#if HAS_SQUARES
SYN_EXPAND(expand_packed_squares, 1, AS_SQUARES)
SYN_EXPAND(expand_rows_squares, 0, AS_SQUARES)
#endif
#undef SYN_EXPAND

static void expand_half(syn_panel *panel, uint32_t half, const syn_rows16 *r, const syn_operand *w, uint32_t first,
                        uint32_t blocks, uint32_t as) {
    switch (as) {
#if CODES_RAISED
    case AS_RAISED:
        if (r->packed) expand_packed_raised(panel, half, r, w, first, blocks);
        else expand_rows_raised(panel, half, r, w, first, blocks);
        break;
#endif
#if !CODES_RAISED || HAS_MATRIX
    case AS_SIGNED:
        if (r->packed) expand_packed_signed(panel, half, r, w, first, blocks);
        else expand_rows_signed(panel, half, r, w, first, blocks);
        break;
#endif
#if HAS_SQUARES
    case AS_SQUARES:
        if (r->packed) expand_packed_squares(panel, half, r, w, first, blocks);
        else expand_rows_squares(panel, half, r, w, first, blocks);
        break;
#endif
    default: break;
    }
}

#endif
