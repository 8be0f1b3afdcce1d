/* SPDX-License-Identifier: GPL-2.0 */
#ifndef _DROPPABLE_RATION_H
#define _DROPPABLE_RATION_H

#include <linux/types.h>

struct mem_cgroup;
struct shrink_control;

unsigned long droppable_ration(struct shrink_control *sc,
			       unsigned long resident, bool begins);
bool droppable_ration_desperate(struct shrink_control *sc,
				unsigned long resident);
void droppable_ration_used(struct shrink_control *sc, unsigned long looked,
			   unsigned long dropped);
bool droppable_ration_is_reclaim(void);
bool droppable_ration_margin(struct mem_cgroup *memcg);

#endif
