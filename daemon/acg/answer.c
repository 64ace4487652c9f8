/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the daemon may have `acg run` do.
 *
 *   E<NAME=value>   put it into the command's environment
 *   M<text>         write it and a newline to stderr
 *   X<0..255>       exit with this status, do not run the command (the first one counts)
 *
 * Why all is checked before anything is done: a bad answer means that the command
 * runs as if acg were not there, and half an environment is not that.
 *
 * Limits: an unknown tag is skipped, so that an old client in an image serves a new
 * daemon. What would change which program runs or what is loaded into it (LD_*,
 * PATH, GLIBC_TUNABLES) is refused even from root's daemon: a grant has no use for it.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "record.h"
#include "say.h"

static bool is_name(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = name[i];
		bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';

		if (!letter && !(i && c >= '0' && c <= '9'))
			return false;
	}
	return len > 0;
}

static bool is_refused(const char *name, size_t len)
{
	static const char *const refused[] = { "PATH", "GLIBC_TUNABLES" };

	if (len >= 3 && !memcmp(name, "LD_", 3))
		return true;
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		if (len == strlen(refused[i]) && !memcmp(name, refused[i], len))
			return true;
	return false;
}

static void set_variable(char *variable)
{
	const char *equals = strchr(variable, '=');
	size_t len;

	if (!equals)
		return;
	len = (size_t)(equals - variable);
	if (is_name(variable, len) && !is_refused(variable, len))
		putenv(variable);
}

/* -1 if it is no exit status. */
static int parse_status(const char *text)
{
	int status = 0;

	if (!*text || strlen(text) > 3)
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		status = status * 10 + (*text - '0');
	}
	return status <= 255 ? status : -1;
}

static bool is_valid(char *body, size_t len)
{
	char *pos = body, *record;

	if (!record_valid(body, len))
		return false;
	while ((record = record_next(&pos, body + len)))
		if (record[0] == 'X' && parse_status(record + 1) < 0)
			return false;
	return true;
}

static void say_message(char *text)
{
	size_t len = strlen(text);

	text[len] = '\n';	/* in the place of its NUL: one write, no copy */
	say_bytes(text, len + 1);
}

int answer_apply(char *body, size_t len)
{
	char *pos = body, *record;
	int status = ANSWER_GO;

	if (!is_valid(body, len))
		return ANSWER_BAD;
	while ((record = record_next(&pos, body + len))) {
		switch (record[0]) {
		case 'E':
			set_variable(record + 1);
			break;
		case 'M':
			say_message(record + 1);
			break;
		case 'X':
			if (status == ANSWER_GO)
				status = parse_status(record + 1);
			break;
		}
	}
	return status;
}
