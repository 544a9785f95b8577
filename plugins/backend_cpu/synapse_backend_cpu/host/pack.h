/* Packing weights for a table of kernels that reads them faster so. */
#ifndef SYN_PACK_H
#define SYN_PACK_H

#include <stdint.h>

/* CDEF */
/* Bytes that a product's weight takes packed; 0 where this table reads it as it lies for that arithmetic. */
uint64_t syn_packed_bytes(uint32_t format, uint32_t arith, uint32_t rows, uint32_t cols);
/* Pack rows [16 first, 16 end) of a weight in layout rows; `to` is the whole packed weight, 64-byte aligned. */
void syn_pack(uint8_t *to, const uint8_t *from, uint32_t format, uint32_t rows, uint32_t cols, uint32_t first,
              uint32_t end);
/* END CDEF */

#endif
