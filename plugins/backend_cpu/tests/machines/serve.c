/* The guest as a Linux process on aarch64: the host reads, writes and calls through a pipe.
 *
 * A request is six words: what, address, four arguments. READ sends argument 0 many bytes back,
 * WRITE takes as many from the pipe, CALL sends the word that the function at the address returns.
 * The process ends with the pipe. System calls by hand: it has no C library.
 */
#include <stddef.h>
#include <stdint.h>

enum { READ = 0, WRITE = 1, CALL = 2 };
enum { STDIN = 0, STDOUT = 1, SYS_READ = 63, SYS_WRITE = 64, SYS_EXIT = 93 };  /* Linux, aarch64 */

typedef struct { uint32_t what, address, argument[4]; } request;
typedef uint32_t function(uint32_t, uint32_t, uint32_t, uint32_t);

void start(void);

static long system_call(long number, long a, long b, long c) {
    register long n __asm__("x8") = number, x __asm__("x0") = a, y __asm__("x1") = b,
                  z __asm__("x2") = c;
    __asm__ volatile("svc 0" : "+r"(x) : "r"(n), "r"(y), "r"(z) : "memory");
    return x;
}

/* Move all the bytes, or end the process. */
static void move(long how, long file, uintptr_t address, size_t bytes) {
    while (bytes) {
        long moved = system_call(how, file, (long)address, (long)bytes);
        if (moved <= 0) system_call(SYS_EXIT, moved < 0, 0, 0);
        address += (uintptr_t)moved;
        bytes -= (size_t)moved;
    }
}

void start(void) {
    for (;;) {
        request r;
        move(SYS_READ, STDIN, (uintptr_t)&r, sizeof r);
        uintptr_t address = r.address;
        const uint32_t *a = r.argument;
        if (r.what == READ) move(SYS_WRITE, STDOUT, address, a[0]);
        if (r.what == WRITE) move(SYS_READ, STDIN, address, a[0]);
        if (r.what != CALL) continue;
        uint32_t answer = ((function *)address)(a[0], a[1], a[2], a[3]);
        move(SYS_WRITE, STDOUT, (uintptr_t)&answer, sizeof answer);
    }
}
