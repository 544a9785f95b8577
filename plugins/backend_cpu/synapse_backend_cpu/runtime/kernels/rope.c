/* rope: turn pairs of columns of each head by position · inv_freq (Su et al. 2021, eq. 15).
 *
 * The angle is the float32 product of the position and the frequency; its sine and cosine are exact
 * to the last places for any size. Style half pairs column i with i + R/2, interleaved 2i with
 * 2i + 1. Both are multiplied by `magnitude`. Columns beyond R of a head are copied.
 */
#include "../syn_kernel.h"

enum { HEAD_DIM, ROTARY_DIM, STYLE, MAGNITUDE };
enum { BAD_OPERANDS = 1, BAD_X = 2, BAD_FREQUENCIES = 3, BAD_OUTPUT = 4, BAD_ROWS = 5, BAD_HEAD = 6,
       BAD_ROTARY = 7, BAD_STYLE = 8 };

static int check(const syn_op *op) {
    const syn_operand *x = &op->in[0], *y = &op->out[0];
    uint32_t head = op->attributes[HEAD_DIM], rotary = op->attributes[ROTARY_DIM];
    if (op->inputs != 2 || op->outputs != 1) return BAD_OPERANDS;
    if (!syn_is_tensor(x, x->cols)) return BAD_X;
    if (!syn_is_tensor(y, x->cols)) return BAD_OUTPUT;
    if (!syn_same_rows(x, y) || syn_position_limit(x) == 0) return BAD_ROWS;
    if (head == 0 || x->cols % head) return BAD_HEAD;
    if (rotary == 0 || rotary % 2 || rotary > head) return BAD_ROTARY;
    if (!syn_is_vector(&op->in[1], rotary / 2)) return BAD_FREQUENCIES;
    return op->attributes[STYLE] <= 1 ? 0 : BAD_STYLE;
}

static uint64_t turn_bytes(const syn_op *op) {
    return syn_aligned((uint64_t)op->attributes[ROTARY_DIM] * 4);
}

/* Scratch: for each thread R/2 cosines and R/2 sines. */
static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    return threads * turn_bytes(op);
}

/* x, y (D); cosine, sine (half) */
static void turn_head(float *y, const float *x, const float *cosine, const float *sine,
                      uint32_t half, uint32_t head, uint32_t interleaved) {
    if (interleaved) {
        for (uint32_t i = 0; i < half; i++) {
            y[2 * i] = x[2 * i] * cosine[i] - x[2 * i + 1] * sine[i];
            y[2 * i + 1] = x[2 * i + 1] * cosine[i] + x[2 * i] * sine[i];
        }
    } else {
        for (uint32_t i = 0; i < half; i++) {
            y[i] = x[i] * cosine[i] - x[half + i] * sine[i];
            y[half + i] = x[half + i] * cosine[i] + x[i] * sine[i];
        }
    }
    for (uint32_t i = 2 * half; i < head; i++) y[i] = x[i];
}

/* x (T, H·D), inv_freq (R/2) → y (T, H·D) */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *operand = &op->in[0];
    const float *x = (const float *)(const void *)operand->data;
    const syn_loose_f32 *inv_freq = (const void *)op->in[1].data;
    uint32_t half = op->in[1].cols, head = op->attributes[HEAD_DIM], heads = operand->cols / head;
    float *y = (float *)(void *)op->out[0].data, magnitude = syn_attribute_f32(op, MAGNITUDE);
    float *cosine = (float *)(void *)(call->scratch + call->thread * (size_t)turn_bytes(op));
    float *sine = cosine + half;
    uint32_t lo, hi, turned = SYN_NO_PAGE;
    syn_share(call, operand->rows * heads, &lo, &hi);
    for (uint32_t i = lo; i < hi; i++) {
        if (i / heads != turned) {
            turned = i / heads;
            float position = (float)syn_position(call, operand, turned);
            for (uint32_t j = 0; j < half; j++) {
                syn_sincos(position * inv_freq[j], &sine[j], &cosine[j]);
                sine[j] *= magnitude;
                cosine[j] *= magnitude;
            }
        }
        turn_head(y + (size_t)i * head, x + (size_t)i * head, cosine, sine, half, head,
                  op->attributes[STYLE]);
    }
}

extern const syn_kernel syn_kernel_rope;
const syn_kernel syn_kernel_rope = {SYN_ABI, "rope", check, scratch_bytes, run};
