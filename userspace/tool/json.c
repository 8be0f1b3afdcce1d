// SPDX-License-Identifier: GPL-2.0-only
/* See json.h. */
#include "json.h"

#include <stdio.h>

/* Something stands before this on its level. */
static bool follows;

int utf8_length(const unsigned char *s)
{
	int more = s[0] >= 0xf0 && s[0] <= 0xf4 ? 3 :
		   s[0] >= 0xe0 && s[0] <= 0xef ? 2 :
		   s[0] >= 0xc2 && s[0] <= 0xdf ? 1 : 0;

	if (!more)
		return s[0] < 0x80;
	for (int i = 1; i <= more; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	/* Too long a form, half of a surrogate, beyond the last character. */
	if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
	    (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
		return 0;
	return more + 1;
}

/* What isn't UTF-8 becomes the replacement character. */
static void quote(const char *text)
{
	const unsigned char *s = (const unsigned char *)text;

	putchar('"');
	while (*s) {
		int length = utf8_length(s);

		if (!length)
			fputs("\\ufffd", stdout);
		else if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if (*s < 0x20 || *s == 0x7f)
			printf("\\u%04x", *s);
		else
			printf("%.*s", length, (const char *)s);
		s += length ? length : 1;
	}
	putchar('"');
}

static void name_it(const char *name)
{
	if (follows)
		putchar(',');
	follows = true;
	if (name)
		printf("\"%s\":", name);
}

void json_begin(const char *name, char bracket)
{
	name_it(name);
	putchar(bracket);
	follows = false;
}

void json_end(char bracket)
{
	putchar(bracket);
	follows = true;
}

void json_string(const char *name, const char *value)
{
	name_it(name);
	if (value)
		quote(value);
	else
		fputs("null", stdout);
}

void json_number(const char *name, uint64_t value)
{
	name_it(name);
	printf("%llu", (unsigned long long)value);
}

void json_decimal(const char *name, double value)
{
	name_it(name);
	printf("%.3f", value);
}

void json_bool(const char *name, bool value)
{
	name_it(name);
	fputs(value ? "true" : "false", stdout);
}

void json_null(const char *name)
{
	name_it(name);
	fputs("null", stdout);
}

void json_done(void)
{
	putchar('\n');
	follows = false;
}
