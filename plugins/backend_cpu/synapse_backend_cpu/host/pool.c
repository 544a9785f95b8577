/* The thread pool: workers wait for a call, run their share of every op, and meet at barriers. */
#define _GNU_SOURCE
#include "pool.h"
#include "wait.h"

#include <pthread.h>
#include <stdlib.h>

extern const syn_kernel *const syn_core_kernels[];
extern const uint32_t syn_core_kernel_count;

/* One of a pool's threads, on a cache line of its own. */
typedef struct {
    _Alignas(64) syn_pool *pool;
    uint32_t number, spins;
    pthread_t thread;              /* but for number 0, the caller's */
} member;

struct syn_pool {
    uint32_t threads;
    syn_word work;                 /* advanced when a call begins, or the pool ends */
    syn_word turn;                 /* advanced by the last to arrive at a barrier */
    _Alignas(64) _Atomic uint32_t arrived;
    const syn_program *program;    /* NULL: the pool ends */
    const syn_call *call;
    member *members;
};

static void meet(void *context) {
    member *self = context;
    syn_pool *pool = self->pool;
    uint32_t turn = atomic_load(&pool->turn.value);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == pool->threads) {
        atomic_store(&pool->arrived, 0);
        syn_advance(&pool->turn);
    } else {
        syn_wait(&pool->turn, turn, &self->spins);
    }
}

static void run_share(member *self) {
    syn_call mine = *self->pool->call;
    mine.thread = self->number;
    mine.barrier_context = self;
    syn_execute(self->pool->program, &mine);
    meet(self);
}

static void *work(void *context) {
    member *self = context;
    syn_pool *pool = self->pool;
    uint32_t seen = 0;
    for (;;) {
        syn_wait(&pool->work, seen, &self->spins);
        seen++;
        if (!pool->program) return NULL;
        run_share(self);
    }
}

syn_pool *syn_pool_create(uint32_t threads) {
    syn_pool *pool = NULL;
    if (threads < 1 || threads > 1024 || posix_memalign((void **)&pool, 64, sizeof *pool)) return NULL;
    __builtin_memset(pool, 0, sizeof *pool);
    if (posix_memalign((void **)&pool->members, 64, threads * sizeof *pool->members)) {
        free(pool);
        return NULL;
    }
    for (uint32_t number = 0; number < threads; number++) {
        member *self = pool->members + number;
        *self = (member){.pool = pool, .number = number, .spins = SYN_LEAST_SPINS};
        pool->threads = number;
        if (number && pthread_create(&self->thread, NULL, work, self)) {
            syn_pool_destroy(pool);
            return NULL;
        }
    }
    pool->threads = threads;
    return pool;
}

int syn_pool_run(syn_pool *pool, const syn_program *program, syn_call *call, syn_error *error) {
    call->thread = 0;
    call->threads = pool->threads;
    call->barrier = pool->threads > 1 ? meet : NULL;
    call->barrier_context = pool->members;
    int code = syn_prepare(program, call, error);
    if (code) return code;
    if (pool->threads == 1) {
        syn_execute(program, call);
    } else {
        pool->program = program;
        pool->call = call;
        syn_advance(&pool->work);
        run_share(pool->members);
    }
    syn_finish(program, call);
    return SYN_OK;
}

void syn_pool_destroy(syn_pool *pool) {
    pool->program = NULL;
    syn_advance(&pool->work);
    for (uint32_t number = 1; number < pool->threads; number++)
        pthread_join(pool->members[number].thread, NULL);
    free(pool->members);
    free(pool);
}

uint32_t syn_abi(void) { return SYN_ABI; }

const syn_kernel *const *syn_core_table(uint32_t *count) {
    *count = syn_core_kernel_count;
    return syn_core_kernels;
}
