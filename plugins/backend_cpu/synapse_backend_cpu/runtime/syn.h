/* Synapse runtime: validate and run a program (format: docs/decisions/0005-program-format.md).
 *
 * C11, no allocation, no libc but memcpy, no globals: all memory is handed in. A program is input
 * from outside: syn_open checks every number in it before an op runs, syn_prepare checks each call.
 * What lies between the two CDEF lines is also what the Python binding declares.
 */
#ifndef SYN_H
#define SYN_H

#include <stddef.h>
#include <stdint.h>

/* CDEF */
enum {
    SYN_ABI = 2,              /* of syn_kernel, syn_op and syn_call */
    SYN_FORMAT_MAJOR = 1,     /* of the file */
    SYN_FORMAT_MINOR = 0,
    SYN_MAX_OPERANDS = 16,    /* of one op */
    SYN_MAX_ATTRIBUTES = 12,  /* 32-bit words of one op */
    SYN_MAX_KERNELS = 64,     /* distinct ops of one program */
    SYN_MAX_SEGMENTS = 32,
    SYN_MAX_SPACES = 8,       /* of one function */
    SYN_MAX_GROUPS = 4,       /* kinds of KV page */
    SYN_PAGE_ROWS = 64,       /* positions in a KV page */
    SYN_NO_PAGE = 0xffffffffu,
    SYN_NAME = 32             /* bytes of a name, ending in at least one zero */
};

enum { SYN_OK = 0, SYN_BAD_IMAGE = 1, SYN_BAD_VERSION = 2, SYN_BAD_CHECKSUM = 3, SYN_BAD_COUNT = 4,
       SYN_BAD_OFFSET = 5, SYN_BAD_NAME = 6, SYN_BAD_SEGMENT = 7, SYN_BAD_WEIGHT = 8, SYN_BAD_SPACE = 9,
       SYN_BAD_TENSOR = 10, SYN_BAD_STATE = 11, SYN_BAD_FUNCTION = 12, SYN_BAD_PORT = 13, SYN_BAD_OP = 14,
       SYN_BAD_ALIAS = 15, SYN_NO_KERNEL = 16, SYN_REFUSED = 17, SYN_BAD_ROWS = 18, SYN_BAD_SLOT = 19,
       SYN_BAD_POSITION = 20, SYN_BAD_ID = 21, SYN_BAD_PAGE = 22, SYN_BAD_MEMORY = 23 };

/* dtypes of tensors and states, formats of weights */
enum { SYN_F32 = 1, SYN_F16 = 2, SYN_BF16 = 3, SYN_I32 = 4, SYN_INT8 = 5, SYN_Q8_0 = 6, SYN_Q4_0 = 7,
       SYN_Q4_1 = 8, SYN_Q5_0 = 9, SYN_Q5_1 = 10, SYN_Q4_K = 11, SYN_Q5_K = 12, SYN_Q6_K = 13,
       SYN_I8G16 = 14 };

enum { SYN_LAYOUT_ROWS = 0 };

/* an operand word: kind in the top 4 bits, index into that kind's table in the rest */
enum { SYN_NONE = 0, SYN_TENSOR = 1, SYN_WEIGHT = 2, SYN_STATE = 3 };

enum { SYN_STATE_KV = 1, SYN_STATE_RECURRENT = 2 };
enum { SYN_SPACE_ROWS = 1 };  /* flag: its rows carry slot and position */
enum { SYN_SEGMENT_INLINE = 0, SYN_SEGMENT_EXTERNAL = 1 };
enum { SYN_PORT_INPUT = 0, SYN_PORT_OUTPUT = 1 };

/* sections of the file, in this order in the header */
enum { SYN_SEC_KERNELS, SYN_SEC_SEGMENTS, SYN_SEC_WEIGHTS, SYN_SEC_SPACES, SYN_SEC_TENSORS,
       SYN_SEC_STATES, SYN_SEC_GROUPS, SYN_SEC_FUNCTIONS, SYN_SEC_PORTS, SYN_SEC_OPS,
       SYN_SEC_OPERANDS, SYN_SEC_HOST, SYN_SECTIONS };

/* ---- the file's records; little-endian, each section 8-byte aligned ---- */

typedef struct { uint32_t offset, count; } syn_section;  /* bytes from the start, records */

typedef struct {
    char magic[4];            /* "SYNP" */
    uint16_t major, minor;
    uint32_t header_bytes;    /* sizeof(syn_header) */
    uint32_t checksum;        /* CRC-32 of [0, meta_bytes) with this field as zero */
    uint64_t file_bytes;      /* the whole file */
    uint64_t meta_bytes;      /* all but the inline segments, which follow; multiple of 8 */
    uint32_t max_slots;
    uint32_t reserved;        /* zero */
    uint64_t slot_bytes;      /* recurrent memory of one slot, multiple of 8 */
    syn_section section[SYN_SECTIONS];
} syn_header;

typedef struct { char name[SYN_NAME]; } syn_kernel_name;

typedef struct {
    uint64_t offset;          /* of the bytes in the file; zero where external */
    uint64_t bytes;
    uint32_t kind, reserved;
    uint8_t sha256[32];       /* of the bytes; checked by the host, not here */
} syn_segment;

typedef struct {
    uint64_t offset;          /* in the segment, even */
    uint32_t segment, format, layout;
    uint32_t rows, cols, row_bytes;
} syn_weight;

typedef struct {
    uint32_t base;            /* index in the function's spaces; itself when a base */
    uint32_t multiple;        /* rows for each base row; 1 when a base */
    uint32_t max_rows;        /* of the base, at least 1 */
    uint32_t max_position;    /* positions are below; 0 for a base without rows */
    uint32_t flags, reserved;
} syn_space;

typedef struct {
    uint64_t offset;          /* in the arena, multiple of 16 */
    uint32_t space;           /* index in the function's spaces */
    uint32_t cols, dtype;     /* SYN_F32 or SYN_I32, 4 bytes each */
    uint32_t limit;           /* i32: values are below; 0: below the rows of limit_space */
    uint32_t limit_space, reserved;
} syn_tensor;

typedef struct {
    uint64_t offset;          /* kv: in a page of its group; recurrent: in a slot's memory; multiple of 8 */
    uint64_t bytes;           /* kv: of a page, k of 64 positions and then v; recurrent: of a slot */
    uint32_t kind, group, dtype, width, width_v;
    uint32_t head;            /* kv: numbers of a head, whose 64 rows lie together; 0: one head has all */
} syn_state;

typedef struct {
    uint64_t page_bytes;      /* multiple of 8 */
    uint32_t window;          /* 0: all positions are kept */
    uint32_t reserved;
} syn_group;

typedef struct {
    char name[SYN_NAME];
    uint64_t arena_bytes;
    uint32_t first_space, spaces, first_tensor, tensors;
    uint32_t first_port, ports, first_op, ops;
} syn_function;

typedef struct {
    char name[SYN_NAME];
    uint32_t tensor;          /* index in the function's tensors */
    uint32_t direction;
} syn_port;

typedef struct {
    uint32_t kernel, inputs, outputs;
    uint32_t first_operand;   /* inputs, then outputs */
    uint32_t attributes[SYN_MAX_ATTRIBUTES];
} syn_record;

/* ---- what a host hands in ---- */

typedef struct { const uint8_t *data; uint64_t bytes; } syn_bytes;

typedef struct {
    int32_t code;             /* SYN_OK or what is wrong */
    uint32_t section;         /* SYN_SEC_… of the record, SYN_SECTIONS for the header or the call */
    uint32_t index;           /* of the record, the row or the operand */
    uint32_t detail;          /* the number found; from a kernel's check, its own code */
} syn_error;

typedef struct { uint32_t count; const uint32_t *slot, *position; } syn_rows;

typedef struct {
    uint8_t *pool;            /* pages × page_bytes, 16-byte aligned */
    uint32_t pages;
    uint32_t per_slot;        /* entries of the table for each slot */
    const uint32_t *table;    /* max_slots × per_slot page numbers, or SYN_NO_PAGE */
} syn_pages;

typedef struct {
    uint32_t function;
    uint32_t thread, threads;
    uint32_t reserved;
    syn_rows rows[SYN_MAX_SPACES];      /* of the function's base spaces, by their index */
    syn_pages pages[SYN_MAX_GROUPS];
    uint8_t *arena;  uint64_t arena_bytes;    /* 64-byte aligned; inputs lie in it, outputs too */
    uint8_t *scratch; uint64_t scratch_bytes; /* 64-byte aligned, at least syn_scratch_bytes */
    uint8_t *slots; uint64_t slots_bytes;     /* max_slots × slot_bytes, 16-byte aligned */
    uint32_t *counts;                         /* max_slots: positions each slot has seen */
    void (*barrier)(void *context);           /* NULL with one thread */
    void *barrier_context;
} syn_call;

/* An input of a loop that is given for all of its steps: slots × (begun + steps - 1) rows. */
typedef struct { uint32_t tensor, reserved; const float *rows; } syn_given;

typedef struct {
    uint32_t space;           /* base space of all rows below; sequence n runs in slot n */
    uint32_t window, slots;   /* the most rows of a slot in a step; how many sequences */
    uint32_t begun, steps;    /* rows of a slot that there are, and that are to be made */
    uint32_t fed, output;     /* tensors: an input, and the output whose last row is its next one */
    uint32_t givens;
    const syn_given *given;   /* the other inputs */
    float *series;            /* slots × (begun + steps) rows of both; filled from `begun` on */
    uint32_t *slot, *position;    /* slots × window each: the loop's own */
} syn_loop;

/* ---- what a kernel sees ---- */

typedef struct {
    uint32_t kind;            /* SYN_NONE, SYN_TENSOR, SYN_WEIGHT, SYN_STATE */
    uint32_t dtype;           /* of a tensor or state; format of a weight */
    uint32_t rows;            /* tensor: of this call (in check and scratch_bytes: the most); weight: all */
    uint32_t cols;            /* tensor, weight; of a state its width */
    uint32_t row_bytes;       /* weight, tensor */
    uint32_t space, base, multiple;  /* tensor: its space, that space's base, rows for each base row */
    uint32_t flags, max_position;    /* tensor: of its base space */
    uint32_t limit, limit_space;     /* i32 tensor */
    uint32_t state_kind, group, width_v, head;  /* state */
    uint64_t offset, bytes;          /* state: where in a page or a slot's memory */
    uint64_t slot_bytes, page_bytes; /* state: of the whole slot or page */
    uint8_t *data;            /* tensor, weight; NULL in check and scratch_bytes */
    const uint8_t *packed;    /* weight: the same numbers as the host packed them for its kernels, or NULL */
} syn_operand;

typedef struct {
    uint32_t inputs, outputs;
    const uint32_t *attributes;         /* SYN_MAX_ATTRIBUTES words; those unused are zero */
    syn_operand in[SYN_MAX_OPERANDS];
    syn_operand out[SYN_MAX_OPERANDS];
} syn_op;

typedef struct {
    uint32_t abi;             /* SYN_ABI */
    const char *name;
    /* 0, or a code of the kernel's own: this op cannot run as described. Sees types, no data. */
    int (*check)(const syn_op *op);
    uint64_t (*scratch_bytes)(const syn_op *op, uint32_t threads);
    void (*run)(const syn_op *op, const syn_call *call);
} syn_kernel;

typedef struct {
    const uint8_t *image;
    uint64_t image_bytes;
    const syn_header *header;
    syn_bytes segment[SYN_MAX_SEGMENTS];
    const syn_kernel *kernel[SYN_MAX_KERNELS];  /* by the program's kernel table */
    const uint8_t *const *packed;               /* by weight, each NULL or packed; NULL: none is. The host's own */
} syn_program;

/* Check a whole program and bind it. `image` is 8-byte aligned and stays; `external` are the bytes
 * of its external segments in their order. Returns SYN_OK or error->code. */
int syn_open(syn_program *program, const uint8_t *image, uint64_t image_bytes,
             const syn_bytes *external, uint32_t externals,
             const syn_kernel *const *kernels, uint32_t kernel_count, syn_error *error);
/* The most scratch that a function needs with so many threads, or fewer: kernels ask no less for more. */
uint64_t syn_scratch_bytes(const syn_program *program, uint32_t function, uint32_t threads);
/* Check a call, and reset the recurrent memory of slots that begin at position 0. Once a call. */
int syn_prepare(const syn_program *program, const syn_call *call, syn_error *error);
/* Run a prepared call; each of call->threads threads calls it with its own copy of `call`. */
void syn_execute(const syn_program *program, const syn_call *call);
/* Count the positions that the call added. Once a call, after all threads are done. */
void syn_finish(const syn_program *program, const syn_call *call);
/* syn_prepare, syn_execute, syn_finish on one thread. */
int syn_run(const syn_program *program, const syn_call *call, syn_error *error);
/* Run a call: what a host with threads has in the place of syn_run. */
typedef int (*syn_run_call)(void *context, const syn_program *program, syn_call *call, syn_error *error);
/* Run a function again and again, each time with the rows that it made before: how a world model imagines.
 * `call` has the function, the memory and, with `run` NULL, one thread; its rows are set by the loop. */
int syn_rollout(const syn_program *program, syn_call *call, const syn_loop *loop, syn_run_call run,
                void *context, syn_error *error);
/* Make slot `to` what slot `from` is: recurrent memory and count (KV pages are the host's). */
void syn_state_copy(const syn_program *program, uint8_t *slots, uint32_t *counts, uint32_t from, uint32_t to);
/* END CDEF */

#endif
