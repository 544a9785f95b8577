/* What one input of the fuzzer is: a head, and behind it the image of a program. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include "../synapse_backend_cpu/runtime/syn_math.h"
#include "../synapse_backend_cpu/runtime/tables.h"

enum { FUZZ_EXTERNALS = 6 };

typedef struct {
    uint32_t seed;       /* of the calls, and of every byte that the input does not hold itself */
    uint32_t externals;  /* segments handed in, at most FUZZ_EXTERNALS */
    uint32_t external_bytes[FUZZ_EXTERNALS];
} fuzz_head;

/* Random numbers that follow from a seed alone. */
typedef struct { uint64_t state; } dice;

/* An input's program, and the dice that its calls are thrown with. */
typedef struct {
    syn_program program;
    dice d;
    uint8_t *image;
    uint32_t externals;
    syn_bytes external[FUZZ_EXTERNALS];
} fuzz_input;

/* Open an input; close it also where it is refused. Returns what syn_open does. */
int fuzz_open(fuzz_input *input, const uint8_t *data, size_t size);
void fuzz_close(fuzz_input *input);

static inline uint64_t roll_bits(dice *d) {  /* Steele et al. 2014, splitmix64 */
    uint64_t z = d->state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A number below n; 0 when n is. */
static inline uint32_t roll(dice *d, uint32_t n) {
    return n ? (uint32_t)((roll_bits(d) >> 32) * n >> 32) : 0;
}

static inline int one_in(dice *d, uint32_t n) { return roll(d, n) == 0; }

#endif
