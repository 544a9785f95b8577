/* libFuzzer's entry: open the input's program; if it is accepted, run it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { MOST_EXTERNAL_BYTES = 4 << 20 };

extern const syn_kernel *const syn_core_kernels[];
extern const uint32_t syn_core_kernel_count;
extern const syn_kernel syn_kernel_acme_scan;

/* The counters of covered code, where -fsanitize=fuzzer puts them. */
extern uint8_t __start___sancov_cntrs[], __stop___sancov_cntrs[];

static fuzz_counts counts;

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
    const syn_kernel *kernels[SYN_MAX_KERNELS];
    syn_bytes external[FUZZ_EXTERNALS];
    fuzz_head head;
    counts.executions++;
    if (size < sizeof head) return 0;
    memcpy(&head, data, sizeof head);
    dice d = {head.seed};
    if (head.externals > FUZZ_EXTERNALS) head.externals = FUZZ_EXTERNALS;
    for (uint32_t i = 0; i < head.externals; i++) {
        external[i].bytes = head.external_bytes[i] % (MOST_EXTERNAL_BYTES + 1);
        external[i].data = fuzz_bytes(external[i].bytes);
        fuzz_fill(&d, (uint8_t *)(uintptr_t)external[i].data, external[i].bytes);
    }
    uint64_t image_bytes = size - sizeof head;
    uint8_t *image = fuzz_bytes(image_bytes);
    memcpy(image, data + sizeof head, image_bytes);
    memcpy(kernels, syn_core_kernels, syn_core_kernel_count * sizeof *kernels);
    kernels[syn_core_kernel_count] = &syn_kernel_acme_scan;

    syn_program program;
    syn_error error;
    memset(&program, 0xa5, sizeof program);
    int code = syn_open(&program, image, image_bytes, external, head.externals, kernels,
                        syn_core_kernel_count + 1, &error);
    if (code != error.code) abort();
    if (code == SYN_OK) {
        counts.accepted++;
        fuzz_play(&program, &d, &counts);
    } else {
        /* What is refused is no parent: most of its mutants would be refused for the same reason. */
        memset(__start___sancov_cntrs, 0,
               (size_t)(__stop___sancov_cntrs - __start___sancov_cntrs));
    }
    for (uint32_t i = 0; i < head.externals; i++) free((void *)(uintptr_t)external[i].data);
    free(image);
    return 0;
}
