/* What instructions this processor and its system let a program use. */
#ifndef SYN_INSTRUCTIONS_H
#define SYN_INSTRUCTIONS_H

#include <stdint.h>

/* CDEF */
enum {
    SYN_HAS_AVX2 = 1,    /* with FMA and F16C */
    SYN_HAS_AVX512 = 2   /* F, DQ, BW, VL and VNNI */
};
uint32_t syn_instructions(void);
/* END CDEF */

#endif
