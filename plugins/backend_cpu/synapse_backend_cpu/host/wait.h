/* Waiting for a word to change: spin for a while, then sleep until it does. */
#ifndef SYN_WAIT_H
#define SYN_WAIT_H

#include "sleep.h"

typedef struct {
    _Alignas(64) _Atomic uint32_t value;
    _Alignas(64) _Atomic uint32_t sleepers;
    syn_bed bed;
} syn_word;

static inline void syn_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

/* Is the word no longer `old` within so many spins? */
static inline int syn_spin(const syn_word *word, uint32_t old, uint32_t spins) {
    for (uint32_t spin = 0; spin < spins; spin++) {
        if (atomic_load_explicit(&word->value, memory_order_acquire) != old) return 1;
        syn_relax();
    }
    return 0;
}

/* Sleep until the word is no longer `old`. */
static inline void syn_rest(syn_word *word, uint32_t old) {
    atomic_fetch_add(&word->sleepers, 1);
    while (atomic_load(&word->value) == old) syn_sleep(&word->bed, &word->value, old);
    atomic_fetch_sub(&word->sleepers, 1);
}

/* Change the word and wake whoever sleeps on it. */
static inline void syn_advance(syn_word *word, uint32_t by) {
    atomic_fetch_add(&word->value, by);
    if (atomic_load(&word->sleepers)) syn_wake(&word->bed, &word->value);
}

#endif
