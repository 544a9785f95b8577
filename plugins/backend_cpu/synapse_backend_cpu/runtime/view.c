/* What a kernel sees of a record: its operands, resolved. */
#include "tables.h"

static void view_tensor(const syn_program *p, const syn_function *f, uint32_t index,
                        const syn_call *call, syn_operand *o) {
    const syn_tensor *t = syn_tensors_of(p, f) + index;
    const syn_space *spaces = syn_spaces_of(p, f), *space = spaces + t->space;
    const syn_space *base = spaces + space->base;
    uint32_t rows = call ? call->rows[space->base].count : base->max_rows;
    o->dtype = t->dtype;
    o->rows = rows * space->multiple;
    o->cols = t->cols;
    o->row_bytes = t->cols * 4;
    o->space = t->space;
    o->base = space->base;
    o->multiple = space->multiple;
    o->flags = base->flags;
    o->max_position = base->max_position;
    o->limit = t->limit;
    o->limit_space = t->limit_space;
    o->data = call ? call->arena + (size_t)t->offset : NULL;
}

static void view_weight(const syn_program *p, uint32_t index, const syn_call *call,
                        syn_operand *o) {
    const syn_weight *w = (const syn_weight *)syn_table(p, SYN_SEC_WEIGHTS) + index;
    o->dtype = w->format;
    o->rows = w->rows;
    o->cols = w->cols;
    o->row_bytes = w->row_bytes;
    /* The bytes are only read: operands are one type for inputs and outputs. */
    o->data = call ? (uint8_t *)(uintptr_t)p->segment[w->segment].data + (size_t)w->offset : NULL;
    o->packed = call && p->packed ? p->packed[index] : NULL;
}

static void view_state(const syn_program *p, uint32_t index, syn_operand *o) {
    const syn_state *s = (const syn_state *)syn_table(p, SYN_SEC_STATES) + index;
    const syn_group *groups = syn_table(p, SYN_SEC_GROUPS);
    o->dtype = s->dtype;
    o->cols = s->width;
    o->state_kind = s->kind;
    o->group = s->group;
    o->width_v = s->width_v;
    o->head = s->head;
    o->offset = s->offset;
    o->bytes = s->bytes;
    o->slot_bytes = p->header->slot_bytes;
    o->page_bytes = s->kind == SYN_STATE_KV ? groups[s->group].page_bytes : 0;
}

static void view_operand(const syn_program *p, const syn_function *f, uint32_t word,
                         const syn_call *call, syn_operand *o) {
    __builtin_memset(o, 0, sizeof *o);
    o->kind = syn_kind(word);
    if (o->kind == SYN_TENSOR) view_tensor(p, f, syn_index(word), call, o);
    if (o->kind == SYN_WEIGHT) view_weight(p, syn_index(word), call, o);
    if (o->kind == SYN_STATE) view_state(p, syn_index(word), o);
}

void syn_view(const syn_program *p, const syn_function *f, const syn_record *record,
              const syn_call *call, syn_op *op) {
    const uint32_t *words = syn_operands_of(p, record);
    op->inputs = record->inputs;
    op->outputs = record->outputs;
    op->attributes = record->attributes;
    for (uint32_t n = 0; n < record->inputs; n++) view_operand(p, f, words[n], call, &op->in[n]);
    for (uint32_t n = 0; n < record->outputs; n++)
        view_operand(p, f, words[record->inputs + n], call, &op->out[n]);
}
