/* How many of its threads a pool gives to a call.
 *
 * Where other programs take some of the cores, a thread on one of them makes all the others wait at every op, and
 * the call takes longer than without it. So when threads wait in vain (patience.h), one is left out for a while,
 * and one more where that was not enough; then all are tried again, ever less often. A call's bits do not depend on
 * how many threads it has.
 */
#ifndef SYN_TEAM_H
#define SYN_TEAM_H

#include "patience.h"

#define LEAST_PAUSE_NS UINT64_C(200000000)
#define MOST_PAUSE_NS UINT64_C(1600000000)

typedef struct {
    _Alignas(64) _Atomic uint32_t out;  /* threads left out */
    _Atomic uint64_t until;             /* when all are tried again, in ns */
    _Atomic uint64_t pause;             /* how long the next one is left out */
} syn_team;

static inline void syn_begin_team(syn_team *team) {
    atomic_store(&team->out, 0);
    atomic_store(&team->until, 0);
    atomic_store(&team->pause, LEAST_PAUSE_NS);
}

/* How many of `threads` take part in a call that begins now, at least one. */
static inline uint32_t syn_team_size(syn_team *team, uint32_t threads, uint64_t now) {
    uint32_t out = atomic_load_explicit(&team->out, memory_order_relaxed);
    if (out && now >= atomic_load(&team->until)) {
        atomic_store(&team->out, 0);
        out = 0;
    }
    return out < threads ? threads - out : 1;
}

/* A thread has waited in vain: leave one more out. */
static inline void syn_leave_out(syn_team *team, uint64_t now) {
    uint64_t until = atomic_load(&team->until), pause = atomic_load(&team->pause);
    if (now > until && now - until > 2 * MOST_PAUSE_NS) pause = LEAST_PAUSE_NS;  /* it was quiet since */
    atomic_store(&team->until, now + pause);
    atomic_store(&team->pause, pause < MOST_PAUSE_NS / 2 ? 2 * pause : MOST_PAUSE_NS);
    atomic_fetch_add(&team->out, 1);
}

#endif
