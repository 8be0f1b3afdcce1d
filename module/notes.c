// SPDX-License-Identifier: GPL-2.0
/*
 * Notes about ranges of addresses: where something was unmapped, and when.
 *
 * They take no memory of their own, since what is noted can't wait for any: so
 * there is room for a number of them, and two that say together what one can say
 * become one.
 */

#include <linux/mm.h>

#include "notes.h"

static unsigned long distance(const struct droppable_note *a,
			      const struct droppable_note *b)
{
	if (a->end < b->start)
		return b->start - a->end;
	return b->end < a->start ? a->start - b->end : 0;
}

/* Whether @note says all that @other does. */
static bool says(const struct droppable_note *note,
		 const struct droppable_note *other)
{
	return note->start <= other->start && note->end >= other->end &&
	       !droppable_time_after(other->time, note->time);
}

static void widen(struct droppable_note *note,
		  const struct droppable_note *other)
{
	note->start = min(note->start, other->start);
	note->end = max(note->end, other->end);
	if (droppable_time_after(other->time, note->time))
		note->time = other->time;
}

/* There is no room for another: the nearest says more than it should. */
static void widen_nearest(struct droppable_notes *notes,
			  const struct droppable_note *new)
{
	struct droppable_note *nearest = &notes->note[0];
	unsigned int i;

	for (i = 1; i < notes->nr; i++)
		if (distance(&notes->note[i], new) < distance(nearest, new))
			nearest = &notes->note[i];
	widen(nearest, new);
}

/**
 * droppable_notes_add - note a range
 * @notes:	where
 * @new:	the range
 */
void droppable_notes_add(struct droppable_notes *notes,
			 const struct droppable_note *new)
{
	struct droppable_note all = *new;
	unsigned int i = 0;

	while (i < notes->nr) {
		struct droppable_note *note = &notes->note[i];

		if (says(note, &all))
			return;
		/* At one time and without a gap they say no more as one. */
		if (note->time == all.time && !distance(note, &all))
			widen(&all, note);
		if (says(&all, note))
			*note = notes->note[--notes->nr];
		else
			i++;
	}
	if (notes->nr < DROPPABLE_NOTES)
		notes->note[notes->nr++] = all;
	else
		widen_nearest(notes, &all);
}

/**
 * droppable_notes_touch - whether anything in a range is noted
 * @notes:	of any time
 * @start:	first address
 * @end:	behind the last
 */
bool droppable_notes_touch(const struct droppable_notes *notes,
			   unsigned long start, unsigned long end)
{
	unsigned int i;

	for (i = 0; i < notes->nr; i++)
		if (start < notes->note[i].end && end > notes->note[i].start)
			return true;
	return false;
}

/**
 * droppable_notes_tell - whether an address is noted
 * @notes:	of any time
 * @address:	the address
 * @since:	after this time
 */
bool droppable_notes_tell(const struct droppable_notes *notes,
			  unsigned long address, u32 since)
{
	const struct droppable_note *note;

	for (note = notes->note; note < notes->note + notes->nr; note++)
		if (address >= note->start && address < note->end &&
		    droppable_time_after(note->time, since))
			return true;
	return false;
}

/**
 * droppable_unmappings_begin - an unmapping begins
 * @now:	all of the mm's
 * @start:	first address
 * @end:	behind the last
 */
void droppable_unmappings_begin(struct droppable_unmappings *now,
				unsigned long start, unsigned long end)
{
	if (now->nr == ARRAY_SIZE(now->at)) {
		now->unlisted++;
		return;
	}
	now->at[now->nr].start = start;
	now->at[now->nr++].end = end;
}

/**
 * droppable_unmappings_end - it has come to its end
 * @now:	all of the mm's
 * @start:	as it began, if that was heard of
 * @end:	likewise
 */
void droppable_unmappings_end(struct droppable_unmappings *now,
			      unsigned long start, unsigned long end)
{
	unsigned int i;

	for (i = 0; i < now->nr; i++) {
		if (now->at[i].start != start || now->at[i].end != end)
			continue;
		now->at[i] = now->at[--now->nr];
		return;
	}
	if (now->unlisted)
		now->unlisted--;
}

/**
 * droppable_unmappings_cover - whether one under way may meet an address
 * @now:	all of the mm's
 * @address:	the address
 */
bool droppable_unmappings_cover(const struct droppable_unmappings *now,
				unsigned long address)
{
	unsigned int i;

	for (i = 0; i < now->nr; i++)
		if (address >= now->at[i].start && address < now->at[i].end)
			return true;
	return now->unlisted;
}
