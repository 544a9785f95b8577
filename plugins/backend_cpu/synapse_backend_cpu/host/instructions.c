/* What instructions this processor and its system let a program use. */
#include "instructions.h"

#if defined(__x86_64__)
#include <cpuid.h>

typedef struct { uint32_t a, b, c, d; } leaf;

static leaf ask(uint32_t number, uint32_t part) {
    leaf l = {0, 0, 0, 0};
    __get_cpuid_count(number, part, &l.a, &l.b, &l.c, &l.d);
    return l;
}

/* Which registers the system saves when it switches threads. */
static uint32_t saved_registers(void) {
    uint32_t low, high;
    if (!(ask(1, 0).c >> 27 & 1)) return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

uint32_t syn_instructions(void) {
    enum { YMM = 0x6, ZMM = 0xe6 };
    /* leaf 1, c: fma, f16c; leaf 7, b: avx2; avx512f, dq, bw, vl; leaf 7, c: vnni */
    const uint32_t fma_f16c = 1u << 12 | 1u << 29, avx2 = 1u << 5;
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, vnni = 1u << 11;
    uint32_t saved = saved_registers(), found = 0;
    leaf one = ask(1, 0), seven = ask(7, 0);
    if ((saved & YMM) == YMM && (one.c & fma_f16c) == fma_f16c && (seven.b & avx2)) found |= SYN_HAS_AVX2;
    if (found && (saved & ZMM) == ZMM && (seven.b & avx512) == avx512 && (seven.c & vnni))
        found |= SYN_HAS_AVX512;
    return found;
}
#else
uint32_t syn_instructions(void) { return 0; }
#endif
