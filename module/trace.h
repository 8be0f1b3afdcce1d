/* SPDX-License-Identifier: GPL-2.0 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM droppable

#if !defined(_DROPPABLE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _DROPPABLE_TRACE_H

#include <linux/tracepoint.h>

struct droppable_region;

/* @index counts pages from the start of the mapping, not addresses. */
TRACE_EVENT(droppable_fault,
	TP_PROTO(struct droppable_region *region, unsigned long address,
		 pgoff_t index, bool write),
	TP_ARGS(region, address, index, write),
	TP_STRUCT__entry(
		__field(void *, region)
		__field(unsigned long, address)
		__field(unsigned long, index)
		__field(bool, write)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->address = address;
		__entry->index = index;
		__entry->write = write;
	),
	TP_printk("region=%p address=%#lx index=%lu %s", __entry->region,
		  __entry->address, __entry->index,
		  __entry->write ? "write" : "read")
);

TRACE_EVENT(droppable_drop,
	TP_PROTO(struct droppable_region *region, pgoff_t index,
		 unsigned long nr, unsigned long dropped),
	TP_ARGS(region, index, nr, dropped),
	TP_STRUCT__entry(
		__field(void *, region)
		__field(unsigned long, index)
		__field(unsigned long, nr)
		__field(unsigned long, dropped)
	),
	TP_fast_assign(
		__entry->region = region;
		__entry->index = index;
		__entry->nr = nr;
		__entry->dropped = dropped;
	),
	TP_printk("region=%p index=%lu nr=%lu dropped=%lu", __entry->region,
		  __entry->index, __entry->nr, __entry->dropped)
);

TRACE_EVENT(droppable_wait,
	TP_PROTO(unsigned long address, u64 microseconds),
	TP_ARGS(address, microseconds),
	TP_STRUCT__entry(
		__field(unsigned long, address)
		__field(u64, microseconds)
	),
	TP_fast_assign(
		__entry->address = address;
		__entry->microseconds = microseconds;
	),
	TP_printk("address=%#lx waited=%lluus", __entry->address,
		  __entry->microseconds)
);

#endif

#undef TRACE_INCLUDE_PATH
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_PATH .
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
