/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_NOTES_H
#define _DROPPABLE_NOTES_H

#include <linux/types.h>

/*
 * Ranges kept apart; with more, the nearest grow together, and then what lies
 * between counts as well.
 */
#define DROPPABLE_NOTES	32

/* Unmappings told apart: one a thread. */
#define DROPPABLE_UNMAPPINGS	24

/**
 * struct droppable_note - a range of addresses
 * @start:	first
 * @end:	behind the last
 * @time:	when something happened there, by the reaper's clock
 * @left:	DROPPABLE_REAP_LEFT_*: what a look at it left
 */
struct droppable_note {
	unsigned long start;
	unsigned long end;
	u32 time;
	unsigned int left;
};

/* Ranges that may overlap; whoever has them protects them. */
struct droppable_notes {
	unsigned int nr;
	struct droppable_note note[DROPPABLE_NOTES];
};

/**
 * struct droppable_unmappings - those between their start and end
 * @nr:		how many are listed
 * @unlisted:	how many more there are: any address may be theirs
 * @at:		their ranges
 */
struct droppable_unmappings {
	unsigned int nr;
	unsigned int unlisted;
	struct {
		unsigned long start;
		unsigned long end;
	} at[DROPPABLE_UNMAPPINGS];
};

/* Of two times by droppable_reap_clock(), less than half its range apart. */
static inline bool droppable_time_after(u32 time, u32 other)
{
	return (s32)(time - other) > 0;
}

void droppable_notes_add(struct droppable_notes *notes,
			 const struct droppable_note *new);
bool droppable_notes_touch(const struct droppable_notes *notes,
			   unsigned long start, unsigned long end);
bool droppable_notes_tell(const struct droppable_notes *notes,
			  unsigned long address, u32 since);

void droppable_unmappings_begin(struct droppable_unmappings *now,
				unsigned long start, unsigned long end);
void droppable_unmappings_end(struct droppable_unmappings *now,
			      unsigned long start, unsigned long end);
bool droppable_unmappings_cover(const struct droppable_unmappings *now,
				unsigned long address);

#endif
