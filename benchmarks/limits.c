/* What one thread reaches at most: reading memory, and integer products where the processor has them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512VNNI__)
#include <immintrin.h>
#endif

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Bytes a second of adding up `bytes` bytes, the best of `times`. data is 64-byte aligned. */
double read_rate(const uint8_t *data, uint64_t bytes, int times) {
    double best = 0;
    for (int n = 0; n < times; n++) {
        double begun = seconds();
#if defined(__AVX512VNNI__)
        enum { WAYS = 8 };
        __m512i sum[WAYS];
        for (int i = 0; i < WAYS; i++) sum[i] = _mm512_setzero_si512();
        for (uint64_t at = 0; at + WAYS * 64 <= bytes; at += WAYS * 64)
            for (int i = 0; i < WAYS; i++)
                sum[i] = _mm512_add_epi64(sum[i], _mm512_load_si512(data + at + i * 64));
        for (int i = 1; i < WAYS; i++) sum[0] = _mm512_add_epi64(sum[0], sum[i]);
        volatile long long kept = _mm512_reduce_add_epi64(sum[0]);
#else
        uint64_t sum = 0;
        for (uint64_t i = 0; i + 8 <= bytes; i += 8) {
            uint64_t word;
            memcpy(&word, data + i, 8);
            sum += word;
        }
        volatile uint64_t kept = sum;
#endif
        (void)kept;
        double rate = (double)bytes / (seconds() - begun);
        if (rate > best) best = rate;
    }
    return best;
}

/* Multiply-adds a second of VPDPBUSD on registers, the best of `times`; 0 without it. */
double product_rate(int times) {
    double best = 0;
#if defined(__AVX512VNNI__)
    enum { CHAINS = 12, ROUNDS = 5000000 };
    for (int n = 0; n < times; n++) {
        __m512i sum[CHAINS], x = _mm512_set1_epi8(3);
        for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_set1_epi32(i);
        double begun = seconds();
        for (int round = 0; round < ROUNDS; round++) {
            __asm__ volatile("" : "+v"(x));
            for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_dpbusd_epi32(sum[i], x, x);
        }
        double rate = (double)ROUNDS * CHAINS * 64 / (seconds() - begun);
        for (int i = 1; i < CHAINS; i++) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
        volatile int kept = _mm512_reduce_add_epi32(sum[0]);
        (void)kept;
        if (rate > best) best = rate;
    }
#else
    (void)times;
#endif
    return best;
}
