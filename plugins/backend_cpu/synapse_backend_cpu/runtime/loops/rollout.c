/* A function that goes on from its own output: the last row of each slot becomes the next of an input.
 *
 * It holds no memory and knows no model: what is read and what grows is the host's, and each step is
 * one call, checked as every call is.
 */
#include "tables.h"

/* Is tensor `index` float32 rows of the loop's space? */
static const syn_tensor *row_tensor(const syn_program *p, const syn_function *f, const syn_loop *loop,
                                    uint32_t index) {
    if (index >= f->tensors) return NULL;
    const syn_tensor *t = syn_tensors_of(p, f) + index;
    return t->space == loop->space && t->dtype == SYN_F32 ? t : NULL;
}

static int check_loop(const syn_program *p, const syn_call *call, const syn_function *f,
                      const syn_loop *loop, syn_error *error) {
    if (loop->space >= f->spaces)
        return syn_fail(error, SYN_BAD_ROWS, SYN_SECTIONS, 0, loop->space);
    const syn_space *space = syn_spaces_of(p, f) + loop->space;
    if (space->base != loop->space || !(space->flags & SYN_SPACE_ROWS))
        return syn_fail(error, SYN_BAD_ROWS, SYN_SECTIONS, 0, loop->space);
    if (!loop->begun || !loop->window || !loop->slots || loop->window > space->max_position
        || (uint64_t)loop->slots * loop->window > space->max_rows || !loop->slot || !loop->position)
        return syn_fail(error, SYN_BAD_ROWS, SYN_SECTIONS, 1, loop->window);
    if (f->arena_bytes > call->arena_bytes || !call->arena || !loop->series
        || (loop->givens && !loop->given))
        return syn_fail(error, SYN_BAD_MEMORY, SYN_SECTIONS, 0, 0);
    const syn_tensor *fed = row_tensor(p, f, loop, loop->fed);
    const syn_tensor *output = row_tensor(p, f, loop, loop->output);
    if (!fed || !output || fed->cols != output->cols)
        return syn_fail(error, SYN_BAD_TENSOR, SYN_SECTIONS, loop->fed, loop->output);
    for (uint32_t i = 0; i < loop->givens; i++)
        if (!row_tensor(p, f, loop, loop->given[i].tensor) || !loop->given[i].rows)
            return syn_fail(error, SYN_BAD_TENSOR, SYN_SECTIONS, i, loop->given[i].tensor);
    return SYN_OK;
}

/* Rows [first, first + count) of every slot's `total`, from `rows` to the tensor's place in the arena. */
static void put_rows(const syn_call *call, const syn_loop *loop, const syn_tensor *t, const float *rows,
                     size_t total, size_t first, size_t count) {
    uint8_t *to = call->arena + (size_t)t->offset;
    size_t bytes = count * t->cols * sizeof(float);
    for (size_t slot = 0; slot < loop->slots; slot++)
        __builtin_memcpy(to + slot * bytes, rows + (slot * total + first) * t->cols, bytes);
}

int syn_rollout(const syn_program *p, syn_call *call, const syn_loop *loop, syn_run_call run,
                void *context, syn_error *error) {
    if (call->function >= syn_count(p, SYN_SEC_FUNCTIONS))
        return syn_fail(error, SYN_BAD_FUNCTION, SYN_SECTIONS, call->function, 0);
    const syn_function *f = syn_function_at(p, call->function);
    const syn_tensor *tensors = syn_tensors_of(p, f);
    int code = check_loop(p, call, f, loop, error);
    if (code) return code;
    const syn_tensor *fed = tensors + loop->fed, *output = tensors + loop->output;
    size_t total = (size_t)loop->begun + loop->steps, cols = fed->cols;
    for (size_t end = loop->begun; end < total; end++) {
        size_t count = end < loop->window ? end : loop->window, first = end - count;
        put_rows(call, loop, fed, loop->series, total, first, count);
        for (uint32_t i = 0; i < loop->givens; i++)
            put_rows(call, loop, tensors + loop->given[i].tensor, loop->given[i].rows, total - 1, first, count);
        for (size_t row = 0; row < loop->slots * count; row++) {
            loop->slot[row] = (uint32_t)(row / count);
            loop->position[row] = (uint32_t)(row % count);
        }
        call->rows[loop->space].count = (uint32_t)(loop->slots * count);
        call->rows[loop->space].slot = loop->slot;
        call->rows[loop->space].position = loop->position;
        code = run ? run(context, p, call, error) : syn_run(p, call, error);
        if (code) return code;
        const float *made = (const float *)(const void *)(call->arena + (size_t)output->offset);
        for (size_t slot = 0; slot < loop->slots; slot++)
            __builtin_memcpy(loop->series + (slot * total + end) * cols,
                             made + ((slot + 1) * count - 1) * cols, cols * sizeof(float));
    }
    return SYN_OK;
}
