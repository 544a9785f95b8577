/* Threads for the runtime on Linux, macOS and Windows: a pool that lives as long as a session. */
#ifndef SYN_POOL_H
#define SYN_POOL_H

#include "../runtime/syn.h"

/* CDEF */
typedef struct syn_pool syn_pool;
/* A pool of `threads` threads, the caller's being one of them; NULL when they cannot be had. */
syn_pool *syn_pool_create(uint32_t threads);
uint32_t syn_pool_threads(const syn_pool *pool);
/* Check a call, run it on all threads, count its positions. Sets the call's threads and barrier. */
int syn_pool_run(syn_pool *pool, const syn_program *program, syn_call *call, syn_error *error);
/* syn_rollout with each of its calls on all threads. */
int syn_pool_rollout(syn_pool *pool, const syn_program *program, syn_call *call, const syn_loop *loop,
                     syn_error *error);
/* Join the threads and free the pool. */
void syn_pool_destroy(syn_pool *pool);
uint32_t syn_abi(void);
/* The core's kernels, for a host that adds some of its own. */
const syn_kernel *const *syn_core_table(uint32_t *count);
/* END CDEF */

#endif
