/* mamba.gated_rmsnorm: s = x * SiLU(z), then each group of columns divided by its root mean square.
 *
 * inputs: x, z (T, C), w (G, C / G) f32; output: y (T, C). Attribute 0: eps.
 */
#include "syn_kernel.h"
#include "syn_simd.h"

static int check(const syn_op *op) {
    if (op->inputs != 3 || op->outputs != 1) return 1;
    const syn_operand *x = &op->in[0], *z = &op->in[1], *w = &op->in[2], *y = &op->out[0];
    if (!syn_is_tensor(x, x->cols) || !syn_is_tensor(y, x->cols) || !syn_same_rows(x, y)) return 2;
    if (!syn_is_tensor(z, x->cols) || !syn_same_rows(x, z)) return 3;
    if (!syn_is_matrix(w, w->cols) || w->dtype != SYN_F32 || (uint64_t)w->rows * w->cols != x->cols) return 4;
    return syn_is_derived(x) || !(x->flags & SYN_SPACE_ROWS) ? 5 : 0;
}

static uint64_t scratch_bytes(const syn_op *op, uint32_t threads) {
    (void)op;
    (void)threads;
    return 0;
}

/* One group of a row; x, z, y (cols), w (cols). */
static void norm_group(float *y, const float *x, const float *z, const uint8_t *w, uint32_t cols, float eps) {
    syn_vf squares = syn_v_set(0.0f);
    for (uint32_t i = 0; i < cols; i += SYN_LANES) {
        syn_vf gate = syn_v_load_part(z + i, cols - i);
        syn_vf s = syn_v_load_part(x + i, cols - i) * (gate / (1.0f + syn_v_exp(-gate)));
        squares = syn_v_fma(s, s, squares);
        syn_v_store_part(y + i, s, cols - i);
    }
    syn_vf factor = syn_v_set(syn_rsqrt(syn_v_sum(squares) / (float)cols + eps));
    for (uint32_t i = 0; i < cols; i += SYN_LANES) {
        syn_vf s = syn_v_load_part(y + i, cols - i) * factor;
        syn_v_store_part(y + i, s * syn_v_load_part(w + 4 * (size_t)i, cols - i), cols - i);
    }
}

/* Groups of rows are independent. */
static void run(const syn_op *op, const syn_call *call) {
    const syn_operand *in = &op->in[0], *w = &op->in[2];
    uint32_t groups = w->rows, cols = w->cols, lo, hi;
    syn_share(call, in->rows * groups, &lo, &hi);
    for (uint32_t n = lo; n < hi; n++) {
        size_t at = (size_t)n * cols;
        norm_group((float *)op->out[0].data + at, (const float *)in->data + at, (const float *)op->in[1].data + at,
                   syn_weight_row(w, n % groups), cols, syn_attribute_f32(op, 0));
    }
}

const syn_kernel syn_kernel_mamba_gated_rmsnorm = {SYN_ABI, "mamba.gated_rmsnorm", check, scratch_bytes, run};
