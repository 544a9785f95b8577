/* The core ops in plain C, the table that every other one must agree with. */
#include "../syn_kernel.h"

extern const syn_kernel syn_kernel_embedding, syn_kernel_add_positions, syn_kernel_linear,
    syn_kernel_rmsnorm, syn_kernel_layernorm, syn_kernel_add_rmsnorm, syn_kernel_add_layernorm,
    syn_kernel_add, syn_kernel_mul, syn_kernel_scale, syn_kernel_softcap, syn_kernel_activation,
    syn_kernel_gated_activation, syn_kernel_rope, syn_kernel_attention, syn_kernel_select_rows,
    syn_kernel_pool_rows, syn_kernel_append_row, syn_kernel_patches, syn_kernel_slice_columns,
    syn_kernel_sample;
extern const syn_kernel *const syn_core_kernels[];
extern const uint32_t syn_core_kernel_count;

const syn_kernel *const syn_core_kernels[] = {
    &syn_kernel_embedding, &syn_kernel_add_positions, &syn_kernel_linear,
    &syn_kernel_rmsnorm, &syn_kernel_layernorm, &syn_kernel_add_rmsnorm, &syn_kernel_add_layernorm,
    &syn_kernel_add, &syn_kernel_mul, &syn_kernel_scale, &syn_kernel_softcap,
    &syn_kernel_activation, &syn_kernel_gated_activation, &syn_kernel_rope, &syn_kernel_attention,
    &syn_kernel_select_rows, &syn_kernel_pool_rows, &syn_kernel_append_row, &syn_kernel_patches,
    &syn_kernel_slice_columns, &syn_kernel_sample,
};

const uint32_t syn_core_kernel_count = sizeof syn_core_kernels / sizeof syn_core_kernels[0];
