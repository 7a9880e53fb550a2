/* Threads that do one job together, unit by unit and phase by phase.

   Whoever is free takes the next unit. At the end of a phase they spin for some microseconds, then sleep. */

#pragma once

#include <immintrin.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "passes.h"

typedef void (*Job)(void *what, int thread, int n_threads);

static struct {
  pthread_mutex_t busy; /* held by whoever has a job done */
  pthread_mutex_t lock; /* of what stands below */
  pthread_cond_t wake;
  int n_workers, n_threads;
  uint64_t number;
  Job job;
  void *what;
} crew = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0, 0};

static atomic_int n_arrived, n_asleep;
static atomic_uint phase;         /* counts the meetings */
static atomic_llong next_unit[2]; /* of a phase with an even number, and with an odd one */

static void sleep_until_past(unsigned now) {
#ifdef __linux__
  atomic_fetch_add(&n_asleep, 1);
  syscall(SYS_futex, &phase, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
  atomic_fetch_sub(&n_asleep, 1);
#else
  (void)now;
  sched_yield();
#endif
}

static void wake_all(void) {
#ifdef __linux__
  if (atomic_load(&n_asleep)) syscall(SYS_futex, &phase, FUTEX_WAKE_PRIVATE, MOST_THREADS, NULL, NULL, 0);
#endif
}

/* Returns once all threads are here. */
static void meet(int n_threads) {
  unsigned now = atomic_load(&phase);
  if (atomic_fetch_add(&n_arrived, 1) == n_threads - 1) {
    atomic_store(&n_arrived, 0);
    atomic_store(&next_unit[now & 1], 0);
    atomic_store(&phase, now + 1);
    wake_all();
    return;
  }
  for (int n = 0; atomic_load_explicit(&phase, memory_order_acquire) == now; n++)
    if (n < SPINS)
      _mm_pause();
    else
      sleep_until_past(now);
}

/* The number of a unit of this phase's work that nobody else takes. */
static inline int64_t take(void) {
  unsigned now = atomic_load_explicit(&phase, memory_order_relaxed);
  return atomic_fetch_add_explicit(&next_unit[now & 1], 1, memory_order_relaxed);
}

static void *work(void *number) {
  int thread = (int)(intptr_t)number;
  uint64_t done = 0;
  for (;;) {
    pthread_mutex_lock(&crew.lock);
    while (crew.number == done || thread >= crew.n_threads) {
      done = crew.number;
      pthread_cond_wait(&crew.wake, &crew.lock);
    }
    done = crew.number;
    Job job = crew.job;
    void *what = crew.what;
    int n_threads = crew.n_threads;
    pthread_mutex_unlock(&crew.lock);
    job(what, thread, n_threads);
    meet(n_threads);
  }
  return NULL;
}

/* A forked process has none of the threads. */
static void forget_workers(void) {
  pthread_mutex_init(&crew.busy, NULL);
  pthread_mutex_init(&crew.lock, NULL);
  pthread_cond_init(&crew.wake, NULL);
  crew.n_workers = 0;
  atomic_store(&n_arrived, 0);
  atomic_store(&n_asleep, 0);
}

static __attribute__((constructor)) void begin(void) { pthread_atfork(NULL, NULL, forget_workers); }

/* Has as many of `n_threads` do `job` as can be had, this one among them. */
static void together(Job job, void *what, int n_threads) {
  pthread_mutex_lock(&crew.busy);
  pthread_mutex_lock(&crew.lock);
  n_threads = (int)least(n_threads, MOST_THREADS);
  while (crew.n_workers < n_threads - 1) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, (void *)(intptr_t)(crew.n_workers + 1))) break;
    pthread_detach(thread);
    crew.n_workers++;
  }
  n_threads = (int)least(n_threads, crew.n_workers + 1);
  atomic_store(&next_unit[0], 0);
  atomic_store(&next_unit[1], 0);
  crew.n_threads = n_threads;
  crew.job = job;
  crew.what = what;
  crew.number++;
  if (n_threads > 1) pthread_cond_broadcast(&crew.wake);
  pthread_mutex_unlock(&crew.lock);
  job(what, 0, n_threads);
  meet(n_threads);
  pthread_mutex_unlock(&crew.busy);
}
