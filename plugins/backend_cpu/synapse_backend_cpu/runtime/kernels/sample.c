/* The next token of each row of logits: the likeliest, or one that is drawn (docs/decisions/0012-sampling-op.md).
 *
 * Chances become integers before they are summed, so no order of sums changes a token. Nothing is sorted: a prefix of
 * the likeliest is found by sums over buckets, then over the buckets of the bucket that it ends in.
 */
#include "../syn_kernel.h"

enum { BAD_OPERANDS = 1, BAD_LOGITS = 2, BAD_SETTINGS = 3, BAD_CHARGES = 4, BAD_MASK = 5, BAD_OUTPUT = 6 };
enum { LOGITS, GIVEN, IDS, OWNERS, CHARGES, MASK, INPUTS };
/* Columns of the settings; seed and number of the draw are four halves of 16 bits each, the lowest first. */
enum { TEMPERATURE, TOP_K, TOP_P, MIN_P, REPETITION, FREQUENCY, PRESENCE, SEED, DRAW = SEED + 4, SETTINGS = DRAW + 4 };
enum { BLOCK = 64, LANES = 16, MOST_IDS = 0xffffff, BUCKETS = 256, TABLES = 4 };
#define NEGLIGIBLE 28.0f  /* e^-28 is less than the 2^-40 that a chance is counted in */
#define UNIT 1048576.0f

/* One row at work: of each id its logit, charged and masked, and how likely it is beside the likeliest; of each block of
 * ids the largest logit, and whether any may be drawn (1 or 0). `far` is how far behind the top the last one lies that
 * may be drawn. Shapes: level, own, chance, list (blocks · BLOCK); most, alive, masses (blocks); sums (TABLES · BUCKETS). */
typedef struct {
    uint32_t ids, blocks;
    float *level, *own, *chance, *most, *alive;
    uint32_t *list;
    uint64_t *sums, *masses;
    const float *mask;
    float top, far;
} field;

static const float *numbers(const syn_op *op, uint32_t input) {
    return (const float *)(const void *)op->in[input].data;
}

static float infinity(void) { return syn_float(0x7f800000u); }

/* ---- levels: logits, charged and masked ---- */

static uint32_t half_of(float x) { return x >= 0.0f && x <= 65535.0f ? (uint32_t)x : 0; }

static uint64_t word_of(const float halves[4]) {
    uint32_t low = half_of(halves[0]) | half_of(halves[1]) << 16;
    return (uint64_t)(half_of(halves[2]) | half_of(halves[3]) << 16) << 32 | low;
}

/* Logits of a block, those that the mask lets through; `most` becomes the largest, or NaN where one is none. */
static void settle(field *f, uint32_t b) {
    float *level = f->level + (size_t)b * BLOCK, lane[LANES];
    uint32_t wrong = 0, halves = (f->ids + 15) / 16, first = b * (BLOCK / 16);
    for (uint32_t h = first; f->mask && h < halves && h < first + BLOCK / 16; h++) {
        uint32_t bits = half_of(f->mask[h]);
        float *part = f->level + (size_t)h * 16;
        for (uint32_t i = 0; i < 16; i++) part[i] = bits & 1u << i ? part[i] : -infinity();
    }
    for (uint32_t i = 0; i < LANES; i++) lane[i] = level[i];
    for (uint32_t i = 0; i < BLOCK; i += LANES)
        for (uint32_t j = 0; j < LANES; j++) {
            lane[j] = syn_max(level[i + j], lane[j]);
            wrong |= level[i + j] != level[i + j];
        }
    for (uint32_t i = 1; i < LANES; i++) lane[0] = syn_max(lane[i], lane[0]);
    f->most[b] = wrong ? syn_float(0x7fc00000u) : lane[0];
}

static uint32_t charged_ids(const syn_op *op) { return op->in[IDS].kind == SYN_NONE ? 0 : op->in[IDS].rows; }

/* Bias first, then what each time that a token came costs it. */
static void charge(const syn_op *op, uint32_t row, field *f, const float *set) {
    const int32_t *id = (const int32_t *)(const void *)op->in[IDS].data;
    const int32_t *owner = (const int32_t *)(const void *)op->in[OWNERS].data;
    const float *charges = numbers(op, CHARGES);
    uint32_t count = charged_ids(op);
    for (uint32_t i = 0; i < count; i++) {
        if ((uint32_t)owner[i] != row) continue;
        float times = charges[2 * i], x = f->level[id[i]] + charges[2 * i + 1];
        if (times > 0.0f) {
            x = x < 0.0f ? x * set[REPETITION] : x / set[REPETITION];
            x = x - (times * set[FREQUENCY] + set[PRESENCE]);
        }
        f->level[id[i]] = x;
    }
    for (uint32_t i = 0; i < count; i++)
        if ((uint32_t)owner[i] == row) settle(f, (uint32_t)id[i] / BLOCK);
}

/* Take a row's logits, charged and masked, and find the largest, NaN where one is none. What nothing changes, and ends
 * with a block, is read where it lies. */
static void take(const syn_op *op, uint32_t row, field *f, const float *set) {
    float *logits = (float *)(void *)op->in[LOGITS].data + (size_t)row * f->ids, top = -infinity();
    int is_copied = f->mask || charged_ids(op) || f->ids % BLOCK;
    f->level = is_copied ? f->own : logits;
    for (uint32_t b = 0; b < f->blocks; b++) {
        uint32_t left = f->ids - b * BLOCK;
        float *level = f->level + (size_t)b * BLOCK;
        if (is_copied && left >= BLOCK) for (uint32_t i = 0; i < BLOCK; i++) level[i] = logits[b * BLOCK + i];
        else if (is_copied) for (uint32_t i = 0; i < BLOCK; i++) level[i] = i < left ? logits[b * BLOCK + i] : -infinity();
        settle(f, b);
    }
    charge(op, row, f, set);
    for (uint32_t b = 0; b < f->blocks && top == top; b++) top = f->most[b] <= top ? top : f->most[b];
    f->top = top;
}

/* ---- chances ---- */

/* A chance from 0 to 1 in units of 2^-40. */
static uint64_t counted(float chance) {
    float scaled = chance * UNIT;
    int32_t whole = (int32_t)scaled, rest = (int32_t)((scaled - (float)whole) * UNIT);
    return ((uint64_t)(uint32_t)whole << 20) + (uint32_t)rest;
}

/* How far a logit lies behind the top: what orders ids. Of two zeros the difference may be -0. */
static float behind_of(float top, float level) { return syn_abs(top - level); }

/* How likely each id is beside the likeliest, in blocks where one may be drawn. */
static void weigh(field *f, float temperature) {
    float far[BLOCK] = {0}, top = f->top;
    for (uint32_t b = 0; b < f->blocks; b++) {
        const float *level = f->level + (size_t)b * BLOCK;
        float *chance = f->chance + (size_t)b * BLOCK;
        if (f->alive[b] == 0.0f) continue;
        for (uint32_t i = 0; i < BLOCK; i++) {
            float behind = behind_of(top, level[i]), x = syn_exp(-behind / temperature);
            x = x > 0.0f ? x : 0.0f;
            chance[i] = x < 1.0f ? x : 1.0f;
            far[i] = syn_max(chance[i] > 0.0f ? behind : 0.0f, far[i]);
        }
    }
    f->far = 0.0f;
    for (uint32_t i = 0; i < BLOCK; i++) f->far = syn_max(far[i], f->far);
}

/* Leave out what is less likely than `least`; the mass of each block goes into `masses`. Returns the sum of them. */
static uint64_t mass_of(field *f, float least) {
    uint64_t mass = 0;
    for (uint32_t b = 0; b < f->blocks; b++) {
        float *chance = f->chance + (size_t)b * BLOCK;
        f->masses[b] = 0;
        if (f->alive[b] == 0.0f) continue;
        for (uint32_t i = 0; i < BLOCK; i++) {
            chance[i] = chance[i] >= least ? chance[i] : 0.0f;
            f->masses[b] += counted(chance[i]);
        }
        mass += f->masses[b];
    }
    return mass;
}

/* mass · fraction / 2^32, rounded down */
static uint64_t share_of(uint64_t mass, uint32_t fraction) {
    return (mass >> 32) * fraction + ((mass & 0xffffffffu) * fraction >> 32);
}

/* ---- the likeliest ---- */

/* How far behind the top, as an integer: no such number is below 0, so its bits have the order of numbers. */
static uint32_t distance(const field *f, float level) { return syn_bits(behind_of(f->top, level)); }

/* Keep the fewest of the first `count` places in the field's list whose sum exceeds `limit`, the nearest to the top
 * first, equals in their order; of all others the chance becomes 0. Each counts as much as its chance, or 1. */
static void cut(field *f, const float *level, float *chance, uint32_t count, uint64_t limit, int is_number) {
    uint64_t *sums = f->sums;
    uint32_t *list = f->list;
    int is_full = 0;
    while (count) {
        uint32_t near = ~0u, far = 0, shift = 0, last = 0, undecided = 0;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t bits = distance(f, level[list[i]]);
            near = bits < near ? bits : near;
            far = bits > far ? bits : far;
        }
        if (near == far) break;
        while ((far - near) >> shift >= BUCKETS) shift++;
        for (uint32_t i = 0; i < BUCKETS; i++) sums[i] = 0;
        for (uint32_t i = 0; i < count; i++)
            sums[(distance(f, level[list[i]]) - near) >> shift] += is_number ? 1 : counted(chance[list[i]]);
        while (last < BUCKETS && sums[last] <= limit) limit -= sums[last++];
        for (uint32_t i = 0; i < count; i++) {
            uint32_t place = list[i], bucket = (distance(f, level[place]) - near) >> shift;
            if (bucket > last) chance[place] = 0.0f;
            if (bucket == last) list[undecided++] = place;
        }
        count = undecided;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t amount = is_number ? 1 : counted(chance[list[i]]);
        if (is_full) chance[list[i]] = 0.0f;
        else if (amount > limit) is_full = 1;
        else limit -= amount;
    }
}

/* The buckets of a block's ids, of like widths from the top to `far` behind it. */
static void fill_buckets(const field *f, uint32_t b, uint32_t *bucket) {
    const float *level = f->level + (size_t)b * BLOCK;
    float top = f->top, far = f->far;
    for (uint32_t i = 0; i < BLOCK; i++) {
        uint32_t at = (syn_bits(behind_of(top, level[i]) + far) - syn_bits(far)) >> 15;
        bucket[i] = at < BUCKETS ? at : BUCKETS - 1;
    }
}

/* Add the places of a block that are in bucket `last` to a list of `count`; mostly they are few. */
static uint32_t find_bucket(const uint32_t *bucket, uint32_t last, uint32_t first, uint32_t *list, uint32_t count) {
    uint8_t is_in[BLOCK];
    for (uint32_t i = 0; i < BLOCK; i++) is_in[i] = bucket[i] == last;
    for (uint32_t i = 0; i < BLOCK; i += 8) {
        uint64_t any;
        __builtin_memcpy(&any, is_in + i, 8);
        for (uint32_t j = i; any && j < i + 8; j++)
            if (is_in[j]) list[count++] = first + j;
    }
    return count;
}

/* Keep of all ids that may be drawn, likeliest first, as many as `number`, or where that is 0 the fewest whose mass
 * exceeds this share of all: one round over blocks, the rest on a list. */
static void cut_all(field *f, uint32_t number, uint32_t share) {
    uint32_t bucket[BLOCK], last = 0, count = 0;
    uint64_t amount[BLOCK], *sums = f->sums, all = 0;
    for (uint32_t i = 0; i < TABLES * BUCKETS; i++) sums[i] = 0;
    for (uint32_t b = 0; b < f->blocks; b++) {
        const float *chance = f->chance + (size_t)b * BLOCK;
        if (f->alive[b] == 0.0f) continue;
        fill_buckets(f, b, bucket);
        if (number) for (uint32_t i = 0; i < BLOCK; i++) amount[i] = chance[i] > 0.0f;
        else for (uint32_t i = 0; i < BLOCK; i++) amount[i] = counted(chance[i]);
        for (uint32_t i = 0; i < BLOCK; i += TABLES)  /* neighbours often share a bucket: they go to different tables */
            for (uint32_t t = 0; t < TABLES; t++) sums[t * BUCKETS + bucket[i + t]] += amount[i + t];
    }
    for (uint32_t i = 0; i < TABLES * BUCKETS; i++) all += sums[i];
    for (uint32_t i = BUCKETS; i < TABLES * BUCKETS; i++) sums[i % BUCKETS] += sums[i];
    uint64_t limit = number ? number - 1 : share_of(all, share);
    while (last < BUCKETS && sums[last] <= limit) limit -= sums[last++];
    for (uint32_t b = 0; b < f->blocks && last < BUCKETS; b++) {
        float *chance = f->chance + (size_t)b * BLOCK;
        if (f->alive[b] == 0.0f) continue;
        fill_buckets(f, b, bucket);
        for (uint32_t i = 0; i < BLOCK; i++) chance[i] = bucket[i] > last ? 0.0f : chance[i];
        count = find_bucket(bucket, last, b * BLOCK, f->list, count);
    }
    cut(f, f->level, f->chance, count, limit, number > 0);
}

/* No id of a block is among the k likeliest that has k blocks with a likelier one before it. */
static void choose_blocks(field *f, const float *set) {
    uint32_t count = 0;
    for (uint32_t b = 0; b < f->blocks; b++) {
        f->alive[b] = behind_of(f->top, f->most[b]) <= NEGLIGIBLE * set[TEMPERATURE] ? 1.0f : 0.0f;
        f->list[count] = b;
        count += f->alive[b] != 0.0f;
    }
    if (set[TOP_K] >= 1.0f && set[TOP_K] < (float)count)
        cut(f, f->most, f->alive, count, (uint64_t)(uint32_t)set[TOP_K] - 1, 1);
}

static void keep_likeliest(field *f, const float *set) {
    if (set[TOP_K] >= 1.0f && set[TOP_K] < (float)f->ids)
        cut_all(f, (uint32_t)set[TOP_K], 0);
    if (set[TOP_P] < 1.0f)
        cut_all(f, 0, set[TOP_P] > 0.0f ? (uint32_t)(set[TOP_P] * 4294967296.0f) : 0);
}

/* ---- the draw ---- */

/* 32 random bits of a seed's draw. Source: Steele, Lea & Flood 2014, SplitMix64, whose state after n draws is known. */
static uint32_t draw_bits(uint64_t seed, uint64_t draw) {
    uint64_t z = seed + (draw + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

/* The id in which the sum of chances, by rising id, first exceeds `target`, which is less than the sum of all. */
static uint32_t walk(const field *f, uint64_t target) {
    uint32_t b = 0, i = 0;
    while (f->masses[b] <= target) target -= f->masses[b++];
    for (i = b * BLOCK; counted(f->chance[i]) <= target; i++) target -= counted(f->chance[i]);
    return i;
}

/* The chosen id; -1 - i where logit i, or all of them, leave nothing to choose. */
static int32_t choose(field *f, const float *set) {
    uint32_t i = 0;
    if (!(syn_abs(f->top) < infinity())) {
        while (i < f->ids && f->level[i] < infinity()) i++;
        return -1 - (int32_t)(i < f->ids ? i : 0);
    }
    if (!(set[TEMPERATURE] > 0.0f)) {
        while (f->most[i / BLOCK] != f->top) i += BLOCK;
        while (f->level[i] != f->top) i++;
        return (int32_t)i;
    }
    choose_blocks(f, set);
    weigh(f, set[TEMPERATURE]);
    keep_likeliest(f, set);
    uint32_t bits = draw_bits(word_of(set + SEED), word_of(set + DRAW));
    float least = set[MIN_P] > 0.0f ? set[MIN_P] : 0.0f;
    return (int32_t)walk(f, share_of(mass_of(f, least < 1.0f ? least : 1.0f), bits));
}

/* ---- the kernel ---- */

static int charges_check(const syn_op *op) {
    const syn_operand *ids = &op->in[IDS], *owners = &op->in[OWNERS], *charges = &op->in[CHARGES];
    if (ids->kind == SYN_NONE) return owners->kind == SYN_NONE && charges->kind == SYN_NONE ? 0 : BAD_CHARGES;
    if (!syn_is_index(ids) || !syn_is_index(owners) || !syn_is_tensor(charges, 2)) return BAD_CHARGES;
    if (ids->limit == 0 || ids->limit > op->in[LOGITS].cols) return BAD_CHARGES;
    if (owners->limit || owners->limit_space != op->in[LOGITS].space) return BAD_CHARGES;
    return syn_same_rows(ids, owners) && syn_same_rows(ids, charges) ? 0 : BAD_CHARGES;
}

static int sample_check(const syn_op *op) {
    const syn_operand *x = &op->in[LOGITS], *mask = &op->in[MASK], *y = &op->out[0];
    if (op->inputs != INPUTS || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols) || x->cols > MOST_IDS) return BAD_LOGITS;
    if (!syn_is_tensor(&op->in[GIVEN], SETTINGS) || !syn_same_rows(x, &op->in[GIVEN])) return BAD_SETTINGS;
    if (mask->kind != SYN_NONE && (!syn_is_tensor(mask, (x->cols + 15) / 16) || !syn_same_rows(x, mask)))
        return BAD_MASK;
    if (!syn_is_tensor(y, 1) || !syn_same_rows(x, y)) return BAD_OUTPUT;
    return charges_check(op);
}

static uint32_t blocks_of(const syn_op *op) { return (op->in[LOGITS].cols + BLOCK - 1) / BLOCK; }

static uint64_t field_bytes(const syn_op *op) {
    return syn_aligned((uint64_t)blocks_of(op) * (3 * BLOCK + 4) * 4 + TABLES * BUCKETS * 8);
}

static uint64_t sample_scratch(const syn_op *op, uint32_t threads) {
    uint32_t rows = op->in[LOGITS].rows;
    return (threads < rows ? threads : rows) * field_bytes(op);
}

/* logits (T, V), settings (T, 15), ids? (N), owners? (N), charges? (N, 2), mask? (T, V / 16) → y (T) */
static void sample_run(const syn_op *op, const syn_call *call) {
    uint32_t lo, hi, ids = op->in[LOGITS].cols, blocks = blocks_of(op), padded = blocks * BLOCK;
    uint8_t *memory = call->scratch + call->thread * field_bytes(op);
    field f = {.ids = ids, .blocks = blocks, .sums = (uint64_t *)(void *)memory};
    f.masses = f.sums + TABLES * BUCKETS;
    f.own = (float *)(void *)(f.masses + blocks);
    f.chance = f.own + padded;
    f.list = (uint32_t *)(void *)(f.chance + padded);
    f.most = (float *)(void *)(f.list + padded);
    f.alive = f.most + blocks;
    syn_share(call, op->in[LOGITS].rows, &lo, &hi);
    for (uint32_t row = lo; row < hi; row++) {
        const float *set = numbers(op, GIVEN) + (size_t)row * SETTINGS;
        f.mask = op->in[MASK].kind == SYN_NONE ? NULL : numbers(op, MASK) + (size_t)row * op->in[MASK].cols;
        take(op, row, &f, set);
        ((float *)(void *)op->out[0].data)[row] = (float)choose(&f, set);
    }
}

extern const syn_kernel syn_kernel_sample;
const syn_kernel syn_kernel_sample = {SYN_ABI, "sample", sample_check, sample_scratch, sample_run};
