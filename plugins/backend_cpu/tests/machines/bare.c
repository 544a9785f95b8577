/* What a compiler expects of a machine without a C library: memcpy, memset. Both keep their loops,
 * which a compiler would otherwise turn into calls of themselves. */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int value, size_t n);

void *memcpy(void *to, const void *from, size_t n) {
    uint8_t *a = to;
    const uint8_t *b = from;
    for (size_t i = 0; i < n; i++) {
        a[i] = b[i];
        __asm__ volatile("");
    }
    return to;
}

void *memset(void *to, int value, size_t n) {
    uint8_t *a = to;
    for (size_t i = 0; i < n; i++) {
        a[i] = (uint8_t)value;
        __asm__ volatile("");
    }
    return to;
}
