/* The runtime behind a flat memory of 32-bit addresses, for a host outside: the Python that runs a
 * wasm module, an emulated rv32 core, or an aarch64 process behind a pipe.
 *
 * The host takes blocks (guest_take), writes into them, and calls guest_open, guest_run and the
 * rest with addresses. Records below are words, so they have one layout on every machine. Address 0
 * is NULL. One program a guest, one thread.
 */
#include "syn.h"

typedef struct { uint32_t data, bytes; } guest_block;

typedef struct {
    guest_block image;
    uint32_t externals;
    guest_block external[SYN_MAX_SEGMENTS];
} guest_file;

typedef struct {
    uint32_t function;
    guest_block arena, scratch, slots;
    uint32_t counts;
    struct { uint32_t count, slot, position; } rows[SYN_MAX_SPACES];
    struct { uint32_t pool, pages, per_slot, table; } pages[SYN_MAX_GROUPS];
} guest_call;

enum { MOST_GIVEN = 4 };

typedef struct {
    guest_call call;
    uint32_t space, window, slots, begun, steps, fed, output, givens;
    struct { uint32_t tensor, rows; } given[MOST_GIVEN];
    uint32_t series, slot, position;
} guest_loop;

enum { MEMORY_BYTES = 8 << 20, MOST_KERNELS = 64 };

extern const syn_kernel *const syn_core_kernels[];
extern const uint32_t syn_core_kernel_count;
#ifdef GUEST_PLUGIN
extern const syn_kernel GUEST_PLUGIN;
#endif

static uint8_t memory[MEMORY_BYTES] __attribute__((aligned(64)));
static uint32_t taken;
static syn_program program;

static void *at(uint32_t address) { return (void *)(uintptr_t)address; }

uint32_t guest_take(uint32_t bytes);
uint32_t guest_open(uint32_t file, uint32_t error);
uint32_t guest_scratch_bytes(uint32_t function);
uint32_t guest_run(uint32_t call, uint32_t error);
uint32_t guest_rollout(uint32_t loop, uint32_t error);
uint32_t guest_copy_state(uint32_t slots, uint32_t counts, uint32_t from, uint32_t to);

/* The address of a new block of zeros, 64-byte aligned; 0 when there is no room. */
uint32_t guest_take(uint32_t bytes) {
    uint32_t start = taken;
    if (bytes > MEMORY_BYTES - taken) return 0;
    taken += (bytes + 63) & ~63u;
    return (uint32_t)(uintptr_t)(memory + start);
}

/* syn_open with the core's kernels and the plugin's. */
uint32_t guest_open(uint32_t file, uint32_t error) {
    const guest_file *f = at(file);
    const syn_kernel *kernels[MOST_KERNELS];
    syn_bytes external[SYN_MAX_SEGMENTS];
    uint32_t count = 0;
    for (; count < syn_core_kernel_count; count++) kernels[count] = syn_core_kernels[count];
#ifdef GUEST_PLUGIN
    kernels[count++] = &GUEST_PLUGIN;
#endif
    for (uint32_t i = 0; i < f->externals; i++)
        external[i] = (syn_bytes){at(f->external[i].data), f->external[i].bytes};
    return (uint32_t)syn_open(&program, at(f->image.data), f->image.bytes, external, f->externals,
                              kernels, count, at(error));
}

/* Of one thread, cut to what a guest can have. */
uint32_t guest_scratch_bytes(uint32_t function) {
    uint64_t bytes = syn_scratch_bytes(&program, function, 1);
    return bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
}

static syn_call call_of(const guest_call *c) {
    syn_call full = {.function = c->function, .threads = 1,
                     .arena = at(c->arena.data), .arena_bytes = c->arena.bytes,
                     .scratch = at(c->scratch.data), .scratch_bytes = c->scratch.bytes,
                     .slots = at(c->slots.data), .slots_bytes = c->slots.bytes,
                     .counts = at(c->counts)};
    for (uint32_t i = 0; i < SYN_MAX_SPACES; i++)
        full.rows[i] = (syn_rows){c->rows[i].count, at(c->rows[i].slot), at(c->rows[i].position)};
    for (uint32_t i = 0; i < SYN_MAX_GROUPS; i++)
        full.pages[i] = (syn_pages){at(c->pages[i].pool), c->pages[i].pages, c->pages[i].per_slot,
                                    at(c->pages[i].table)};
    return full;
}

uint32_t guest_run(uint32_t call, uint32_t error) {
    syn_call full = call_of(at(call));
    return (uint32_t)syn_run(&program, &full, at(error));
}

uint32_t guest_rollout(uint32_t loop, uint32_t error) {
    const guest_loop *l = at(loop);
    syn_call call = call_of(&l->call);
    syn_given given[MOST_GIVEN];
    for (uint32_t i = 0; i < MOST_GIVEN; i++)
        given[i] = (syn_given){.tensor = l->given[i].tensor, .rows = at(l->given[i].rows)};
    syn_loop full = {.space = l->space, .window = l->window, .slots = l->slots, .begun = l->begun,
                     .steps = l->steps, .fed = l->fed, .output = l->output, .givens = l->givens,
                     .given = given, .series = at(l->series), .slot = at(l->slot),
                     .position = at(l->position)};
    return (uint32_t)syn_rollout(&program, &call, &full, NULL, NULL, at(error));
}

uint32_t guest_copy_state(uint32_t slots, uint32_t counts, uint32_t from, uint32_t to) {
    syn_state_copy(&program, at(slots), at(counts), from, to);
    return 0;
}
