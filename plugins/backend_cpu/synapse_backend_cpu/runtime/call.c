/* One call of a function: check it, run its records, count the positions.
 *
 * The program was checked when it was opened. Rows, pages and ids come with the call, and are
 * checked here every time.
 */
#include "tables.h"

#define ALIGNED(pointer, to) (!((uintptr_t)(pointer) & ((to) - 1)))

/* What a function remembers: which kinds of state its ops name, and which page groups. */
typedef struct {
    int recurrent, kv;
    int group[SYN_MAX_GROUPS];
} uses;

static uses uses_of(const syn_program *p, const syn_function *f) {
    uses u;
    const syn_record *records = syn_records_of(p, f);
    const syn_state *states = syn_table(p, SYN_SEC_STATES);
    __builtin_memset(&u, 0, sizeof u);
    for (uint32_t op = 0; op < f->ops; op++) {
        const uint32_t *words = syn_operands_of(p, records + op);
        for (uint32_t i = 0; i < records[op].inputs; i++) {
            if (syn_kind(words[i]) != SYN_STATE) continue;
            const syn_state *s = states + syn_index(words[i]);
            if (s->kind == SYN_STATE_RECURRENT) u.recurrent = 1;
            else u.kv = u.group[s->group] = 1;
        }
    }
    return u;
}

/* The end of the run of one slot that begins at row `first`. */
static uint32_t run_end(const syn_rows *rows, uint32_t first) {
    uint32_t end = first + 1;
    while (end < rows->count && rows->slot[end] == rows->slot[first]) end++;
    return end;
}

/* Are the pages there that rows [first, last] of a slot write, and that they may read? */
static int check_pages(const syn_program *p, const syn_call *call, uint32_t group, uint32_t slot,
                       uint32_t first, uint32_t last, syn_error *error) {
    const syn_group *g = (const syn_group *)syn_table(p, SYN_SEC_GROUPS) + group;
    const syn_pages *pages = &call->pages[group];
    uint32_t seen = g->window && first >= g->window ? first - g->window + 1 : 0;
    if (!pages->table || !pages->pool || !ALIGNED(pages->pool, 16)
        || last / SYN_PAGE_ROWS >= pages->per_slot)
        return syn_fail(error, SYN_BAD_PAGE, SYN_SECTIONS, slot, last);
    const uint32_t *table = pages->table + (size_t)slot * pages->per_slot;
    for (uint32_t entry = seen / SYN_PAGE_ROWS; entry <= last / SYN_PAGE_ROWS; entry++)
        if (table[entry] >= pages->pages)
            return syn_fail(error, SYN_BAD_PAGE, SYN_SECTIONS, slot, entry * SYN_PAGE_ROWS);
    return SYN_OK;
}

/* Do two runs write into one page, or one run (a = b) twice? */
static int share_pages(const syn_call *call, uint32_t group, const syn_rows *rows, uint32_t a,
                       uint32_t b) {
    const syn_pages *pages = &call->pages[group];
    const uint32_t *table_a = pages->table + (size_t)rows->slot[a] * pages->per_slot;
    const uint32_t *table_b = pages->table + (size_t)rows->slot[b] * pages->per_slot;
    uint32_t last_a = rows->position[run_end(rows, a) - 1] / SYN_PAGE_ROWS;
    uint32_t last_b = rows->position[run_end(rows, b) - 1] / SYN_PAGE_ROWS;
    for (uint32_t i = rows->position[a] / SYN_PAGE_ROWS; i <= last_a; i++)
        for (uint32_t j = rows->position[b] / SYN_PAGE_ROWS; j <= last_b; j++)
            if (table_a[i] == table_b[j] && (a != b || i != j)) return 1;
    return 0;
}

/* One slot's run: slot, positions, where it goes on, its pages. */
static int check_run(const syn_program *p, const syn_call *call, const syn_space *space,
                     const uses *u, const syn_rows *rows, uint32_t first, uint32_t end,
                     syn_error *error) {
    uint32_t slot = rows->slot[first], begin = rows->position[first];
    if (slot >= p->header->max_slots) return syn_fail(error, SYN_BAD_SLOT, SYN_SECTIONS, first, slot);
    for (uint32_t row = first; row < end; row++)
        if (rows->position[row] >= space->max_position || rows->position[row] - begin != row - first)
            return syn_fail(error, SYN_BAD_POSITION, SYN_SECTIONS, row, rows->position[row]);
    for (uint32_t other = 0; other < first; other = run_end(rows, other))
        if (rows->slot[other] == slot) return syn_fail(error, SYN_BAD_SLOT, SYN_SECTIONS, first, slot);
    uint32_t seen = u->kv || u->recurrent ? call->counts[slot] : 0;
    if (begin > seen || (u->recurrent && begin != 0 && begin != seen))
        return syn_fail(error, SYN_BAD_POSITION, SYN_SECTIONS, first, begin);
    for (uint32_t group = 0; group < SYN_MAX_GROUPS; group++) {
        if (!u->group[group]) continue;
        int code = check_pages(p, call, group, slot, begin, rows->position[end - 1], error);
        if (code) return code;
        for (uint32_t other = 0; other <= first; other = run_end(rows, other))
            if (share_pages(call, group, rows, other, first))
                return syn_fail(error, SYN_BAD_PAGE, SYN_SECTIONS, slot, begin);
    }
    return SYN_OK;
}

static int check_rows(const syn_program *p, const syn_call *call, const syn_function *f,
                      const uses *u, syn_error *error) {
    const syn_space *spaces = syn_spaces_of(p, f);
    uint32_t all = 0, carrying = 0;
    for (uint32_t s = 0; s < f->spaces; s++) {
        const syn_rows *rows = &call->rows[s];
        if (spaces[s].base != s) continue;
        if (rows->count > spaces[s].max_rows)
            return syn_fail(error, SYN_BAD_ROWS, SYN_SECTIONS, s, rows->count);
        all += rows->count != 0;
        if (!(spaces[s].flags & SYN_SPACE_ROWS)) continue;
        carrying++;
        if (rows->count && (!rows->slot || !rows->position))
            return syn_fail(error, SYN_BAD_ROWS, SYN_SECTIONS, s, 0);
        for (uint32_t first = 0; first < rows->count; first = run_end(rows, first)) {
            int code = check_run(p, call, spaces + s, u, rows, first, run_end(rows, first), error);
            if (code) return code;
        }
    }
    /* Positions are counted by slot: with two spaces that carry slots they would be two counts. */
    if (!all || ((u->kv || u->recurrent) && carrying != 1))
        return syn_fail(error, SYN_BAD_ROWS, SYN_SECTIONS, f->spaces, carrying);
    return SYN_OK;
}

static uint32_t rows_of(const syn_call *call, const syn_space *spaces, uint32_t space) {
    return call->rows[spaces[space].base].count * spaces[space].multiple;
}

static int check_ids(const syn_program *p, const syn_call *call, const syn_function *f,
                     syn_error *error) {
    const syn_space *spaces = syn_spaces_of(p, f);
    const syn_tensor *tensors = syn_tensors_of(p, f);
    for (uint32_t i = 0; i < f->tensors; i++) {
        const syn_tensor *t = tensors + i;
        if (t->dtype != SYN_I32) continue;
        const uint32_t *ids = (const uint32_t *)(const void *)(call->arena + (size_t)t->offset);
        uint32_t limit = t->limit ? t->limit : rows_of(call, spaces, t->limit_space);
        uint32_t count = rows_of(call, spaces, t->space) * t->cols;
        for (uint32_t n = 0; n < count; n++)
            if (ids[n] >= limit) return syn_fail(error, SYN_BAD_ID, SYN_SEC_TENSORS, n, ids[n]);
    }
    return SYN_OK;
}

uint64_t syn_scratch_bytes(const syn_program *p, uint32_t function, uint32_t threads) {
    const syn_function *f = syn_function_at(p, function);
    const syn_record *records = syn_records_of(p, f);
    uint64_t most = 0;
    syn_op op;
    for (uint32_t i = 0; i < f->ops; i++) {
        syn_view(p, f, records + i, NULL, &op);
        uint64_t bytes = p->kernel[records[i].kernel]->scratch_bytes(&op, threads);
        if (bytes > most) most = bytes;
    }
    return most;
}

static int check_memory(const syn_program *p, const syn_call *call, const syn_function *f,
                        const uses *u, syn_error *error) {
    uint64_t slots = u->recurrent ? p->header->max_slots * p->header->slot_bytes : 0;
    uint64_t scratch = syn_scratch_bytes(p, call->function, call->threads);
    if (f->arena_bytes > call->arena_bytes || (f->arena_bytes && !call->arena)
        || !ALIGNED(call->arena, 64))
        return syn_fail(error, SYN_BAD_MEMORY, SYN_SECTIONS, 0, 0);
    if (scratch > call->scratch_bytes || (scratch && !call->scratch) || !ALIGNED(call->scratch, 64))
        return syn_fail(error, SYN_BAD_MEMORY, SYN_SECTIONS, 1, 0);
    if (slots > call->slots_bytes || (slots && !call->slots) || !ALIGNED(call->slots, 16))
        return syn_fail(error, SYN_BAD_MEMORY, SYN_SECTIONS, 2, 0);
    if ((u->kv || u->recurrent) && !call->counts)
        return syn_fail(error, SYN_BAD_MEMORY, SYN_SECTIONS, 3, 0);
    return SYN_OK;
}

int syn_prepare(const syn_program *p, const syn_call *call, syn_error *error) {
    int code;
    if (call->function >= syn_count(p, SYN_SEC_FUNCTIONS))
        return syn_fail(error, SYN_BAD_FUNCTION, SYN_SECTIONS, call->function, 0);
    if (call->threads < 1 || call->threads > 1024 || (call->threads > 1 && !call->barrier))
        return syn_fail(error, SYN_BAD_MEMORY, SYN_SECTIONS, 4, call->threads);
    const syn_function *f = syn_function_at(p, call->function);
    uses u = uses_of(p, f);
    if ((code = check_memory(p, call, f, &u, error)) || (code = check_rows(p, call, f, &u, error))
        || (code = check_ids(p, call, f, error)))
        return code;
    if (u.recurrent) {
        size_t bytes = (size_t)p->header->slot_bytes;
        const syn_space *spaces = syn_spaces_of(p, f);
        for (uint32_t s = 0; s < f->spaces; s++) {
            const syn_rows *rows = &call->rows[s];
            if (spaces[s].base != s || !(spaces[s].flags & SYN_SPACE_ROWS)) continue;
            for (uint32_t row = 0; row < rows->count; row++)
                if (!rows->position[row])
                    __builtin_memset(call->slots + (size_t)rows->slot[row] * bytes, 0, bytes);
        }
    }
    return syn_fail(error, SYN_OK, SYN_SECTIONS, 0, 0);
}

void syn_execute(const syn_program *p, const syn_call *call) {
    const syn_function *f = syn_function_at(p, call->function);
    const syn_record *records = syn_records_of(p, f);
    syn_op op;
    for (uint32_t i = 0; i < f->ops; i++) {
        syn_view(p, f, records + i, call, &op);
        p->kernel[records[i].kernel]->run(&op, call);
        if (call->threads > 1) call->barrier(call->barrier_context);
    }
}

void syn_finish(const syn_program *p, const syn_call *call) {
    const syn_function *f = syn_function_at(p, call->function);
    const syn_space *spaces = syn_spaces_of(p, f);
    uses u = uses_of(p, f);
    if (!u.kv && !u.recurrent) return;
    for (uint32_t s = 0; s < f->spaces; s++) {
        const syn_rows *rows = &call->rows[s];
        if (spaces[s].base != s || !(spaces[s].flags & SYN_SPACE_ROWS)) continue;
        for (uint32_t row = 0; row < rows->count; row++)
            call->counts[rows->slot[row]] = rows->position[row] + 1;
    }
}

int syn_run(const syn_program *p, const syn_call *call, syn_error *error) {
    int code = syn_prepare(p, call, error);
    if (code) return code;
    syn_execute(p, call);
    syn_finish(p, call);
    return SYN_OK;
}

void syn_state_copy(const syn_program *p, uint8_t *slots, uint32_t *counts, uint32_t from,
                    uint32_t to) {
    size_t bytes = (size_t)p->header->slot_bytes;
    if (from == to) return;
    __builtin_memcpy(slots + to * bytes, slots + from * bytes, bytes);
    counts[to] = counts[from];
}
