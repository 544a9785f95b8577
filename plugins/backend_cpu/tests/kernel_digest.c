/* Hashes of what kernels make of the same numbers, to compare machines: each prints or returns the
 * same words: 37 with 2 to 7 rows of x in products, 37 with one, and both again on packed weights, where a
 * table packs them. Freestanding: an entry point by system calls for Linux, an export for wasm. */
#include "syn_kernel.h"

#include "../host/pack.h"

enum { BYTES = 1 << 18, WORDS = 37, WAYS = 4 };
extern const syn_kernel *const syn_core_kernels[];
static uint8_t memory[BYTES] __attribute__((aligned(64)));
static uint8_t pool[BYTES] __attribute__((aligned(64)));
static uint8_t scratch[BYTES] __attribute__((aligned(64)));
static uint32_t used, seed, most_rows, is_packed, words[WAYS * WORDS];
static const uint32_t slots[8] = {2, 2, 2, 0, 0, 0, 0, 0}, positions[8] = {0, 1, 2, 7, 8, 9, 10, 11};
static const uint32_t table[12] = {3, 1, 2, 0, 9, 8, 4, 5, 6, 7, 10, 11};
static syn_op op;
static syn_call call;
static uint32_t attributes[SYN_MAX_ATTRIBUTES];

static uint8_t *take(uint32_t bytes) {
    uint8_t *at = memory + used;
    used += (bytes + 63) / 64 * 64;
    return at;
}

/* Codes at both ends of a byte, which take the most room in sums. */
static const uint8_t ends[4] = {0x80, 0x7f, 0xff, 0x00};

/* A float in about ±4, of any size down to 2^-6. */
static float number(void) {
    seed = seed * 1664525u + 1013904223u;
    float x = (float)(int32_t)(seed >> 8 & 0xffff) * (1.0f / 8192.0f) - 4.0f;
    return seed >> 30 == 0 ? x * 0.015625f : x;
}

static void tensor(syn_operand *o, uint32_t rows, uint32_t cols, uint32_t multiple) {
    *o = (syn_operand){.kind = SYN_TENSOR, .dtype = SYN_F32, .rows = rows, .cols = cols,
                       .row_bytes = cols * 4, .space = multiple > 1, .multiple = multiple,
                       .flags = SYN_SPACE_ROWS, .max_position = 64, .data = take(rows * cols * 4)};
    float *x = (float *)(void *)o->data;
    for (uint32_t i = 0; i < rows * cols; i++) x[i] = number();
}

/* Scales of blocks at the bytes where a format has them; random ones could be no numbers. */
static void put_scales(uint8_t *row, uint32_t bytes, uint32_t format, float scale, float minimum) {
    syn_block_format blocks = syn_block_format_of(format);
    for (uint8_t *block = row; block < row + bytes; block += blocks.bytes) {
        if (format == SYN_I8G16) {
            syn_loose_f32 *numbers = (syn_loose_f32 *)(void *)block;
            numbers[0] = scale;
            numbers[1] = scale * 0.7f;
            numbers[2] = numbers[3] = minimum;
            continue;
        }
        syn_loose_u16 *halves = (syn_loose_u16 *)(void *)(block + (format == SYN_Q6_K ? 208 : 0));
        halves[0] = syn_to_f16(scale);
        if (blocks.has_minimum) halves[1] = syn_to_f16(minimum);
    }
}

static void weight(syn_operand *o, uint32_t rows, uint32_t cols, uint32_t format) {
    uint32_t bytes = (uint32_t)syn_row_bytes(format, cols);
    *o = (syn_operand){.kind = SYN_WEIGHT, .dtype = format, .rows = rows, .cols = cols,
                       .row_bytes = bytes, .data = take(rows * bytes + 2) + 2};
    for (uint32_t r = 0; r < rows; r++) {
        uint8_t *row = o->data + r * bytes;
        if (format == SYN_F32 || format == SYN_F16 || format == SYN_BF16) {
            for (uint32_t i = 0; i < cols; i++) {
                float x = number();
                syn_encode(row + i * (bytes / cols), &x, format, 1);
            }
            continue;
        }
        for (uint32_t i = 0; i < bytes; i++) row[i] = r < 4 ? ends[r] : (uint8_t)(int32_t)(number() * 30.0f);
        float scale = 0.02f + 0.001f * number(), minimum = -0.3f * scale;
        if (format == SYN_INT8) *(syn_loose_f32 *)(void *)row = scale;
        else put_scales(row, bytes, format, scale, minimum);
    }
}

static const syn_kernel *named(const char *name) {
    for (uint32_t i = 0;; i++) {
        const char *a = syn_core_kernels[i]->name, *b = name;
        while (*a && *a == *b) { a++; b++; }
        if (*a == *b) return syn_core_kernels[i];
    }
}

enum { FNV_BASIS = 2166136261u, FNV_PRIME = 16777619 };

/* Check, run and go on with a hash by the outputs (FNV-1a). */
static uint32_t hash_on(uint32_t sum, const char *name) {
    const syn_kernel *kernel = named(name);
    op.attributes = attributes;
    if (kernel->check(&op)) return 0;
    if (kernel->scratch_bytes(&op, 1) > BYTES) return 1;
    kernel->run(&op, &call);
    for (uint32_t o = 0; o < op.outputs; o++)
        for (uint32_t i = 0; i < op.out[o].rows * op.out[o].row_bytes; i++)
            sum = (sum ^ op.out[o].data[i]) * FNV_PRIME;
    return sum;
}

static uint32_t hash(const char *name) { return hash_on(FNV_BASIS, name); }

static void begin(uint32_t inputs, uint32_t outputs, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3) {
    used = 0;
    op = (syn_op){.inputs = inputs, .outputs = outputs};
    for (uint32_t i = 0; i < SYN_MAX_ATTRIBUTES; i++) attributes[i] = 0;
    attributes[0] = a0; attributes[1] = a1; attributes[2] = a2; attributes[3] = a3;
}

/* The weight again as the table packs it, where it does. */
static void pack(syn_operand *o) {
    uint64_t bytes = syn_packed_bytes(o->dtype, attributes[0], o->rows, o->cols);
    if (!bytes || !is_packed) return;
    uint8_t *to = take((uint32_t)bytes);
    syn_pack(to, o->data, o->dtype, o->rows, o->cols, 0, (o->rows + 15) / 16);
    o->packed = to;
}

static uint32_t linear(uint32_t arith, uint32_t format) {
    uint32_t cols = syn_block_format_of(format).columns == 256 ? 512 : 96;
    uint32_t sum = FNV_BASIS;
    begin(3, 1, arith, 0, 0, 0);
    tensor(&op.in[0], most_rows, cols, 1);
    float *x = (float *)(void *)op.in[0].data;  /* codes ±127 in a row */
    for (uint32_t i = 0; i < cols; i++) x[i] = i % 32 / 8 % 2 ? -3.0f : 3.0f;
    weight(&op.in[1], 11, cols, format);
    weight(&op.in[2], 1, 11, SYN_F32);
    tensor(&op.out[0], most_rows, 11, 1);
    pack(&op.in[1]);
    /* every number of rows that a table takes together, at the most and behind the others */
    for (uint32_t rows = most_rows; sum > 1 && rows > most_rows / 4; rows--) {
        op.in[0].rows = op.out[0].rows = rows;
        sum = hash_on(sum, "linear");
    }
    return sum;
}

static uint32_t attention(uint32_t dtype, uint32_t mask, float cap) {
    uint32_t dim = dtype == SYN_Q8_0 ? 32 : 12;
    begin(4, 1, 4, 2, dim, mask);
    attributes[4] = mask == 1 ? 3 : 0; attributes[5] = syn_bits(0.29f); attributes[6] = syn_bits(cap);
    tensor(&op.in[0], 8, 4 * dim, 1);
    tensor(&op.in[1], 8, 2 * dim, 1);
    tensor(&op.in[2], 8, 2 * dim, 1);
    uint64_t bytes = 128 * syn_state_bytes(dtype, 2 * dim);
    if (dtype) op.in[3] = (syn_operand){.kind = SYN_STATE, .dtype = dtype, .cols = 2 * dim, .width_v = 2 * dim,
                                        .state_kind = SYN_STATE_KV, .bytes = bytes, .page_bytes = bytes};
    tensor(&op.out[0], 8, 4 * dim, 1);
    return hash("attention");
}

static uint32_t plain(const char *name, uint32_t a0, uint32_t inputs) {
    begin(inputs, 1, a0, 0, 0, 0);
    for (uint32_t i = 0; i < inputs; i++) tensor(&op.in[i], 5, 333, 1);
    tensor(&op.out[0], 5, 333, 1);
    return hash(name);
}

/* One way's words from n on. */
static void fill(uint32_t n) {
    call = (syn_call){.threads = 1, .scratch = scratch, .scratch_bytes = BYTES};
    call.rows[0] = (syn_rows){8, slots, positions};
    call.pages[0] = (syn_pages){pool, 9, 4, table};
    for (uint32_t i = 0; i < BYTES; i++) pool[i] = (uint8_t)(i % 64);
    seed = 1;
    for (uint32_t format = SYN_F32; format <= SYN_Q8_0; format++)
        if (format != SYN_I32) words[n++] = linear(0, format);
    words[n++] = linear(1, SYN_BF16);
    words[n++] = linear(2, SYN_Q8_0);
    for (uint32_t format = SYN_Q4_0; format <= SYN_I8G16; format++) {
        words[n++] = linear(0, format);
        words[n++] = linear(2, format);
    }
    words[n++] = linear(3, SYN_INT8);
    words[n++] = attention(0, 0, 0.0f);
    words[n++] = attention(SYN_F16, 0, 5.0f);
    words[n++] = attention(SYN_BF16, 1, 0.0f);
    words[n++] = attention(SYN_F32, 2, 0.0f);
    words[n++] = attention(SYN_Q8_0, 0, 0.0f);
    for (uint32_t kind = 0; kind < 4; kind++) words[n++] = plain("activation", kind, 1);
    words[n++] = plain("gated_activation", 6, 2);
    begin(2, 1, 16, 12, 0, syn_bits(1.5f));
    tensor(&op.in[0], 8, 48, 1);
    weight(&op.in[1], 1, 6, SYN_F32);
    tensor(&op.out[0], 8, 48, 1);
    words[n++] = hash("rope");
    begin(3, 1, syn_bits(1e-5f), 111, 0, 0);
    tensor(&op.in[0], 5, 333, 1);
    weight(&op.in[1], 1, 111, SYN_F32);
    weight(&op.in[2], 1, 111, SYN_F32);
    tensor(&op.out[0], 5, 333, 1);
    words[n++] = hash("layernorm");
    begin(2, 1, syn_bits(1e-5f), 0, 0, 0);
    tensor(&op.in[0], 5, 333, 1);
    weight(&op.in[1], 1, 333, SYN_F32);
    tensor(&op.out[0], 5, 333, 1);
    words[n++] = hash("rmsnorm");
}

static uint32_t *all(void) {
    for (uint32_t way = 0; way < WAYS; way++) {
        most_rows = way % 2 ? 1 : 7;
        is_packed = way / 2;
        fill(way * WORDS);
    }
    return words;
}

uint32_t digest(uint32_t word);
uint32_t digest(uint32_t word) { return word < WAYS * WORDS ? all()[word] : 0; }

#ifdef ENTRY
static long system_call(long number, long a, long b, long c) {
#if defined __riscv
    register long n __asm__("a7") = number, x __asm__("a0") = a, y __asm__("a1") = b, z __asm__("a2") = c;
    __asm__ volatile("ecall" : "+r"(x) : "r"(n), "r"(y), "r"(z) : "memory");
#else
    register long n __asm__("x8") = number, x __asm__("x0") = a, y __asm__("x1") = b, z __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x) : "r"(n), "r"(y), "r"(z) : "memory");
#endif
    return x;
}

void start(void);
void start(void) {
    system_call(64, 1, (long)all(), sizeof words);
    system_call(93, 0, 0, 0);
}
#endif
