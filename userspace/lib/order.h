/* SPDX-License-Identifier: LGPL-2.1-or-later OR MIT */
/*
 * Ordering between loads and stores that all go to the same page: fences, with
 * the words of data accessed relaxed in between.  ThreadSanitizer doesn't know
 * fences; for it each word is ordered by itself, which is stronger.
 */
#ifndef DROPPABLE_ORDER_H
#define DROPPABLE_ORDER_H

#if defined(__SANITIZE_THREAD__)
#define ORDER_BY_ACCESS 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define ORDER_BY_ACCESS 1
#endif
#endif

#ifdef ORDER_BY_ACCESS
#define DATA_LOAD	__ATOMIC_ACQUIRE
#define DATA_STORE	__ATOMIC_RELEASE
#define load_fence()	do { } while (0)
#define store_fence()	do { } while (0)
#else
#define DATA_LOAD	__ATOMIC_RELAXED
#define DATA_STORE	__ATOMIC_RELAXED
/* Loads before it stay before loads and stores behind it. */
#define load_fence()	__atomic_thread_fence(__ATOMIC_ACQUIRE)
/* Stores behind it stay behind loads and stores before it. */
#define store_fence()	__atomic_thread_fence(__ATOMIC_RELEASE)
#endif

#endif /* DROPPABLE_ORDER_H */
