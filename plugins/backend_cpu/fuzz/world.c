/* Memory and calls for an accepted program.
 *
 * Every block is its own heap allocation of exactly the bytes that syn.h promises. What limits the
 * work is the number of rows of a call, which a host may choose; the program is left as it is.
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

enum { MOST_BYTES = 32 << 20, MOST_PAGES = 12, MOST_ENTRIES = 6, ROUNDS = 3 };
enum { MOST_ROWS = 20000, WORK = 400000, RARE_WORK = 8 * WORK };  /* numbers touched by a call: a few ms */

typedef struct {
    const syn_program *program;
    dice *d;
    fuzz_counts *counts;
    syn_pool *pool;                    /* NULL: one thread */
    uint64_t digest;                   /* of what calls left in memory */
    uint32_t max_slots;
    uint8_t *slots;
    uint32_t *seen;                    /* positions of each slot */
    syn_pages pages[SYN_MAX_GROUPS];
} world;

uint8_t *fuzz_bytes(uint64_t n) {
    void *bytes = NULL;
    if (posix_memalign(&bytes, 64, (size_t)n)) abort();
    return bytes;
}

static uint32_t special(dice *d) {
    static const uint32_t bits[] = {0, 0x80000000u, 0x7f800000u, 0xff800000u, 0x7fc00000u,
                                    0xffffffffu, 1, 0x007fffffu, 0x7f7fffffu, 0x3f800000u,
                                    0x42fe0000u, 0x4b400000u, 0x7fa00000u, 0x00800000u};
    return bits[roll(d, sizeof bits / sizeof bits[0])];
}

void fuzz_fill(dice *d, uint8_t *to, uint64_t bytes) {
    uint32_t sort = roll(d, 4);
    for (uint64_t i = 0; i < bytes; i += 4) {
        uint32_t word = (uint32_t)roll_bits(d);
        if (sort < 2) word = syn_bits((float)(int32_t)word * 1e-9f);
        if (sort == 3 && word % 4 == 0) word = special(d);
        memcpy(to + i, &word, bytes - i < 4 ? (size_t)(bytes - i) : 4);
    }
}

/* ---- how much a call may do ---- */

static int is_named(const syn_program *p, const syn_record *record, const char *name) {
    return strcmp(p->kernel[record->kernel]->name, name) == 0;
}

/* Numbers that a function touches: in each call, and in a call of the most rows besides. */
static void measure(const syn_program *p, const syn_function *f, double *always, double *most) {
    const syn_record *records = syn_records_of(p, f);
    *always = *most = 0;
    for (uint32_t i = 0; i < f->ops; i++) {
        syn_op op;
        syn_view(p, f, records + i, NULL, &op);
        double rows = op.out[0].rows, keys = rows < 400 ? 400 : rows;
        for (uint32_t n = 0; n < op.inputs; n++) {
            double size = (double)op.in[n].rows * op.in[n].cols;
            int linear = op.in[n].kind == SYN_WEIGHT && is_named(p, records + i, "linear");
            if (op.in[n].kind == SYN_TENSOR) *most += 4 * size;
            if (linear) *always += size;
            if (linear) *most += rows * size;
        }
        for (uint32_t n = 0; n < op.outputs; n++) *most += 4 * rows * op.out[n].cols;
        if (is_named(p, records + i, "attention")) *most += rows * keys * op.in[0].cols;
        *always += 50;
    }
}

/* ---- rows ---- */

/* Does an op of the function name a state? Without one every slot begins at position 0. */
static int remembers(const syn_program *p, const syn_function *f) {
    const syn_record *records = syn_records_of(p, f);
    for (uint32_t i = 0; i < f->ops; i++)
        for (uint32_t n = 0; n < records[i].inputs; n++)
            if (syn_kind(syn_operands_of(p, records + i)[n]) == SYN_STATE) return 1;
    return 0;
}

/* A sound table of at most `count` rows: runs of different slots, each where its slot may go on.
 * Returns the rows dealt. */
static uint32_t deal_rows(world *w, const syn_space *space, int stateful, uint32_t count,
                          uint32_t *slot, uint32_t *position) {
    uint32_t first = roll(w->d, w->max_slots), longest = one_in(w->d, 2) ? count : 4, row = 0;
    for (uint32_t run = 0; run < w->max_slots && row < count; run++) {
        uint32_t now = (first + run) % w->max_slots, begin = stateful ? w->seen[now] : 0;
        if (one_in(w->d, 4)) begin = 0;
        if (one_in(w->d, 8) && stateful) begin = roll(w->d, w->seen[now] + 1);
        if (begin >= space->max_position) begin = 0;
        for (uint32_t left = 1 + roll(w->d, longest); left && row < count; left--, row++) {
            slot[row] = now;
            position[row] = begin++;
            if (begin >= space->max_position) left = 1;
        }
    }
    return row;
}

/* One slot or position becomes another. */
static void spoil(world *w, const syn_space *space, const syn_rows *rows) {
    uint32_t row = roll(w->d, rows->count);
    uint32_t *field = (uint32_t *)(uintptr_t)(one_in(w->d, 2) ? rows->slot : rows->position) + row;
    const uint32_t wrong[] = {0, w->max_slots, *field + 1, *field - 1, 0xffffffffu, 0x80000000u,
                              space->max_position, (uint32_t)roll_bits(w->d)};
    *field = wrong[roll(w->d, 8)];
}

static uint32_t *words(uint64_t count) { return (uint32_t *)(void *)fuzz_bytes(count * 4); }

/* Rows of a base space, on the heap; wrong in one place, or in their count, at times. */
static syn_rows make_rows(world *w, const syn_space *space, int stateful, double share) {
    uint32_t most = (uint32_t)(share * space->max_rows);
    if (most > MOST_ROWS) most = MOST_ROWS;
    if (most < 1) most = 1;
    if (!one_in(w->d, 3)) most = 1 + roll(w->d, most);
    if (one_in(w->d, 32)) most = 0;
    uint32_t *slot = words(most), *position = words(most);
    uint32_t count = space->flags & SYN_SPACE_ROWS
                   ? deal_rows(w, space, stateful, most, slot, position) : most;
    syn_rows rows = {count, words(count), words(count)};
    memcpy((void *)(uintptr_t)rows.slot, slot, (size_t)count * 4);
    memcpy((void *)(uintptr_t)rows.position, position, (size_t)count * 4);
    free(slot);
    free(position);
    if (count && one_in(w->d, 10)) spoil(w, space, &rows);
    if (one_in(w->d, 50)) rows.count = space->max_rows + 1 + roll(w->d, ~space->max_rows);
    return rows;
}

static void free_rows(const syn_call *call) {
    for (uint32_t s = 0; s < SYN_MAX_SPACES; s++) {
        free((void *)(uintptr_t)call->rows[s].slot);
        free((void *)(uintptr_t)call->rows[s].position);
    }
}

/* ---- inputs ---- */

typedef struct {
    uint32_t *at;                      /* NULL: not ids, or a call of more rows than there may be */
    uint32_t count, limit;
} ids_of;

static ids_of find_ids(const world *w, const syn_function *f, const syn_call *call, uint32_t tensor) {
    const syn_space *spaces = syn_spaces_of(w->program, f);
    const syn_tensor *t = syn_tensors_of(w->program, f) + tensor;
    const syn_space *space = spaces + t->space;
    uint32_t rows = call->rows[space->base].count, limit = t->limit;
    if (t->dtype != SYN_I32 || rows > space->max_rows) return (ids_of){0};
    if (!limit) {  /* else nothing says that there is such a space */
        const syn_space *of = spaces + t->limit_space;
        limit = call->rows[of->base].count * of->multiple;
    }
    uint32_t *at = (uint32_t *)(void *)call->arena + t->offset / 4;
    return (ids_of){at, rows * space->multiple * t->cols, limit};
}

/* Ids below their limits, one of them wrong at times. Returns whether one is: ids may share bytes. */
static int fill_ids(world *w, const syn_function *f, const syn_call *call) {
    int wrong = 0;
    for (uint32_t i = 0; i < f->tensors; i++) {
        ids_of ids = find_ids(w, f, call, i);
        if (!ids.at) continue;
        for (uint32_t n = 0; n < ids.count; n++) ids.at[n] = roll(w->d, ids.limit);
        if (ids.count && one_in(w->d, 12))
            ids.at[roll(w->d, ids.count)] = one_in(w->d, 2) ? ids.limit : (uint32_t)roll_bits(w->d);
    }
    for (uint32_t i = 0; i < f->tensors; i++) {
        ids_of ids = find_ids(w, f, call, i);
        for (uint32_t n = 0; ids.at && n < ids.count; n++) wrong |= ids.at[n] >= ids.limit;
    }
    return wrong;
}

/* ---- calls ---- */

/* FNV-1a (Fowler, Noll, Vo), four bytes at a time. One NaN is as good as another: which one a sum of two comes to is
 * the compiler's choice, and may differ between a loop's body and its end. */
static void note(world *w, const uint8_t *from, uint64_t bytes) {
    for (uint64_t i = 0; i < bytes; i += 4) {
        uint32_t word = 0;
        memcpy(&word, from + i, bytes - i < 4 ? (size_t)(bytes - i) : 4);
        if ((word & 0x7fffffffu) > 0x7f800000u) word = 0x7fc00000u;
        w->digest = (w->digest ^ word) * 0x100000001b3u;
    }
}

static uint64_t page_bytes(const syn_program *p, uint32_t group) {
    return ((const syn_group *)syn_table(p, SYN_SEC_GROUPS))[group].page_bytes;
}

/* A call's memory, filled. */
static syn_call begin_call(world *w, uint32_t index) {
    const syn_function *f = syn_function_at(w->program, index);
    uint32_t threads = w->pool ? syn_pool_threads(w->pool) : 1;
    syn_call call = {.function = index, .threads = 1, .counts = w->seen, .slots = w->slots, .arena_bytes = f->arena_bytes,
                     .scratch_bytes = syn_scratch_bytes(w->program, index, threads),
                     .slots_bytes = w->max_slots * w->program->header->slot_bytes};
    memcpy(call.pages, w->pages, sizeof call.pages);
    call.arena = fuzz_bytes(call.arena_bytes);
    call.scratch = fuzz_bytes(call.scratch_bytes);
    if (call.arena_bytes < 1 << 20) fuzz_fill(w->d, call.arena, call.arena_bytes);
    else memset(call.arena, 0xff, (size_t)call.arena_bytes);
    return call;
}

static int run_call(void *pool, const syn_program *program, syn_call *call, syn_error *error) {
    return pool ? syn_pool_run(pool, program, call, error) : syn_run(program, call, error);
}

/* Count a call and take what it left in memory into the digest. */
static void end_call(world *w, const syn_call *call, int code) {
    if (code) w->counts->refused++;
    else w->counts->calls++;
    note(w, call->arena, call->arena_bytes);
    note(w, w->slots, call->slots_bytes);
    for (uint32_t g = 0; g < SYN_MAX_GROUPS; g++)
        if (w->pages[g].pool) note(w, w->pages[g].pool, page_bytes(w->program, g) * w->pages[g].pages);
    free(call->arena);
    free(call->scratch);
}

static void call_function(world *w, uint32_t index, double share) {
    const syn_function *f = syn_function_at(w->program, index);
    const syn_space *spaces = syn_spaces_of(w->program, f);
    int stateful = remembers(w->program, f);
    syn_call call = begin_call(w, index);
    for (uint32_t s = 0; s < f->spaces; s++)
        if (spaces[s].base == s) call.rows[s] = make_rows(w, spaces + s, stateful, share);
    int wrong = fill_ids(w, f, &call);
    syn_error error;
    int code = run_call(w->pool, w->program, &call, &error);
    if (code != error.code || (wrong && !code)) abort();
    free_rows(&call);
    end_call(w, &call, code);
}

/* ---- loops ---- */

/* A float32 tensor of a space, of `cols` columns if not 0; of a few tries the last, whatever it is. */
static uint32_t pick_tensor(world *w, const syn_function *f, uint32_t space, uint32_t cols) {
    const syn_tensor *tensors = syn_tensors_of(w->program, f);
    uint32_t picked = roll(w->d, f->tensors);
    for (uint32_t tries = 0; tries < 8; tries++, picked = roll(w->d, f->tensors)) {
        const syn_tensor *t = tensors + picked;
        if (t->space == space && t->dtype == SYN_F32 && (!cols || t->cols == cols)) break;
    }
    return picked;
}

static float *numbers(world *w, uint64_t count) {
    uint8_t *to = fuzz_bytes(count * 4);
    fuzz_fill(w->d, to, count * 4);
    return (float *)(void *)to;
}

/* One field becomes what no loop may have. */
static void spoil_loop(world *w, const syn_function *f, syn_loop *loop) {
    uint32_t *field[] = {&loop->space, &loop->fed, &loop->output, &loop->window, &loop->slots, &loop->begun};
    uint32_t wrong[] = {f->spaces, f->tensors, 0xffffffffu, 0xffffffffu, 0xffffffffu, 0}, which = roll(w->d, 6);
    *field[which] = wrong[which] && one_in(w->d, 2) ? 0xffffffffu : wrong[which];
}

/* A function that goes on from one of its tensors, from a few sequences, for a few steps. */
static void call_loop(world *w, uint32_t index, double share) {
    const syn_function *f = syn_function_at(w->program, index);
    if (!f->spaces || !f->tensors) return;
    syn_loop loop = {.space = roll(w->d, f->spaces), .begun = 1 + roll(w->d, 3), .steps = 1 + roll(w->d, 4)};
    const syn_space *space = syn_spaces_of(w->program, f) + loop.space;
    const syn_tensor *tensors = syn_tensors_of(w->program, f);
    uint32_t most = (uint32_t)(share * space->max_rows), total = loop.begun + loop.steps;
    if (most > MOST_ROWS) most = MOST_ROWS;
    loop.window = 1 + roll(w->d, space->max_position < 4 ? space->max_position + 1 : 4);
    loop.slots = 1 + roll(w->d, most / loop.window < 8 ? most / loop.window + 1 : 8);
    loop.fed = pick_tensor(w, f, loop.space, 0);
    loop.output = pick_tensor(w, f, loop.space, tensors[loop.fed].cols);
    uint64_t rows = (uint64_t)loop.slots * total;
    syn_given given[2] = {0};
    loop.givens = roll(w->d, 3);
    loop.given = given;
    for (uint32_t i = 0; i < loop.givens; i++) {
        given[i].tensor = pick_tensor(w, f, loop.space, 0);
        given[i].rows = numbers(w, (uint64_t)loop.slots * (total - 1) * tensors[given[i].tensor].cols);
    }
    loop.series = numbers(w, rows * tensors[loop.fed].cols);
    loop.slot = words((uint64_t)loop.slots * loop.window);
    loop.position = words((uint64_t)loop.slots * loop.window);
    float *series = loop.series;
    uint64_t bytes = rows * tensors[loop.fed].cols * 4;
    if (one_in(w->d, 6)) spoil_loop(w, f, &loop);
    syn_call call = begin_call(w, index);
    const syn_space *spaces = syn_spaces_of(w->program, f);
    for (uint32_t s = 0; s < f->spaces; s++)
        if (s != loop.space && spaces[s].base == s) call.rows[s] = make_rows(w, spaces + s, 0, share);
    fill_ids(w, f, &call);
    syn_error error;
    int code = syn_rollout(w->program, &call, &loop, w->pool ? run_call : NULL, w->pool, &error);
    if (code != error.code) abort();
    if (loop.space < f->spaces) call.rows[loop.space] = (syn_rows){0};  /* the loop's own */
    note(w, (const uint8_t *)series, bytes);
    free_rows(&call);
    end_call(w, &call, code);
    for (uint32_t i = 0; i < 2; i++) free((void *)(uintptr_t)given[i].rows);
    free(series);
    free(loop.slot);
    free(loop.position);
}

/* A call, or at times a loop of them, of as many rows as are not too much work. */
static void play_function(world *w, uint32_t index) {
    const syn_function *f = syn_function_at(w->program, index);
    uint32_t threads = w->pool ? syn_pool_threads(w->pool) : 1;
    double always, most, work = one_in(w->d, 16) ? RARE_WORK : WORK;
    measure(w->program, f, &always, &most);
    if (f->arena_bytes > MOST_BYTES || syn_scratch_bytes(w->program, index, threads) > MOST_BYTES || always > RARE_WORK) {
        w->counts->too_large++;
        return;
    }
    double share = most > work ? work / most : 1;
    if (one_in(w->d, 4)) call_loop(w, index, share / 4);
    else call_function(w, index, share);
}

/* Page tables: the first slots hold pages of their own; some tables are wrong in places. */
static int make_pages(world *w) {
    const syn_group *groups = syn_table(w->program, SYN_SEC_GROUPS);
    int bad = one_in(w->d, 4);
    for (uint32_t g = 0; g < syn_count(w->program, SYN_SEC_GROUPS); g++) {
        uint32_t pages = 1 + roll(w->d, MOST_PAGES), per_slot = 1 + roll(w->d, MOST_ENTRIES);
        if (one_in(w->d, 2)) pages += roll(w->d, MOST_PAGES);
        if (groups[g].page_bytes * pages > MOST_BYTES / 2) return 0;
        uint32_t entries = w->max_slots * per_slot, next = 0;
        uint32_t *table = words(entries);
        for (uint32_t i = 0; i < entries; i++) {
            table[i] = next < pages ? pages - 1 - next++ : SYN_NO_PAGE;
            if (bad && one_in(w->d, 6)) table[i] = roll(w->d, pages + 2);
            if (bad && one_in(w->d, 12)) table[i] = (uint32_t)roll_bits(w->d);
        }
        uint8_t *pool = fuzz_bytes(groups[g].page_bytes * pages);
        fuzz_fill(w->d, pool, groups[g].page_bytes * pages);
        w->pages[g] = (syn_pages){pool, pages, per_slot, table};
    }
    return 1;
}

uint64_t fuzz_play(const syn_program *program, dice *d, fuzz_counts *counts, syn_pool *pool) {
    world w = {.program = program, .d = d, .counts = counts, .pool = pool, .max_slots = program->header->max_slots};
    uint64_t slots_bytes = w.max_slots * program->header->slot_bytes;
    if (slots_bytes <= MOST_BYTES && make_pages(&w)) {
        w.slots = fuzz_bytes(slots_bytes);
        memset(w.slots, 0xff, (size_t)slots_bytes);
        w.seen = words(w.max_slots);
        for (uint32_t i = 0; i < w.max_slots; i++) w.seen[i] = one_in(d, 3) ? roll(d, 200) : 0;
        for (uint32_t round = 0; round < ROUNDS; round++) {
            for (uint32_t f = 0; f < syn_count(program, SYN_SEC_FUNCTIONS); f++)
                play_function(&w, f);
            if (one_in(d, 2))
                syn_state_copy(program, w.slots, w.seen, roll(d, w.max_slots),
                               roll(d, w.max_slots));
        }
    } else {
        counts->too_large++;
    }
    for (uint32_t g = 0; g < SYN_MAX_GROUPS; g++) {
        free(w.pages[g].pool);
        free((void *)(uintptr_t)w.pages[g].table);
    }
    free(w.slots);
    free(w.seen);
    return w.digest;
}
