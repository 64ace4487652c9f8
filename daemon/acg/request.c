/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `acg run` tells the daemon: the options as given, and what the call looks like.
 *
 *   O<option>       each word between `run` and `--`
 *   A<argument>     each word of the command; at most ARGS_MAX bytes of these
 *   T               the words of the command were cut here
 *   D<directory>    the working directory
 *   E<NAME=value>   the few variables that carry an intent or name its caller
 *
 * Why so few variables: the environment holds the agent's secrets. These are asked
 * for by name, and the daemon takes them for the session's wish, not for an order.
 *
 * Limits: only options must be sent whole. The rest helps to classify the call, so
 * what has no room is left out and the call goes on.
 */
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "request.h"

#define ARGS_MAX	4096
#define ENV_MAX		1024	/* "NAME=value" */
#define OWN_MAX		16	/* AGENTCG_* variables */

static const char *const named[] = {
	"AGENT_RESOURCE_HINT=",
	"TRACEPARENT=",
	"CLAUDE_CODE_SESSION_ID=",
};

static bool starts_with(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static bool is_named(const char *variable)
{
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++)
		if (starts_with(variable, named[i]))
			return true;
	return false;
}

/* Room for T is left by request_run(), so a cut command always shows as one. */
static void put_command(struct record_buf *b, char **command)
{
	const size_t free = b->cap - b->len - record_size(0);
	size_t room = free < ARGS_MAX ? free : ARGS_MAX;

	for (; *command; command++) {
		size_t len = strlen(*command);

		if (len > room || record_size(len) > room) {
			/* A script given to `sh -c` is one long word, and its
			 * beginning is what says which kind of call this is. */
			if (room > record_size(0))
				record_put(b, 'A', *command, room - record_size(0));
			record_put(b, 'T', "", 0);
			return;
		}
		record_put(b, 'A', *command, len);
		room -= record_size(len);
	}
}

static void put_directory(struct record_buf *b)
{
	static char cwd[PATH_MAX];

	if (getcwd(cwd, sizeof(cwd)))
		record_put(b, 'D', cwd, strlen(cwd));
}

static void put_environment(struct record_buf *b)
{
	int own = 0;

	for (char **e = environ; e && *e; e++) {
		bool is_own = starts_with(*e, "AGENTCG_") && strchr(*e, '=');
		size_t len;

		if (!is_named(*e) && (!is_own || own == OWN_MAX))
			continue;
		len = strnlen(*e, ENV_MAX + 1);
		if (len <= ENV_MAX && record_put(b, 'E', *e, len) && is_own)
			own++;
	}
}

bool request_run(struct record_buf *b, char **options, size_t n_options, char **command)
{
	for (size_t i = 0; i < n_options; i++)
		if (!record_put(b, 'O', options[i], strlen(options[i])))
			return false;
	if (b->cap - b->len < record_size(0))
		return false;
	put_command(b, command);
	put_directory(b);
	put_environment(b);
	return true;
}
