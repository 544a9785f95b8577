/* Reading a program's tables, for the runtime's own files. */
#ifndef SYN_TABLES_H
#define SYN_TABLES_H

#include "syn.h"

/* The records of a section; the header must have been checked. */
static inline const void *syn_table(const syn_program *p, uint32_t section) {
    return p->image + p->header->section[section].offset;
}

static inline uint32_t syn_count(const syn_program *p, uint32_t section) {
    return p->header->section[section].count;
}

static inline const syn_function *syn_function_at(const syn_program *p, uint32_t index) {
    return (const syn_function *)syn_table(p, SYN_SEC_FUNCTIONS) + index;
}

static inline const syn_space *syn_spaces_of(const syn_program *p, const syn_function *f) {
    return (const syn_space *)syn_table(p, SYN_SEC_SPACES) + f->first_space;
}

static inline const syn_tensor *syn_tensors_of(const syn_program *p, const syn_function *f) {
    return (const syn_tensor *)syn_table(p, SYN_SEC_TENSORS) + f->first_tensor;
}

static inline const syn_record *syn_records_of(const syn_program *p, const syn_function *f) {
    return (const syn_record *)syn_table(p, SYN_SEC_OPS) + f->first_op;
}

static inline const uint32_t *syn_operands_of(const syn_program *p, const syn_record *op) {
    return (const uint32_t *)syn_table(p, SYN_SEC_OPERANDS) + op->first_operand;
}

static inline uint32_t syn_kind(uint32_t word) { return word >> 28; }
static inline uint32_t syn_index(uint32_t word) { return word & 0x0fffffffu; }

static inline int syn_fail(syn_error *error, int code, uint32_t section, uint32_t index,
                           uint32_t detail) {
    error->code = code;
    error->section = section;
    error->index = index;
    error->detail = detail;
    return code;
}

/* Describe a record's operands to its kernel. With a call, rows are the call's and data is set;
 * without, rows are the most there can be and data is NULL. Spaces must have been checked. */
void syn_view(const syn_program *p, const syn_function *f, const syn_record *record,
              const syn_call *call, syn_op *op);

#endif
