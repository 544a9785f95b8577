/* What instructions this processor and its system let a program use. */
#define _GNU_SOURCE
#include "instructions.h"

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>

/* Tiles are large: Linux gives a process the room to save them when it asks. */
static int may_use_tiles(void) {
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };
    return syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0;
}
#else
static int may_use_tiles(void) { return 0; }
#endif

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
    enum { YMM = 0x6, ZMM = 0xe6, TILES = 0x60000 };
    /* leaf 1, c: fma, f16c; leaf 7, b: avx2; avx512f, dq, bw, vl; c: vnni; d: amx bf16, tile, int8 */
    const uint32_t fma_f16c = 1u << 12 | 1u << 29, avx2 = 1u << 5;
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31, vnni = 1u << 11;
    const uint32_t amx = 1u << 22 | 1u << 24 | 1u << 25;
    uint32_t saved = saved_registers(), found = 0;
    leaf one = ask(1, 0), seven = ask(7, 0);
    if ((saved & YMM) == YMM && (one.c & fma_f16c) == fma_f16c && (seven.b & avx2)) found |= SYN_HAS_AVX2;
    if (found && (saved & ZMM) == ZMM && (seven.b & avx512) == avx512 && (seven.c & vnni))
        found |= SYN_HAS_AVX512;
    if ((found & SYN_HAS_AVX512) && (saved & TILES) == TILES && (seven.d & amx) == amx && may_use_tiles())
        found |= SYN_HAS_AMX;
    return found;
}

#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

uint32_t syn_instructions(void) {
    const unsigned long dotprod = 1ul << 20, i8mm = 1ul << 13;  /* HWCAP_ASIMDDP, HWCAP2_I8MM */
    if (!(getauxval(AT_HWCAP) & dotprod)) return 0;
    return getauxval(AT_HWCAP2) & i8mm ? SYN_HAS_DOTPROD | SYN_HAS_I8MM : SYN_HAS_DOTPROD;
}

#elif defined(__aarch64__) && defined(__APPLE__)
#include <stddef.h>
#include <sys/sysctl.h>

/* A name that the system does not know is one of a feature that it does not have. */
static int has(const char *name) {
    int found = 0;
    size_t size = sizeof found;
    return !sysctlbyname(name, &found, &size, NULL, 0) && found;
}

uint32_t syn_instructions(void) {
    if (!has("hw.optional.arm.FEAT_DotProd")) return 0;
    return has("hw.optional.arm.FEAT_I8MM") ? SYN_HAS_DOTPROD | SYN_HAS_I8MM : SYN_HAS_DOTPROD;
}

#else
uint32_t syn_instructions(void) { return 0; }
#endif
