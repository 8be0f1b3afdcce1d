/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the pages are: each area has two slots in the address space, far below
 * where the kernel puts other mappings, and a page is at its own place in one
 * of them or nowhere.  So an address always means the same page, whatever
 * another thread moves or unmaps meanwhile.
 */
#ifndef FUZZ_AREA_H
#define FUZZ_AREA_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "model.h"

#define SLOTS 2

/* The open files; their counter pages. */
void area_open_files(void);
int area_file(unsigned int file);
bool area_has_counter(void);
uint64_t area_drops(unsigned int file);

char *area_address(unsigned int area, int slot, unsigned int page);
/* All areas, whole, in their first slot. */
void area_map_all(void);
/* A piece, anew, over whatever is there. */
void *area_map(unsigned int area, int slot, unsigned int first,
	       unsigned int count, unsigned int file, int flags);

/**
 * Changing mappings, under the area's lock: of a range of pages, of which those
 * in slot @kept (or NO_SLOT) keep their content wherever they come to lie.
 */
void change_begin(struct discard *change, unsigned int area,
		  unsigned int first, unsigned int count, int kept);
/*
 * Asks the kernel which pages are mapped where.  What was unmapped is gone, and
 * so is what is mapped in slot @fresh (or NO_SLOT) now.
 */
void change_end(struct discard *change, int fresh);

/*
 * A thread whose stack is small: mlockall(2) makes all of it resident, in
 * groups that have little memory.  False if there is no memory for it.
 */
bool area_thread(pthread_t *thread, void *(*body)(void *), void *argument);

/* fork(2) wants no mapping half changed. */
void area_lock_all(void);
void area_unlock_all(void);

/*
 * Runs statements that touch memory: 0, or the signal that ended them.  Locals
 * that they change must be volatile.
 */
extern __thread sigjmp_buf *area_guard;
void area_catch_signals(void);

#define GUARDED(statements) \
	({ \
		sigjmp_buf buffer_; \
		int signal_ = sigsetjmp(buffer_, 0); \
		if (!signal_) { \
			area_guard = &buffer_; \
			atomic_signal_fence(memory_order_seq_cst); \
			statements; \
		} \
		atomic_signal_fence(memory_order_seq_cst); \
		area_guard = NULL; \
		signal_; \
	})

/**
 * struct access - the owner touches a page
 * @page:	the page
 * @words:	where it is, or NULL
 * @protection:	of it
 */
struct access {
	struct area *area;
	struct page *page;
	uint32_t epoch;
	volatile uint64_t *words;
	uint8_t protection;
};

void access_begin(struct access *access, unsigned int area, unsigned int page);
/* Nobody changed mappings since, so all of the above still holds. */
bool access_stable(const struct access *access);
/* A SIGSEGV came: fails if none was due. */
void access_caught(const struct access *access, int signal, bool store);

#endif /* FUZZ_AREA_H */
