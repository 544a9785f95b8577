/* A host's side of a program: its memory, exactly as large as promised, and calls of all sorts. */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include "../synapse_backend_cpu/host/pool.h"
#include "input.h"

/* What was done since the start; printed at exit. */
typedef struct {
    uint64_t executions, accepted;  /* inputs; of them opened */
    uint64_t calls, refused;        /* calls that ran; that syn_prepare refused */
    uint64_t too_large;             /* functions not run: they want more memory or work than we give */
} fuzz_counts;

/* n bytes on the heap at a multiple of 64; one byte beyond is a report. */
uint8_t *fuzz_bytes(uint64_t n);
/* Random numbers of one of several sorts: small floats, any bits, special values. */
void fuzz_fill(dice *d, uint8_t *to, uint64_t bytes);
/* Call every function of an accepted program, several times in a row, on a pool's threads or, where it is NULL, on one.
 * Return a digest of what the calls left in memory; scratch is none of it. */
uint64_t fuzz_play(const syn_program *program, dice *d, fuzz_counts *counts, syn_pool *pool);

#endif
