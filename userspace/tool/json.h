/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * JSON on stdout, one object on one line.  Names are literals of ours; values
 * may be anything.  NULL as a name: an element of a list.
 */
#ifndef DROPPABLE_TOOL_JSON_H
#define DROPPABLE_TOOL_JSON_H

#include <stdbool.h>
#include <stdint.h>

void json_begin(const char *name, char bracket);	/* '{' or '[' */
void json_end(char bracket);				/* '}' or ']' */
void json_string(const char *name, const char *value);	/* NULL: null */
void json_number(const char *name, uint64_t value);
void json_decimal(const char *name, double value);
void json_bool(const char *name, bool value);
void json_null(const char *name);
/* The end of the line. */
void json_done(void);

/* The length in bytes of the valid UTF-8 sequence at @s; 0 if it isn't one. */
int utf8_length(const unsigned char *s);

#endif /* DROPPABLE_TOOL_JSON_H */
