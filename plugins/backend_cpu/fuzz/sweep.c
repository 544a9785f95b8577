/* The fuzzer's inputs, each played on one thread and on pools of several, packed and not: the same bits.
 *
 * Made to run under sanitizers and valgrind. Teams change between calls as they do beside other programs.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../synapse_backend_cpu/host/instructions.h"
#include "../synapse_backend_cpu/host/pack.h"
#include "../synapse_backend_cpu/host/pool.c"
#include "world.h"

enum { POOLS = 3, GROUP_ROWS = 16, THROWS = 4 };

/* The packed form of what linear ops read, as packing.py makes it; NULL where a table reads rows. */
static const uint8_t **pack_weights(const syn_program *p) {
    uint32_t count = syn_count(p, SYN_SEC_WEIGHTS);
    const uint8_t **packed = calloc(count + 1, sizeof *packed);
    const syn_weight *weights = syn_table(p, SYN_SEC_WEIGHTS);
    if (!packed) abort();
    for (uint32_t f = 0; f < syn_count(p, SYN_SEC_FUNCTIONS); f++) {
        const syn_function *function = syn_function_at(p, f);
        for (uint32_t i = 0; i < function->ops; i++) {
            const syn_record *op = syn_records_of(p, function) + i;
            const uint32_t *words = syn_operands_of(p, op);
            if (strcmp(p->kernel[op->kernel]->name, "linear")) continue;
            for (uint32_t n = 1; n < op->inputs; n += 2) {
                uint32_t number = syn_index(words[n]);
                const syn_weight *w = weights + number;
                if (packed[number] || w->rows < GROUP_ROWS) continue;
                uint64_t bytes = syn_packed_bytes(w->format, op->attributes[0], w->rows, w->cols);
                if (!bytes) continue;
                uint8_t *to = fuzz_bytes(bytes);
                const uint8_t *from = p->segment[w->segment].data + w->offset;
                syn_pack(to, from, w->format, w->rows, w->cols, 0, (w->rows + GROUP_ROWS - 1) / GROUP_ROWS);
                packed[number] = to;
            }
        }
    }
    return packed;
}

static uint64_t play(fuzz_input *input, fuzz_counts *counts, syn_pool *pool) {
    dice d = input->d;  /* the same calls each time */
    return fuzz_play(&input->program, &d, counts, pool);
}

/* 0 where every way gives the same. */
static int sweep(const char *path, fuzz_counts *counts, syn_pool *const pools[POOLS], dice *d) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) abort();
    size_t size = (size_t)ftell(file);
    rewind(file);
    uint8_t *data = fuzz_bytes(size);
    if (fread(data, 1, size, file) != size) abort();
    fclose(file);
    fuzz_input input;
    int wrong = 0;
    counts->executions++;
    if (fuzz_open(&input, data, size) == SYN_OK) {
        counts->accepted++;
        const uint8_t **packed = pack_weights(&input.program);
        for (uint32_t throw = 0; throw < THROWS; throw++) {
            uint32_t form = throw % 2;
            input.program.packed = form ? packed : NULL;
            input.d.state += throw;
            uint64_t alone = play(&input, counts, NULL);
            for (uint32_t i = 0; i < POOLS; i++) {
                if (one_in(d, 4)) syn_leave_out(&pools[i]->team, syn_now_ns());
                if (play(&input, counts, pools[i]) == alone) continue;
                fprintf(stderr, "%s: %u threads, form %u: other bits\n", path, pools[i]->threads, form);
                wrong = 1;
            }
        }
        for (uint32_t i = 0; i < syn_count(&input.program, SYN_SEC_WEIGHTS); i++)
            free((void *)(uintptr_t)packed[i]);
        free(packed);
    }
    fuzz_close(&input);
    free(data);
    return wrong;
}

int main(int argc, char **argv) {
    static const uint32_t threads[POOLS] = {2, 3, 5};
    syn_pool *pools[POOLS];
    fuzz_counts counts = {0};
    dice d = {1};
    int wrong = 0;
    (void)syn_instructions();  /* asks for the tiles of AMX */
    for (uint32_t i = 0; i < POOLS; i++)
        if (!(pools[i] = syn_pool_create(threads[i]))) abort();
    for (int i = 1; i < argc; i++) wrong |= sweep(argv[i], &counts, pools, &d);
    for (uint32_t i = 0; i < POOLS; i++) syn_pool_destroy(pools[i]);
    printf("%llu of %llu opened, %llu calls, %llu refused\n", (unsigned long long)counts.accepted,
           (unsigned long long)counts.executions, (unsigned long long)counts.calls, (unsigned long long)counts.refused);
    return wrong;
}
