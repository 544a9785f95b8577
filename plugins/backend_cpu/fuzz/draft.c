/* A program while it is mutated. Nothing here may trust a number of the image. */
#include "draft.h"

#include <stddef.h>
#include <string.h>

enum { MOST_EXTERNAL_BYTES = 4 << 20 };

uint32_t draft_record_bytes(uint32_t section) {
    static const uint32_t bytes[SYN_SECTIONS] = {
        sizeof(syn_kernel_name), sizeof(syn_segment), sizeof(syn_weight), sizeof(syn_space),
        sizeof(syn_tensor), sizeof(syn_state), sizeof(syn_group), sizeof(syn_function),
        sizeof(syn_port), sizeof(syn_record), sizeof(uint32_t), 1};
    return bytes[section];
}

uint32_t draft_count(const draft *p, uint32_t section) {
    syn_section s = p->header->section[section];
    if (s.offset & 7 || s.offset > p->bytes) return 0;
    uint64_t room = (p->bytes - s.offset) / draft_record_bytes(section);
    return s.count < room ? s.count : (uint32_t)room;
}

void *draft_record(const draft *p, uint32_t section, uint32_t index) {
    if (index >= draft_count(p, section)) return NULL;
    return p->image + p->header->section[section].offset
         + (size_t)index * draft_record_bytes(section);
}

void *draft_pick(const draft *p, dice *d, uint32_t section) {
    return draft_record(p, section, roll(d, draft_count(p, section)));
}

/* Where a function says which records of a section are its own: the first, then their count. */
static uint32_t *range_of(syn_function *f, uint32_t section) {
    switch (section) {
    case SYN_SEC_SPACES: return &f->first_space;
    case SYN_SEC_TENSORS: return &f->first_tensor;
    case SYN_SEC_PORTS: return &f->first_port;
    default: return &f->first_op;
    }
}

void *draft_double(draft *p, uint32_t section, uint32_t index) {
    uint32_t size = draft_record_bytes(section);
    uint8_t *record = draft_record(p, section, index);
    if (!record || size % 8 || p->bytes + size > p->room) return NULL;
    uint64_t at = (uint64_t)(record - p->image);
    memmove(record + size, record, p->bytes - at);
    p->bytes += size;
    p->header->meta_bytes += size;
    p->header->section[section].count++;
    for (uint32_t s = 0; s < SYN_SECTIONS; s++)
        if (s != section && p->header->section[s].offset > at) p->header->section[s].offset += size;
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_SEGMENTS); i++) {
        syn_segment *segment = draft_record(p, SYN_SEC_SEGMENTS, i);
        if (segment->kind == SYN_SEGMENT_INLINE) segment->offset += size;
    }
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_FUNCTIONS); i++) {
        uint32_t *range = range_of(draft_record(p, SYN_SEC_FUNCTIONS, i), section);
        if (range[0] > index) range[0]++;
        else if (index - range[0] < range[1]) range[1]++;
    }
    return record + size;
}

static uint64_t up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

void draft_lay_tensors(const draft *p, dice *d, const syn_function *function) {
    syn_function *f = (syn_function *)(uintptr_t)function;
    uint32_t count = f->tensors < 4096 ? f->tensors : 4096, start = roll(d, count);
    uint64_t end = 0;
    for (uint32_t n = 0; n < count; n++) {
        syn_tensor *t = draft_record(p, SYN_SEC_TENSORS, f->first_tensor + (start + n) % count);
        const syn_space *s = t ? draft_record(p, SYN_SEC_SPACES, f->first_space + t->space) : NULL;
        if (!s) continue;
        uint64_t rows = (uint64_t)s->max_rows * s->multiple;
        t->offset = up(end, 16);
        if (rows > 1 << 24 || t->cols > 1 << 24) continue;
        end = t->offset + rows * t->cols * 4;
    }
    f->arena_bytes = end;
}

static uint64_t row_bytes(const syn_weight *w) {
    switch (w->format) {
    case SYN_F32: return (uint64_t)w->cols * 4;
    case SYN_INT8: return up((uint64_t)w->cols + 4, 2);
    case SYN_Q8_0: return (uint64_t)w->cols / 32 * 34;
    default: return (uint64_t)w->cols * 2;
    }
}

void draft_lay_weights(const draft *p, dice *d) {
    for (uint32_t s = 0; s < draft_count(p, SYN_SEC_SEGMENTS); s++) {
        syn_segment *segment = draft_record(p, SYN_SEC_SEGMENTS, s);
        uint64_t end = 2 * roll(d, 3);
        if (segment->kind != SYN_SEGMENT_EXTERNAL) continue;
        for (uint32_t i = 0; i < draft_count(p, SYN_SEC_WEIGHTS); i++) {
            syn_weight *w = draft_record(p, SYN_SEC_WEIGHTS, i);
            if (w->segment != s) continue;
            w->row_bytes = (uint32_t)row_bytes(w);
            w->offset = end;
            uint64_t size = (uint64_t)w->rows * w->row_bytes;
            end += size < MOST_EXTERNAL_BYTES ? size : MOST_EXTERNAL_BYTES;
        }
        segment->bytes = end;
    }
}

void draft_lay_states(const draft *p) {
    uint64_t page[SYN_MAX_GROUPS] = {0}, slot = 0;
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_STATES); i++) {
        syn_state *s = draft_record(p, SYN_SEC_STATES, i);
        uint64_t *end = s->kind == SYN_STATE_KV ? &page[s->group % SYN_MAX_GROUPS] : &slot;
        uint64_t size = s->dtype == SYN_F32 ? 4 : 2;
        s->bytes = s->kind == SYN_STATE_KV ? size * SYN_PAGE_ROWS * ((uint64_t)s->width + s->width_v)
                                           : 4 * (uint64_t)s->width;
        s->offset = up(*end, 8);
        *end = s->offset + s->bytes;
    }
    for (uint32_t g = 0; g < draft_count(p, SYN_SEC_GROUPS) && g < SYN_MAX_GROUPS; g++)
        ((syn_group *)draft_record(p, SYN_SEC_GROUPS, g))->page_bytes = up(page[g], 8);
    p->header->slot_bytes = up(slot, 8);
}

static uint32_t crc32(uint32_t crc, const uint8_t *bytes, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return crc;
}

void draft_seal(draft *p) {
    uint64_t meta = p->header->meta_bytes <= p->bytes ? p->header->meta_bytes : p->bytes;
    if (meta < sizeof *p->header) return;
    p->header->checksum = 0;
    p->header->checksum = ~crc32(~0u, p->image, meta);
}

void draft_settle(draft *p) {
    p->head->externals = 0;
    for (uint32_t i = 0; i < draft_count(p, SYN_SEC_SEGMENTS); i++) {
        const syn_segment *s = draft_record(p, SYN_SEC_SEGMENTS, i);
        if (s->kind != SYN_SEGMENT_EXTERNAL || p->head->externals == FUZZ_EXTERNALS) continue;
        uint64_t bytes = s->bytes < MOST_EXTERNAL_BYTES ? s->bytes : MOST_EXTERNAL_BYTES;
        p->head->external_bytes[p->head->externals++] = (uint32_t)bytes;
    }
    p->header->file_bytes = p->bytes;
    draft_seal(p);
}
