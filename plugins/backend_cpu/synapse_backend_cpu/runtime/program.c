/* syn_open: check a whole program before anything of it runs.
 *
 * Every number is a stranger's. Counts and offsets are compared in 64 bits before they are used, sums
 * cannot wrap (each term is checked against a bound first), and what one record says of another is
 * checked when both tables are known to lie inside the image. What is not promised: that an op
 * reads only what an earlier op has written. The arena is the host's, zeroed once, so such a program
 * computes nonsense, but touches nothing that is not its own.
 */
#include "syn_formats.h"
#include "tables.h"

/* Rows × columns of a tensor, rows of a space: 32-bit arithmetic on them stays exact. */
#define MOST_ROWS 0x3fffffffu
#define MOST_NUMBERS 0x3fffffffu

static const uint16_t record_bytes[SYN_SECTIONS] = {
    sizeof(syn_kernel_name), sizeof(syn_segment), sizeof(syn_weight), sizeof(syn_space),
    sizeof(syn_tensor), sizeof(syn_state), sizeof(syn_group), sizeof(syn_function),
    sizeof(syn_port), sizeof(syn_record), sizeof(uint32_t), 1,
};

/* CRC-32 (IEEE 802.3), a bit at a time: small, and only run once. */
static uint32_t crc32(uint32_t crc, const uint8_t *bytes, uint64_t count) {
    crc = ~crc;
    for (uint64_t i = 0; i < count; i++) {
        crc ^= bytes[(size_t)i];
        for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
    }
    return ~crc;
}

static uint32_t checksum(const uint8_t *image, uint64_t meta_bytes) {
    static const uint8_t zero[4] = {0, 0, 0, 0};
    uint64_t field = offsetof(syn_header, checksum);
    uint32_t crc = crc32(0, image, field);
    crc = crc32(crc, zero, 4);
    return crc32(crc, image + (size_t)field + 4, meta_bytes - field - 4);
}

static int is_name(const char *name) {
    for (uint32_t i = 0; i < SYN_NAME; i++)
        if (!name[i]) return i > 0;
    return 0;
}

static int same_name(const char *a, const char *b) {
    for (uint32_t i = 0; i < SYN_NAME; i++) {
        if (a[i] != b[i]) return 0;
        if (!a[i]) return 1;
    }
    return 1;
}

/* Do the records [first, first + count) lie in a section? */
static int in_section(const syn_program *p, uint32_t section, uint32_t first, uint32_t count) {
    uint32_t all = syn_count(p, section);
    return first <= all && count <= all - first;
}

static int check_header(syn_program *p, syn_error *error) {
    const syn_header *h = p->header;
    if (p->image_bytes < sizeof *h || ((uintptr_t)p->image & 7))
        return syn_fail(error, SYN_BAD_IMAGE, SYN_SECTIONS, 0, 0);
    if (h->magic[0] != 'S' || h->magic[1] != 'Y' || h->magic[2] != 'N' || h->magic[3] != 'P')
        return syn_fail(error, SYN_BAD_IMAGE, SYN_SECTIONS, 1, 0);
    if (h->major != SYN_FORMAT_MAJOR || h->header_bytes != sizeof *h)
        return syn_fail(error, SYN_BAD_VERSION, SYN_SECTIONS, h->major, h->minor);
    if (h->file_bytes != p->image_bytes || h->meta_bytes < sizeof *h || h->meta_bytes & 7
        || h->meta_bytes > p->image_bytes)
        return syn_fail(error, SYN_BAD_IMAGE, SYN_SECTIONS, 2, 0);
    if (checksum(p->image, h->meta_bytes) != h->checksum)
        return syn_fail(error, SYN_BAD_CHECKSUM, SYN_SECTIONS, 0, h->checksum);
    if (h->max_slots < 1 || h->max_slots > 0xffff || h->slot_bytes & 7
        || h->slot_bytes > 0x7fffffff)
        return syn_fail(error, SYN_BAD_COUNT, SYN_SECTIONS, 3, h->max_slots);
    for (uint32_t s = 0; s < SYN_SECTIONS; s++) {
        uint64_t offset = h->section[s].offset;
        uint64_t end = offset + (uint64_t)h->section[s].count * record_bytes[s];
        if (offset & 7 || offset < sizeof *h || end > h->meta_bytes)
            return syn_fail(error, SYN_BAD_OFFSET, s, 0, h->section[s].offset);
    }
    return SYN_OK;
}

static int bind_segments(syn_program *p, const syn_bytes *external, uint32_t externals,
                         syn_error *error) {
    const syn_segment *segments = syn_table(p, SYN_SEC_SEGMENTS);
    uint32_t count = syn_count(p, SYN_SEC_SEGMENTS), taken = 0;
    if (count > SYN_MAX_SEGMENTS) return syn_fail(error, SYN_BAD_COUNT, SYN_SEC_SEGMENTS, 0, count);
    for (uint32_t i = 0; i < count; i++) {
        const syn_segment *s = segments + i;
        if (s->kind == SYN_SEGMENT_INLINE) {
            if (s->offset < p->header->meta_bytes || s->offset & 7 || s->offset > p->image_bytes
                || s->bytes > p->image_bytes - s->offset)
                return syn_fail(error, SYN_BAD_SEGMENT, SYN_SEC_SEGMENTS, i, (uint32_t)s->offset);
            p->segment[i].data = p->image + (size_t)s->offset;
        } else {
            if (s->kind != SYN_SEGMENT_EXTERNAL || taken >= externals
                || external[taken].bytes != s->bytes || ((uintptr_t)external[taken].data & 1))
                return syn_fail(error, SYN_BAD_SEGMENT, SYN_SEC_SEGMENTS, i, s->kind);
            p->segment[i].data = external[taken++].data;
        }
        p->segment[i].bytes = s->bytes;
    }
    return taken == externals ? SYN_OK : syn_fail(error, SYN_BAD_SEGMENT, SYN_SEC_SEGMENTS, count, externals);
}

static int bind_kernels(syn_program *p, const syn_kernel *const *kernels, uint32_t kernel_count,
                        syn_error *error) {
    const syn_kernel_name *names = syn_table(p, SYN_SEC_KERNELS);
    uint32_t count = syn_count(p, SYN_SEC_KERNELS);
    if (count > SYN_MAX_KERNELS) return syn_fail(error, SYN_BAD_COUNT, SYN_SEC_KERNELS, 0, count);
    for (uint32_t i = 0; i < count; i++) {
        if (!is_name(names[i].name)) return syn_fail(error, SYN_BAD_NAME, SYN_SEC_KERNELS, i, 0);
        p->kernel[i] = NULL;
        for (uint32_t k = 0; k < kernel_count; k++)
            if (same_name(names[i].name, kernels[k]->name)) p->kernel[i] = kernels[k];
        const syn_kernel *found = p->kernel[i];
        if (!found || found->abi != SYN_ABI || !found->check || !found->scratch_bytes || !found->run)
            return syn_fail(error, SYN_NO_KERNEL, SYN_SEC_KERNELS, i, found ? found->abi : 0);
    }
    return SYN_OK;
}

static int check_weights(const syn_program *p, syn_error *error) {
    const syn_weight *weights = syn_table(p, SYN_SEC_WEIGHTS);
    for (uint32_t i = 0; i < syn_count(p, SYN_SEC_WEIGHTS); i++) {
        const syn_weight *w = weights + i;
        uint64_t bytes = syn_row_bytes(w->format, w->cols), all = (uint64_t)w->rows * w->row_bytes;
        if (w->segment >= syn_count(p, SYN_SEC_SEGMENTS) || w->layout != SYN_LAYOUT_ROWS || !w->rows
            || w->rows > MOST_ROWS || w->cols > MOST_NUMBERS || !bytes || bytes != w->row_bytes)
            return syn_fail(error, SYN_BAD_WEIGHT, SYN_SEC_WEIGHTS, i, w->format);
        uint64_t size = p->segment[w->segment].bytes;
        if (w->offset & 1 || w->offset > size || all > size - w->offset)
            return syn_fail(error, SYN_BAD_WEIGHT, SYN_SEC_WEIGHTS, i, (uint32_t)w->offset);
    }
    return SYN_OK;
}

/* Can a state hold n numbers in this way? */
static int holds(uint32_t dtype, uint32_t n) {
    if (dtype == SYN_Q8_0) return n % 32 == 0;
    return dtype == SYN_F32 || dtype == SYN_F16 || dtype == SYN_BF16;
}

static int check_state(const syn_program *p, const syn_state *s) {
    const syn_group *groups = syn_table(p, SYN_SEC_GROUPS);
    uint64_t room, least;
    if (s->width < 1 || s->width > 0xffffff || s->width_v > 0xffffff) return 0;
    if (!holds(s->dtype, s->width) || !holds(s->dtype, s->width_v)) return 0;
    if (s->head && (s->width % s->head || s->width_v % s->head || !holds(s->dtype, s->head))) return 0;
    if (s->kind == SYN_STATE_KV) {
        if (s->group >= syn_count(p, SYN_SEC_GROUPS) || s->width_v < 1) return 0;
        room = groups[s->group].page_bytes;
        least = (uint64_t)SYN_PAGE_ROWS * syn_state_bytes(s->dtype, (size_t)s->width + s->width_v);
    } else {
        if (s->kind != SYN_STATE_RECURRENT || s->dtype != SYN_F32) return 0;
        room = p->header->slot_bytes;
        least = (uint64_t)s->width * 4;
    }
    return !(s->offset & 7) && s->bytes >= least && s->offset <= room && s->bytes <= room - s->offset;
}

static int check_states(const syn_program *p, syn_error *error) {
    const syn_group *groups = syn_table(p, SYN_SEC_GROUPS);
    const syn_state *states = syn_table(p, SYN_SEC_STATES);
    uint32_t count = syn_count(p, SYN_SEC_GROUPS), all = syn_count(p, SYN_SEC_STATES);
    if (count > SYN_MAX_GROUPS) return syn_fail(error, SYN_BAD_COUNT, SYN_SEC_GROUPS, 0, count);
    for (uint32_t i = 0; i < count; i++)
        if (groups[i].page_bytes & 7 || !groups[i].page_bytes || groups[i].page_bytes > 0x3fffffff)
            return syn_fail(error, SYN_BAD_STATE, SYN_SEC_GROUPS, i, groups[i].window);
    if (all > 4096) return syn_fail(error, SYN_BAD_COUNT, SYN_SEC_STATES, 0, all);
    for (uint32_t i = 0; i < all; i++) {
        const syn_state *s = states + i;
        if (!check_state(p, s)) return syn_fail(error, SYN_BAD_STATE, SYN_SEC_STATES, i, s->kind);
        for (uint32_t j = 0; j < i; j++) {
            const syn_state *o = states + j;
            int apart = s->offset + s->bytes <= o->offset || o->offset + o->bytes <= s->offset;
            if (s->kind == o->kind && (s->kind == SYN_STATE_RECURRENT || s->group == o->group) && !apart)
                return syn_fail(error, SYN_BAD_ALIAS, SYN_SEC_STATES, i, j);
        }
    }
    return SYN_OK;
}

static int check_spaces(const syn_program *p, const syn_function *f, syn_error *error) {
    const syn_space *spaces = syn_spaces_of(p, f);
    if (f->spaces < 1 || f->spaces > SYN_MAX_SPACES)
        return syn_fail(error, SYN_BAD_COUNT, SYN_SEC_SPACES, f->first_space, f->spaces);
    for (uint32_t i = 0; i < f->spaces; i++) {
        const syn_space *s = spaces + i;
        uint32_t index = f->first_space + i;
        if (s->base >= f->spaces || spaces[s->base].base != s->base || s->multiple < 1
            || (s->base == i && s->multiple != 1) || s->max_rows < 1
            || s->max_rows != spaces[s->base].max_rows
            || (uint64_t)s->max_rows * s->multiple > MOST_ROWS)
            return syn_fail(error, SYN_BAD_SPACE, SYN_SEC_SPACES, index, s->base);
        if (s->max_position > 0x7fffffff || (s->flags & SYN_SPACE_ROWS ? !s->max_position : 0))
            return syn_fail(error, SYN_BAD_SPACE, SYN_SEC_SPACES, index, s->max_position);
    }
    return SYN_OK;
}

static uint64_t tensor_bytes(const syn_space *spaces, const syn_tensor *t) {
    return (uint64_t)spaces[t->space].max_rows * spaces[t->space].multiple * t->cols * 4;
}

static int check_tensors(const syn_program *p, const syn_function *f, syn_error *error) {
    const syn_space *spaces = syn_spaces_of(p, f);
    const syn_tensor *tensors = syn_tensors_of(p, f);
    for (uint32_t i = 0; i < f->tensors; i++) {
        const syn_tensor *t = tensors + i;
        uint32_t index = f->first_tensor + i;
        if (t->space >= f->spaces || t->cols < 1 || t->cols > MOST_NUMBERS)
            return syn_fail(error, SYN_BAD_TENSOR, SYN_SEC_TENSORS, index, t->space);
        uint64_t bytes = tensor_bytes(spaces, t);
        if (bytes > (uint64_t)MOST_NUMBERS * 4 || t->offset & 15 || t->offset > f->arena_bytes
            || bytes > f->arena_bytes - t->offset)
            return syn_fail(error, SYN_BAD_TENSOR, SYN_SEC_TENSORS, index, (uint32_t)t->offset);
        if (t->dtype == SYN_I32 ? t->limit > MOST_ROWS || (!t->limit && t->limit_space >= f->spaces)
                                : t->dtype != SYN_F32)
            return syn_fail(error, SYN_BAD_TENSOR, SYN_SEC_TENSORS, index, t->dtype);
    }
    return SYN_OK;
}

/* Is a tensor of the function one of its input ports? */
static int is_input(const syn_program *p, const syn_function *f, uint32_t tensor) {
    const syn_port *ports = (const syn_port *)syn_table(p, SYN_SEC_PORTS) + f->first_port;
    for (uint32_t i = 0; i < f->ports; i++)
        if (ports[i].tensor == tensor && ports[i].direction == SYN_PORT_INPUT) return 1;
    return 0;
}

static int check_ports(const syn_program *p, const syn_function *f, syn_error *error) {
    const syn_port *ports = (const syn_port *)syn_table(p, SYN_SEC_PORTS) + f->first_port;
    const syn_tensor *tensors = syn_tensors_of(p, f);
    if (f->ports > 256) return syn_fail(error, SYN_BAD_COUNT, SYN_SEC_PORTS, f->first_port, f->ports);
    for (uint32_t i = 0; i < f->ports; i++) {
        const syn_port *port = ports + i;
        uint32_t index = f->first_port + i;
        if (!is_name(port->name) || port->direction > SYN_PORT_OUTPUT || port->tensor >= f->tensors)
            return syn_fail(error, SYN_BAD_PORT, SYN_SEC_PORTS, index, port->tensor);
        if (port->direction == SYN_PORT_OUTPUT && tensors[port->tensor].dtype != SYN_F32)
            return syn_fail(error, SYN_BAD_PORT, SYN_SEC_PORTS, index, port->tensor);
        for (uint32_t j = 0; j < i; j++)
            if (ports[j].direction == port->direction && same_name(ports[j].name, port->name))
                return syn_fail(error, SYN_BAD_NAME, SYN_SEC_PORTS, index, j);
    }
    for (uint32_t i = 0; i < f->tensors; i++)
        if (tensors[i].dtype == SYN_I32 && !is_input(p, f, i))
            return syn_fail(error, SYN_BAD_TENSOR, SYN_SEC_TENSORS, f->first_tensor + i, SYN_I32);
    return SYN_OK;
}

static int check_operand(const syn_program *p, const syn_function *f, uint32_t word) {
    switch (syn_kind(word)) {
    case SYN_NONE: return 1;
    case SYN_TENSOR: return syn_index(word) < f->tensors;
    case SYN_WEIGHT: return syn_index(word) < syn_count(p, SYN_SEC_WEIGHTS);
    case SYN_STATE: return syn_index(word) < syn_count(p, SYN_SEC_STATES);
    default: return 0;
    }
}

/* Do two tensors of the function share a byte of the arena? */
static int meet(const syn_program *p, const syn_function *f, uint32_t one, uint32_t other) {
    const syn_space *spaces = syn_spaces_of(p, f);
    const syn_tensor *a = syn_tensors_of(p, f) + one, *b = syn_tensors_of(p, f) + other;
    return a->offset < b->offset + tensor_bytes(spaces, b)
        && b->offset < a->offset + tensor_bytes(spaces, a);
}

/* Does the output tensor share a byte with another operand of its op? */
static int overlaps(const syn_program *p, const syn_function *f, const uint32_t *words,
                    uint32_t count, uint32_t output) {
    for (uint32_t i = 0; i < count; i++)
        if (i != output && syn_kind(words[i]) == SYN_TENSOR
            && meet(p, f, syn_index(words[output]), syn_index(words[i])))
            return 1;
    return 0;
}

/* Ids are checked before the first op runs: no op before the last that reads them may write there.
 * (That op itself may not either, as its output would overlap its input.) */
static int check_ids_kept(const syn_program *p, const syn_function *f, uint32_t tensor,
                          syn_error *error) {
    uint32_t word = (uint32_t)SYN_TENSOR << 28 | tensor, read = 0;
    for (uint32_t op = f->ops; op-- > 0;) {
        const syn_record *record = syn_records_of(p, f) + op;
        const uint32_t *words = syn_operands_of(p, record);
        for (uint32_t i = 0; i < record->inputs; i++) read |= words[i] == word;
        for (uint32_t i = 0; read && i < record->outputs; i++)
            if (meet(p, f, syn_index(words[record->inputs + i]), tensor))
                return syn_fail(error, SYN_BAD_ALIAS, SYN_SEC_OPS, f->first_op + op, tensor);
    }
    return SYN_OK;
}

static int check_op(const syn_program *p, const syn_function *f, uint32_t index, syn_error *error) {
    const syn_record *record = (const syn_record *)syn_table(p, SYN_SEC_OPS) + index;
    const syn_tensor *tensors = syn_tensors_of(p, f);
    uint32_t count = record->inputs + record->outputs;
    if (record->kernel >= syn_count(p, SYN_SEC_KERNELS) || record->inputs > SYN_MAX_OPERANDS
        || record->outputs > SYN_MAX_OPERANDS || record->outputs < 1
        || !in_section(p, SYN_SEC_OPERANDS, record->first_operand, count))
        return syn_fail(error, SYN_BAD_OP, SYN_SEC_OPS, index, record->kernel);
    const uint32_t *words = syn_operands_of(p, record);
    for (uint32_t i = 0; i < count; i++)
        if (!check_operand(p, f, words[i]))
            return syn_fail(error, SYN_BAD_OP, SYN_SEC_OPS, index, words[i]);
    for (uint32_t i = record->inputs; i < count; i++) {
        if (syn_kind(words[i]) != SYN_TENSOR || tensors[syn_index(words[i])].dtype != SYN_F32
            || is_input(p, f, syn_index(words[i])))
            return syn_fail(error, SYN_BAD_OP, SYN_SEC_OPS, index, words[i]);
        if (overlaps(p, f, words, count, i))
            return syn_fail(error, SYN_BAD_ALIAS, SYN_SEC_OPS, index, words[i]);
    }
    syn_op op;
    syn_view(p, f, record, NULL, &op);
    int code = p->kernel[record->kernel]->check(&op);
    return code ? syn_fail(error, SYN_REFUSED, SYN_SEC_OPS, index, (uint32_t)code) : SYN_OK;
}

static int check_function(const syn_program *p, uint32_t index, syn_error *error) {
    const syn_function *f = syn_function_at(p, index);
    int code;
    if (!is_name(f->name) || f->arena_bytes > (uint64_t)1 << 40
        || !in_section(p, SYN_SEC_SPACES, f->first_space, f->spaces)
        || !in_section(p, SYN_SEC_TENSORS, f->first_tensor, f->tensors)
        || !in_section(p, SYN_SEC_PORTS, f->first_port, f->ports)
        || !in_section(p, SYN_SEC_OPS, f->first_op, f->ops))
        return syn_fail(error, SYN_BAD_FUNCTION, SYN_SEC_FUNCTIONS, index, 0);
    for (uint32_t other = 0; other < index; other++)
        if (same_name(f->name, syn_function_at(p, other)->name))
            return syn_fail(error, SYN_BAD_NAME, SYN_SEC_FUNCTIONS, index, other);
    if ((code = check_spaces(p, f, error)) || (code = check_tensors(p, f, error))
        || (code = check_ports(p, f, error)))
        return code;
    for (uint32_t op = 0; op < f->ops; op++)
        if ((code = check_op(p, f, f->first_op + op, error))) return code;
    const syn_port *ports = (const syn_port *)syn_table(p, SYN_SEC_PORTS) + f->first_port;
    for (uint32_t i = 0; i < f->ports; i++)
        if (syn_tensors_of(p, f)[ports[i].tensor].dtype == SYN_I32
            && (code = check_ids_kept(p, f, ports[i].tensor, error)))
            return code;
    return SYN_OK;
}

int syn_open(syn_program *p, const uint8_t *image, uint64_t image_bytes, const syn_bytes *external,
             uint32_t externals, const syn_kernel *const *kernels, uint32_t kernel_count,
             syn_error *error) {
    int code;
    __builtin_memset(p, 0, sizeof *p);
    p->image = image;
    p->image_bytes = image_bytes;
    p->header = (const syn_header *)(const void *)image;
    if ((code = check_header(p, error)) || (code = bind_segments(p, external, externals, error))
        || (code = bind_kernels(p, kernels, kernel_count, error))
        || (code = check_weights(p, error)) || (code = check_states(p, error)))
        return code;
    uint32_t functions = syn_count(p, SYN_SEC_FUNCTIONS);
    if (functions < 1 || functions > 64)
        return syn_fail(error, SYN_BAD_COUNT, SYN_SEC_FUNCTIONS, 0, functions);
    for (uint32_t f = 0; f < functions; f++)
        if ((code = check_function(p, f, error))) return code;
    return syn_fail(error, SYN_OK, SYN_SECTIONS, 0, 0);
}
