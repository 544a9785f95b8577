/* Opening an input's program, its outside segments filled from its seed. */
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "world.h"

enum { MOST_EXTERNAL_BYTES = 4 << 20 };

extern const syn_kernel *const syn_core_kernels[];
extern const uint32_t syn_core_kernel_count;
extern const syn_kernel syn_kernel_acme_scan;

int fuzz_open(fuzz_input *input, const uint8_t *data, size_t size) {
    const syn_kernel *kernels[SYN_MAX_KERNELS];
    fuzz_head head;
    memset(input, 0, sizeof *input);
    memset(&input->program, 0xa5, sizeof input->program);
    if (size < sizeof head) return SYN_BAD_IMAGE;
    memcpy(&head, data, sizeof head);
    input->d.state = head.seed;
    input->externals = head.externals > FUZZ_EXTERNALS ? FUZZ_EXTERNALS : head.externals;
    for (uint32_t i = 0; i < input->externals; i++) {
        syn_bytes *external = &input->external[i];
        external->bytes = head.external_bytes[i] % (MOST_EXTERNAL_BYTES + 1);
        external->data = fuzz_bytes(external->bytes);
        fuzz_fill(&input->d, (uint8_t *)(uintptr_t)external->data, external->bytes);
    }
    uint64_t image_bytes = size - sizeof head;
    input->image = fuzz_bytes(image_bytes);
    memcpy(input->image, data + sizeof head, image_bytes);
    memcpy(kernels, syn_core_kernels, syn_core_kernel_count * sizeof *kernels);
    kernels[syn_core_kernel_count] = &syn_kernel_acme_scan;
    syn_error error;
    int code = syn_open(&input->program, input->image, image_bytes, input->external, input->externals, kernels,
                        syn_core_kernel_count + 1, &error);
    if (code != error.code) abort();
    return code;
}

void fuzz_close(fuzz_input *input) {
    for (uint32_t i = 0; i < input->externals; i++) free((void *)(uintptr_t)input->external[i].data);
    free(input->image);
}
