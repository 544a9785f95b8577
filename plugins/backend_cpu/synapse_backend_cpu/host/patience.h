/* How long threads spin at a barrier before they sleep, learnt from how past waits ended.
 *
 * Where all threads have a core, waits end while a thread spins, or soon after. Where another program takes
 * one of the cores, whoever waits for the thread on it spins in vain for as long as the system lets the
 * other run: then it is better to sleep at once. Waits are counted in turns of the barrier. What is noted is
 * noted only where a wait outlasted the spinning, and a lost update does no harm.
 */
#ifndef SYN_PATIENCE_H
#define SYN_PATIENCE_H

#include "wait.h"

#ifndef _WIN32
#include <time.h>
#endif

enum {
    LONG_SPINS = 3000,    /* 10 to 200 µs: longer than the gaps between ops where all have a core */
    SHORT_SPINS = 30,
    SLICE_NS = 1000000,   /* no other program gets a core for less, and no op of decoding takes as long */
    FAR_LONGER = 4,       /* a sleep so many times as long as the op before it is no larger share of it */
    WARM_TURNS = 512,     /* the first calls: memory is touched for the first time, which takes as long */
    NEAR_TURNS = 256,     /* two waits in vain so close together are no accident */
    LEAST_TURNS = 512,    /* of short spinning, before long spinning is tried again: a token or two */
    MOST_TURNS = 2048
};

typedef struct {
    _Alignas(64) _Atomic uint32_t missed;   /* the turn of the last wait in vain */
    _Atomic uint32_t until;                 /* the turn up to which threads spin shortly */
    _Atomic uint32_t turns;                 /* how long they will do so the next time */
} syn_patience;

static inline uint64_t syn_now_ns(void) {
#ifdef _WIN32
    LARGE_INTEGER now, each;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&each);
    return (uint64_t)now.QuadPart / (uint64_t)each.QuadPart * 1000000000u
         + (uint64_t)now.QuadPart % (uint64_t)each.QuadPart * 1000000000u / (uint64_t)each.QuadPart;
#else
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
#endif
}

static inline void syn_begin_patience(syn_patience *p) {
    atomic_store(&p->missed, 0u - NEAR_TURNS);
    atomic_store(&p->until, 0);
    atomic_store(&p->turns, LEAST_TURNS);
}

/* How long to spin in this turn. */
static inline uint32_t syn_spins(syn_patience *p, uint32_t turn) {
    int32_t left = (int32_t)(atomic_load_explicit(&p->until, memory_order_relaxed) - turn);
    return left > 0 && left <= MOST_TURNS ? SHORT_SPINS : LONG_SPINS;  /* turns wrap */
}

/* A thread that spun long slept in this turn: it began at `begun`, the thread slept from `slept` to now. Return
 * whether such waits are no accident any more: a core is taken. */
static inline int syn_learn(syn_patience *p, uint32_t turn, uint64_t begun, uint64_t slept) {
    uint64_t asleep = syn_now_ns() - slept;
    if (turn < WARM_TURNS || asleep < SLICE_NS || asleep < FAR_LONGER * (slept - begun)) return 0;
    uint32_t missed = atomic_exchange(&p->missed, turn), turns = atomic_load(&p->turns);
    if (turn - missed >= NEAR_TURNS) return 0;
    if (turn - atomic_load(&p->until) > 2 * MOST_TURNS) turns = LEAST_TURNS;  /* it was quiet since */
    atomic_store(&p->until, turn + turns);
    atomic_store(&p->turns, turns < MOST_TURNS ? 2 * turns : MOST_TURNS);
    return 1;
}

#endif
