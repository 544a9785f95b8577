/* Starting and joining threads, and memory aligned to cache lines, on POSIX and Windows. */
#ifndef SYN_THREAD_H
#define SYN_THREAD_H

#include <stdlib.h>
#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>

typedef HANDLE syn_thread;
typedef DWORD syn_thread_result;
#define SYN_THREAD_CALL WINAPI

static inline int syn_thread_start(syn_thread *thread, syn_thread_result (SYN_THREAD_CALL *work)(void *),
                                   void *context) {
    *thread = CreateThread(NULL, 0, work, context, 0, NULL);
    return *thread != NULL;
}

static inline void syn_thread_join(syn_thread thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

static inline void *syn_take_aligned(size_t bytes) { return _aligned_malloc(bytes, 64); }
static inline void syn_free_aligned(void *memory) { _aligned_free(memory); }
#else
#include <pthread.h>

typedef pthread_t syn_thread;
typedef void *syn_thread_result;
#define SYN_THREAD_CALL

static inline int syn_thread_start(syn_thread *thread, syn_thread_result (*work)(void *), void *context) {
    return pthread_create(thread, NULL, work, context) == 0;
}

static inline void syn_thread_join(syn_thread thread) { pthread_join(thread, NULL); }

static inline void *syn_take_aligned(size_t bytes) {
    void *memory = NULL;
    return posix_memalign(&memory, 64, bytes) ? NULL : memory;
}
static inline void syn_free_aligned(void *memory) { free(memory); }
#endif

#endif
