/* The thread pool: workers wait for a call, run their share of every op, and meet at barriers. */
#define _GNU_SOURCE
#include "pool.h"
#include "team.h"
#include "thread.h"

extern const syn_kernel *const syn_core_kernels[];
extern const uint32_t syn_core_kernel_count;

/* A call's word: its number, times a power of two above all numbers of threads, and how many take part. */
enum { CALL = 2048, MOST_THREADS = 1024 };

struct syn_pool {
    uint32_t threads;
    uint32_t size;                 /* of the team of this call: the first threads */
    syn_team team;
    syn_word work;                 /* changed when a call begins that has workers, or the pool ends */
    syn_word turn;                 /* advanced by the last to arrive at a barrier */
    _Alignas(64) _Atomic uint32_t arrived;
    _Atomic uint64_t begun;        /* when this turn began, in ns */
    syn_patience patience;
    const syn_program *program;    /* NULL: the pool ends */
    const syn_call *call;
    syn_thread *thread;            /* threads - 1 of them */
};

typedef struct {
    syn_pool *pool;
    uint32_t number;
} worker;

static void meet(void *context) {
    syn_pool *pool = context;
    uint32_t turn = atomic_load(&pool->turn.value), size = pool->size;  /* read before others can go on */
    uint64_t begun = atomic_load_explicit(&pool->begun, memory_order_relaxed);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 == size) {
        atomic_store(&pool->arrived, 0);
        atomic_store_explicit(&pool->begun, syn_now_ns(), memory_order_relaxed);
        syn_advance(&pool->turn, 1);
    } else {
        uint32_t spins = syn_spins(&pool->patience, turn);
        if (syn_spin(&pool->turn, turn, spins)) return;
        uint64_t slept = syn_now_ns();
        syn_rest(&pool->turn, turn);
        if (spins == LONG_SPINS && syn_learn(&pool->patience, turn, begun, slept))
            syn_leave_out(&pool->team, syn_now_ns());
    }
}

static void run_share(syn_pool *pool, uint32_t number) {
    syn_call mine = *pool->call;
    mine.thread = number;
    syn_execute(pool->program, &mine);
    meet(pool);
}

static syn_thread_result SYN_THREAD_CALL work(void *context) {
    worker *self = context;
    syn_pool *pool = self->pool;
    uint32_t number = self->number, seen = 0;
    free(self);
    for (;;) {
        uint32_t spins = syn_spins(&pool->patience, atomic_load(&pool->turn.value));
        if (!syn_spin(&pool->work, seen, spins)) syn_rest(&pool->work, seen);
        seen = atomic_load(&pool->work.value);
        if (number >= seen % CALL) continue;  /* others take part, and may be done already */
        if (!pool->program) return 0;
        run_share(pool, number);
    }
}

/* Begin the work of the first `size` threads; the last call's team has met. */
static void begin(syn_pool *pool, uint32_t size) {
    uint32_t word = atomic_load(&pool->work.value);
    pool->size = size;
    syn_advance(&pool->work, CALL - word % CALL + size);
}

static int start(syn_pool *pool, uint32_t number) {
    worker *self = malloc(sizeof *self);
    if (!self) return 0;
    self->pool = pool;
    self->number = number;
    if (syn_thread_start(&pool->thread[number - 1], work, self)) return 1;
    free(self);
    return 0;
}

syn_pool *syn_pool_create(uint32_t threads) {
    if (threads < 1 || threads > MOST_THREADS) return NULL;
    syn_pool *pool = syn_take_aligned(sizeof *pool);
    if (!pool) return NULL;
    __builtin_memset(pool, 0, sizeof *pool);
    syn_bed_open(&pool->work.bed);
    syn_bed_open(&pool->turn.bed);
    pool->threads = threads;
    syn_begin_patience(&pool->patience);
    syn_begin_team(&pool->team);
    pool->thread = calloc(threads, sizeof *pool->thread);
    if (!pool->thread) pool->threads = 1;
    for (uint32_t number = 1; number < pool->threads; number++)
        if (!start(pool, number)) pool->threads = number;
    if (pool->threads == threads && pool->thread) return pool;
    syn_pool_destroy(pool);
    return NULL;
}

uint32_t syn_pool_threads(const syn_pool *pool) { return pool->threads; }

int syn_pool_run(syn_pool *pool, const syn_program *program, syn_call *call, syn_error *error) {
    uint32_t size = pool->threads > 1 ? syn_team_size(&pool->team, pool->threads, syn_now_ns()) : 1;
    call->thread = 0;
    call->threads = size;
    call->barrier = size > 1 ? meet : NULL;
    call->barrier_context = pool;
    int code = syn_prepare(program, call, error);
    if (code) return code;
    if (size == 1) {
        syn_execute(program, call);
    } else {
        pool->program = program;
        pool->call = call;
        begin(pool, size);
        run_share(pool, 0);
    }
    syn_finish(program, call);
    return SYN_OK;
}

static int run_step(void *context, const syn_program *program, syn_call *call, syn_error *error) {
    return syn_pool_run(context, program, call, error);
}

int syn_pool_rollout(syn_pool *pool, const syn_program *program, syn_call *call, const syn_loop *loop,
                     syn_error *error) {
    return syn_rollout(program, call, loop, run_step, pool, error);
}

void syn_pool_destroy(syn_pool *pool) {
    pool->program = NULL;
    begin(pool, pool->threads);
    for (uint32_t number = 1; number < pool->threads; number++)
        syn_thread_join(pool->thread[number - 1]);
    free(pool->thread);
    syn_bed_close(&pool->work.bed);
    syn_bed_close(&pool->turn.bed);
    syn_free_aligned(pool);
}

uint32_t syn_abi(void) { return SYN_ABI; }

const syn_kernel *const *syn_core_table(uint32_t *count) {
    *count = syn_core_kernel_count;
    return syn_core_kernels;
}
