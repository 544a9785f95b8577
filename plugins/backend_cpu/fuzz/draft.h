/* A program while it is mutated: bounded access to its records, and what makes it whole again. */
#ifndef FUZZ_DRAFT_H
#define FUZZ_DRAFT_H

#include "input.h"

enum { FUZZ_GROWTH = 512 };  /* bytes that a program may grow by at once */

typedef struct {
    fuzz_head *head;
    uint8_t *image;
    uint64_t bytes, room;  /* of the image; that it may have */
    syn_header *header;    /* the image's start; at least a header is there */
} draft;

/* The record of a section, or NULL when it does not lie in the image. */
void *draft_record(const draft *p, uint32_t section, uint32_t index);
/* Records of a section that lie in the image. */
uint32_t draft_count(const draft *p, uint32_t section);
/* A random record, or NULL when there is none. */
void *draft_pick(const draft *p, dice *d, uint32_t section);
uint32_t draft_record_bytes(uint32_t section);
/* Double a record of spaces, tensors, ports or ops: the copy comes right behind it and belongs to
 * the same functions. Returns the copy, or NULL when there is no room for it. */
void *draft_double(draft *p, uint32_t section, uint32_t index);

/* Give every tensor of a function a place of its own, in random order; the arena ends with the last. */
void draft_lay_tensors(const draft *p, dice *d, const syn_function *f);
/* Put external weights one behind another, rows as wide as their format asks; a segment ends with
 * its last weight. */
void draft_lay_weights(const draft *p, dice *d);
/* Put states one behind another; a page and a slot's memory end with their last state. */
void draft_lay_states(const draft *p);
/* Hand in the segments that the program asks for, and say so in header and checksum. */
void draft_settle(draft *p);
void draft_seal(draft *p);

#endif
