/* What instructions this processor and its system let a program use. */
#ifndef SYN_INSTRUCTIONS_H
#define SYN_INSTRUCTIONS_H

#include <stdint.h>

/* CDEF */
enum {
    SYN_HAS_AVX2 = 1,    /* with FMA and F16C */
    SYN_HAS_AVX512 = 2,  /* F, DQ, BW, VL and VNNI */
    SYN_HAS_AMX = 4,     /* tiles, bf16 and int8, which the system has let this process use; with AVX-512 */
    SYN_HAS_DOTPROD = 8, /* of aarch64: SDOT */
    SYN_HAS_I8MM = 16    /* of aarch64: SMMLA, with SDOT */
};
/* Asks the system for what must be asked for: once, before threads use it. */
uint32_t syn_instructions(void);
/* END CDEF */

#endif
