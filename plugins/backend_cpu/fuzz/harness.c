/* libFuzzer's entry: open the input's program; if it is accepted, run it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

/* The counters of covered code, where -fsanitize=fuzzer puts them. */
extern uint8_t __start___sancov_cntrs[], __stop___sancov_cntrs[];

static fuzz_counts counts;

static syn_pool *two_threads(void) {
    static syn_pool *pool;
    if (!pool) pool = syn_pool_create(2);
    if (!pool) abort();
    return pool;
}

static void print_counts(void) {
    printf("{\"schema\": 1, \"executions\": %llu, \"accepted\": %llu, \"calls\": %llu,"
           " \"refused_calls\": %llu, \"too_large\": %llu}\n",
           (unsigned long long)counts.executions, (unsigned long long)counts.accepted,
           (unsigned long long)counts.calls, (unsigned long long)counts.refused,
           (unsigned long long)counts.too_large);
    fflush(stdout);
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    atexit(print_counts);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input input;
    counts.executions++;
    if (fuzz_open(&input, data, size) == SYN_OK) {
        counts.accepted++;
        fuzz_play(&input.program, &input.d, &counts, one_in(&input.d, 6) ? two_threads() : NULL);
    } else if (input.image) {
        /* What is refused is no parent: most of its mutants would be refused for the same reason. */
        memset(__start___sancov_cntrs, 0,
               (size_t)(__stop___sancov_cntrs - __start___sancov_cntrs));
    }
    fuzz_close(&input);
    return 0;
}
