/* Sleeping until a word changes, by what each system has: futex, WaitOnAddress, or a condition. */
#ifndef SYN_SLEEP_H
#define SYN_SLEEP_H

#include <stdatomic.h>
#include <stdint.h>
#if defined(__linux__) && !defined(SYN_SLEEP_BY_CONDITION)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct { char none; } syn_bed;

static inline void syn_bed_open(syn_bed *bed) { (void)bed; }
static inline void syn_bed_close(syn_bed *bed) { (void)bed; }

/* May return early: callers ask again whether the word is still `old`. */
static inline void syn_sleep(syn_bed *bed, _Atomic uint32_t *word, uint32_t old) {
    (void)bed;
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
}

static inline void syn_wake(syn_bed *bed, _Atomic uint32_t *word) {
    (void)bed;
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

typedef struct { char none; } syn_bed;

static inline void syn_bed_open(syn_bed *bed) { (void)bed; }
static inline void syn_bed_close(syn_bed *bed) { (void)bed; }

static inline void syn_sleep(syn_bed *bed, _Atomic uint32_t *word, uint32_t old) {
    (void)bed;
    WaitOnAddress((volatile void *)word, &old, sizeof old, INFINITE);
}

static inline void syn_wake(syn_bed *bed, _Atomic uint32_t *word) {
    (void)bed;
    WakeByAddressAll((void *)word);
}
#else
#include <pthread.h>

/* macOS before 14.4 has no public call to wait on an address. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
} syn_bed;

static inline void syn_bed_open(syn_bed *bed) {
    pthread_mutex_init(&bed->lock, NULL);
    pthread_cond_init(&bed->changed, NULL);
}

static inline void syn_bed_close(syn_bed *bed) {
    pthread_cond_destroy(&bed->changed);
    pthread_mutex_destroy(&bed->lock);
}

/* The word is read under the lock that a waker takes after changing it: no wake-up is missed. */
static inline void syn_sleep(syn_bed *bed, _Atomic uint32_t *word, uint32_t old) {
    pthread_mutex_lock(&bed->lock);
    while (atomic_load(word) == old) pthread_cond_wait(&bed->changed, &bed->lock);
    pthread_mutex_unlock(&bed->lock);
}

static inline void syn_wake(syn_bed *bed, _Atomic uint32_t *word) {
    (void)word;
    pthread_mutex_lock(&bed->lock);
    pthread_cond_broadcast(&bed->changed);
    pthread_mutex_unlock(&bed->lock);
}
#endif

#endif
