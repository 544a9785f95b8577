/* A mutator that knows the tables.
 *
 * Some moves break a program at one place (a field, an operand, an offset), others change it into
 * another sound one (a width everywhere, another format, other rows), so that mutants get past the
 * validator and their kernels meet shapes that no seed has.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "draft.h"

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t most, unsigned int seed);

enum { LEAST = sizeof(fuzz_head) + sizeof(syn_header) };

typedef struct { uint32_t section, at, bytes; } field;

#define FIELD(section, record, name) \
    {section, offsetof(record, name), sizeof(((record *)0)->name)}

static const field fields[] = {
    FIELD(SYN_SEC_SEGMENTS, syn_segment, offset), FIELD(SYN_SEC_SEGMENTS, syn_segment, bytes),
    FIELD(SYN_SEC_SEGMENTS, syn_segment, kind),
    FIELD(SYN_SEC_WEIGHTS, syn_weight, offset), FIELD(SYN_SEC_WEIGHTS, syn_weight, segment),
    FIELD(SYN_SEC_WEIGHTS, syn_weight, format), FIELD(SYN_SEC_WEIGHTS, syn_weight, layout),
    FIELD(SYN_SEC_WEIGHTS, syn_weight, rows), FIELD(SYN_SEC_WEIGHTS, syn_weight, cols),
    FIELD(SYN_SEC_WEIGHTS, syn_weight, row_bytes),
    FIELD(SYN_SEC_SPACES, syn_space, base), FIELD(SYN_SEC_SPACES, syn_space, multiple),
    FIELD(SYN_SEC_SPACES, syn_space, max_rows), FIELD(SYN_SEC_SPACES, syn_space, max_position),
    FIELD(SYN_SEC_SPACES, syn_space, flags),
    FIELD(SYN_SEC_TENSORS, syn_tensor, offset), FIELD(SYN_SEC_TENSORS, syn_tensor, space),
    FIELD(SYN_SEC_TENSORS, syn_tensor, cols), FIELD(SYN_SEC_TENSORS, syn_tensor, dtype),
    FIELD(SYN_SEC_TENSORS, syn_tensor, limit), FIELD(SYN_SEC_TENSORS, syn_tensor, limit_space),
    FIELD(SYN_SEC_STATES, syn_state, offset), FIELD(SYN_SEC_STATES, syn_state, bytes),
    FIELD(SYN_SEC_STATES, syn_state, kind), FIELD(SYN_SEC_STATES, syn_state, group),
    FIELD(SYN_SEC_STATES, syn_state, dtype), FIELD(SYN_SEC_STATES, syn_state, width),
    FIELD(SYN_SEC_STATES, syn_state, width_v), FIELD(SYN_SEC_STATES, syn_state, head),
    FIELD(SYN_SEC_GROUPS, syn_group, page_bytes), FIELD(SYN_SEC_GROUPS, syn_group, window),
    FIELD(SYN_SEC_FUNCTIONS, syn_function, arena_bytes),
    FIELD(SYN_SEC_FUNCTIONS, syn_function, first_space),
    FIELD(SYN_SEC_FUNCTIONS, syn_function, spaces),
    FIELD(SYN_SEC_FUNCTIONS, syn_function, first_tensor),
    FIELD(SYN_SEC_FUNCTIONS, syn_function, tensors),
    FIELD(SYN_SEC_FUNCTIONS, syn_function, first_port),
    FIELD(SYN_SEC_FUNCTIONS, syn_function, ports), FIELD(SYN_SEC_FUNCTIONS, syn_function, first_op),
    FIELD(SYN_SEC_FUNCTIONS, syn_function, ops),
    FIELD(SYN_SEC_PORTS, syn_port, tensor), FIELD(SYN_SEC_PORTS, syn_port, direction),
    FIELD(SYN_SEC_OPS, syn_record, kernel), FIELD(SYN_SEC_OPS, syn_record, inputs),
    FIELD(SYN_SEC_OPS, syn_record, outputs), FIELD(SYN_SEC_OPS, syn_record, first_operand),
};

static uint64_t get(const void *record, const field *f) {
    uint64_t value = 0;  /* little-endian, as the format */
    memcpy(&value, (const uint8_t *)record + f->at, f->bytes);
    return value;
}

static void set(void *record, const field *f, uint64_t value) {
    memcpy((uint8_t *)record + f->at, &value, f->bytes);
}

/* A number near `value`, or at an edge, or any small one. */
static uint64_t other_number(dice *d, uint64_t value) {
    static const uint64_t edges[] = {0, 1, 0x7fffffff, 0x80000000u, 0xffffffffu, 0x3fffffff,
                                     0x40000000, 0x10000, (uint64_t)1 << 40, ~(uint64_t)0};
    static const uint32_t steps[] = {1, 1, 2, 4, 8, 16, 64};
    uint64_t step = steps[roll(d, 7)];
    switch (roll(d, 7)) {
    case 0: return value + step;
    case 1: return value - step;
    case 2: return edges[roll(d, 10)];
    case 3: return value << 1;
    case 4: return value >> 1;
    case 5: return value ^ (uint64_t)1 << roll(d, 32);
    default: return roll(d, 8);
    }
}

/* ---- moves that break things ---- */

static void set_field(draft *p, dice *d) {
    const field *f = &fields[roll(d, sizeof fields / sizeof fields[0])];
    void *record = draft_pick(p, d, f->section), *other = draft_pick(p, d, f->section);
    if (!record) return;
    set(record, f, one_in(d, 3) ? get(other, f) : other_number(d, get(record, f)));
}

static void set_header(draft *p, dice *d) {
    syn_header *h = p->header;
    syn_section *s = &h->section[roll(d, SYN_SECTIONS)];
    switch (roll(d, 6)) {
    case 0: h->max_slots = (uint32_t)other_number(d, h->max_slots); break;
    case 1: h->slot_bytes = other_number(d, h->slot_bytes); break;
    case 2: h->meta_bytes = other_number(d, h->meta_bytes); break;
    case 3: s->offset = (uint32_t)other_number(d, s->offset); break;
    case 4: s->count = (uint32_t)other_number(d, s->count); break;
    default: h->max_slots = 1 + roll(d, 8); break;
    }
}

/* An operand's word: another index of its kind, another kind, or its neighbour's. */
static void set_operand(draft *p, dice *d) {
    const syn_record *op = draft_pick(p, d, SYN_SEC_OPS);
    if (!op) return;
    uint32_t all = op->inputs % 17 + op->outputs % 17;
    uint32_t *word = draft_record(p, SYN_SEC_OPERANDS, op->first_operand + roll(d, all));
    uint32_t *other = draft_record(p, SYN_SEC_OPERANDS, op->first_operand + roll(d, all));
    if (!word || !other) return;
    uint32_t old = *word, kind = syn_kind(old);
    switch (roll(d, 6)) {
    case 0: *word = *other, *other = old; break;
    case 1: *word = *other; break;
    case 2: *word = old + 1 - 2 * roll(d, 2); break;
    case 3: *word = kind << 28 | roll(d, 24); break;
    case 4: *word = roll(d, 5) << 28 | syn_index(old); break;
    default: *word = *(uint32_t *)draft_pick(p, d, SYN_SEC_OPERANDS); break;
    }
}

static void set_attribute(draft *p, dice *d) {
    static const float numbers[] = {0.0f, -0.0f, 1.0f, -1.0f, 1e-38f, 1e38f, 30.0f};
    syn_record *op = draft_pick(p, d, SYN_SEC_OPS);
    const syn_tensor *t = draft_pick(p, d, SYN_SEC_TENSORS);
    if (!op) return;
    uint32_t *word = &op->attributes[roll(d, one_in(d, 4) ? SYN_MAX_ATTRIBUTES : 7)];
    switch (roll(d, 6)) {
    case 0: *word = roll(d, 4); break;
    case 1: *word = op->attributes[roll(d, SYN_MAX_ATTRIBUTES)]; break;
    case 2: *word = syn_bits(numbers[roll(d, 7)]); break;
    case 3: *word = one_in(d, 2) ? 0x7fc00000u : 0x7f800000u; break;
    case 4: *word = t ? t->cols : 1; break;
    default: *word = (uint32_t)other_number(d, *word); break;
    }
}

/* Ops change places, or one does another's work. */
static void move_op(draft *p, dice *d) {
    syn_record *a = draft_pick(p, d, SYN_SEC_OPS), *b = draft_pick(p, d, SYN_SEC_OPS);
    if (!a) return;
    syn_record old = *a;
    *a = *b;
    if (!one_in(d, 4)) *b = old;
}

/* A tensor comes to lie over another, beside it, or anywhere. */
static void move_tensor(draft *p, dice *d) {
    const syn_function *f = draft_pick(p, d, SYN_SEC_FUNCTIONS);
    if (!f) return;
    syn_tensor *t = draft_record(p, SYN_SEC_TENSORS, f->first_tensor + roll(d, f->tensors));
    const syn_tensor *o = draft_record(p, SYN_SEC_TENSORS, f->first_tensor + roll(d, f->tensors));
    if (!t || !o) return;
    switch (roll(d, 4)) {
    case 0: t->offset = o->offset; break;
    case 1: t->offset = o->offset + 16 * roll(d, 8); break;
    case 2: t->offset = o->offset - 16 * roll(d, 8); break;
    default: t->offset = (uint64_t)16 * roll(d, (uint32_t)(f->arena_bytes / 16)); break;
    }
}

/* Bytes at random; the program may grow or lose its end. */
static void scramble(draft *p, dice *d) {
    if (one_in(d, 2)) {
        p->bytes -= roll(d, one_in(d, 2) ? 64 : (uint32_t)(p->bytes - sizeof *p->header));
        if (p->bytes < sizeof *p->header) p->bytes = sizeof *p->header;
        return;
    }
    uint64_t at = roll(d, (uint32_t)p->bytes), n = 1 + roll(d, 16);
    LLVMFuzzerMutate(p->image + at, n < p->bytes - at ? n : p->bytes - at, p->bytes - at);
}

/* ---- moves from one sound program to another ---- */

static void lay_all(draft *p, dice *d) {
    draft_lay_weights(p, d);
    draft_lay_states(p);
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_FUNCTIONS); i++)
        draft_lay_tensors(p, d, draft_record(p, SYN_SEC_FUNCTIONS, i));
}

static void replace(uint32_t *number, uint32_t old, uint32_t new) {
    if (*number == old) *number = new;
}

/* One width or height becomes another, wherever it occurs. */
static void resize(draft *p, dice *d) {
    const syn_tensor *some = draft_pick(p, d, SYN_SEC_TENSORS);
    const syn_weight *any = draft_pick(p, d, SYN_SEC_WEIGHTS);
    if (!some) return;
    uint32_t old = any && one_in(d, 3) ? any->rows : some->cols, new = 1 + roll(d, 2 * old % 300);
    if (one_in(d, 4)) new = 32 * (1 + roll(d, 4));
    if (one_in(d, 8)) new = old + 1;
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_TENSORS); i++) {
        syn_tensor *t = draft_record(p, SYN_SEC_TENSORS, i);
        replace(&t->cols, old, new);
        replace(&t->limit, old, new);
    }
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_WEIGHTS); i++) {
        syn_weight *w = draft_record(p, SYN_SEC_WEIGHTS, i);
        replace(&w->rows, old, new);
        replace(&w->cols, old, new);
    }
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_STATES); i++) {
        syn_state *s = draft_record(p, SYN_SEC_STATES, i);
        replace(&s->width, old, new);
        replace(&s->width_v, old, new);
        replace(&s->head, old, new);
    }
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_OPS) * SYN_MAX_ATTRIBUTES; i++) {
        syn_record *op = draft_record(p, SYN_SEC_OPS, i / SYN_MAX_ATTRIBUTES);
        if (old > 8) replace(&op->attributes[i % SYN_MAX_ATTRIBUTES], old, new);
    }
    lay_all(p, d);
}

/* A family of spaces gets other rows, positions or group sizes. */
static void resize_space(draft *p, dice *d) {
    const syn_function *f = draft_pick(p, d, SYN_SEC_FUNCTIONS);
    if (!f) return;
    syn_space *chosen = draft_record(p, SYN_SEC_SPACES, f->first_space + roll(d, f->spaces));
    if (!chosen) return;
    uint32_t rows = 1 + roll(d, one_in(d, 8) ? 600 : 40), base = chosen->base;
    if (one_in(d, 3)) chosen->max_position = 1 + roll(d, one_in(d, 2) ? 400 : 20);
    if (one_in(d, 4)) chosen->multiple = 1 + roll(d, 4);
    if (one_in(d, 8)) chosen->base = roll(d, f->spaces);
    for (uint32_t i = 0; i < f->spaces % (SYN_MAX_SPACES + 1); i++) {
        syn_space *s = draft_record(p, SYN_SEC_SPACES, f->first_space + i);
        if (s && (s->base == base || s->base == chosen->base)) s->max_rows = rows;
    }
    lay_all(p, d);
}

/* A space gets a twin with its rows in groups of one, and some of its tensors move there. */
static void twin_space(draft *p, dice *d) {
    uint32_t number = roll(d, draft_count(p, SYN_SEC_FUNCTIONS));
    const syn_function *f = draft_record(p, SYN_SEC_FUNCTIONS, number);
    if (!f) return;
    uint32_t old = roll(d, f->spaces), new = f->spaces;
    const syn_space *space = draft_record(p, SYN_SEC_SPACES, f->first_space + old);
    if (!space) return;
    syn_space copy = *space, *twin = draft_double(p, SYN_SEC_SPACES, f->first_space + new - 1);
    f = draft_record(p, SYN_SEC_FUNCTIONS, number);
    if (!twin || !f) return;
    *twin = copy;
    for (uint32_t i = 0; i < f->tensors % 4096; i++) {
        syn_tensor *t = draft_record(p, SYN_SEC_TENSORS, f->first_tensor + i);
        if (t && t->space == old && one_in(d, 3)) t->space = new;
    }
}

/* An op is done twice, or a tensor, port or space is there twice. */
static void double_record(draft *p, dice *d) {
    uint32_t section = SYN_SEC_SPACES;
    if (!one_in(d, 4)) section = one_in(d, 2) ? SYN_SEC_OPS : SYN_SEC_TENSORS;
    draft_double(p, section, roll(d, draft_count(p, section)));
}

/* A weight or a state is held in another format; a weight lies elsewhere in the same bytes. */
static void reformat(draft *p, dice *d) {
    syn_weight *w = draft_pick(p, d, SYN_SEC_WEIGHTS);
    syn_state *s = draft_pick(p, d, SYN_SEC_STATES);
    if (w) w->format = 1 + roll(d, 6);
    if (s && one_in(d, 2)) s->dtype = 1 + roll(d, 3);
    lay_all(p, d);
}

static void lay_again(draft *p, dice *d) { lay_all(p, d); }

static void reseed(draft *p, dice *d) { p->head->seed = (uint32_t)roll_bits(d); }

typedef void move(draft *, dice *);

static move *const moves[] = {
    set_field, set_field, set_operand, set_operand, set_attribute, set_attribute, move_op,
    move_tensor, move_tensor, set_header, double_record, twin_space, scramble, resize, resize, resize_space, reformat,
    lay_again, reseed,
};

/* The checksum mostly fits: a validator that only compares checksums would learn us nothing. */
static size_t finish(draft *p, dice *d, uint8_t *out) {
    if (!one_in(d, 40)) draft_settle(p);
    else if (!one_in(d, 3)) draft_seal(p);
    memcpy(out, p->head, sizeof *p->head);
    memcpy(out + sizeof *p->head, p->image, p->bytes);
    return sizeof *p->head + p->bytes;
}

/* A copy to work on, with room to grow. */
static draft open_draft(const uint8_t *data, size_t size, size_t most) {
    uint8_t *copy = calloc(1, size + FUZZ_GROWTH), *image = copy + sizeof(fuzz_head);
    if (!copy) abort();
    memcpy(copy, data, size);
    size_t least = size + FUZZ_GROWTH < most ? size + FUZZ_GROWTH : most;
    return (draft){(fuzz_head *)(void *)copy, image, size - sizeof(fuzz_head),
                   least - sizeof(fuzz_head), (syn_header *)(void *)image};
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned int seed) {
    dice d = {seed};
    if (size < LEAST) return LLVMFuzzerMutate(data, size, most);
    draft p = open_draft(data, size, most);
    uint32_t count = 1;
    while (count < 8 && one_in(&d, 2)) count++;
    for (uint32_t i = 0; i < count; i++) moves[roll(&d, sizeof moves / sizeof moves[0])](&p, &d);
    size = finish(&p, &d, data);
    free(p.head);
    return size;
}

/* Records of b in the places of a's. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
                                 uint8_t *out, size_t most, unsigned int seed) {
    dice d = {seed};
    if (a_size < LEAST || b_size < LEAST || a_size > most) return 0;
    draft p = open_draft(a, a_size, most), q = open_draft(b, b_size, b_size);
    for (uint32_t n = 1 + roll(&d, 4); n > 0; n--) {
        uint32_t section = roll(&d, SYN_SEC_HOST), index = roll(&d, draft_count(&p, section));
        void *record = draft_record(&p, section, index);
        const void *other = one_in(&d, 2) ? draft_record(&q, section, index)
                                          : draft_pick(&q, &d, section);
        if (record && other) memcpy(record, other, draft_record_bytes(section));
    }
    if (one_in(&d, 2)) lay_all(&p, &d);
    size_t size = finish(&p, &d, out);
    free(p.head);
    free(q.head);
    return size;
}
