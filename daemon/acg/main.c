/* SPDX-License-Identifier: Apache-2.0 */
/*
 * acg: the native client of agentcg. This file picks the subcommand.
 *
 * Why a C program: it stands before every tool call, in containers that have
 * neither Python nor a libc we know. It costs a socket round trip, not the start
 * of an interpreter.
 *
 * Limits: it parses no JSON, interprets no option of `run` and takes no setting
 * from its environment; the daemon does all of that.
 */
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "acg.h"
#include "say.h"

static const char usage[] =
	"usage: acg run [option...] -- command [argument...]\n"
	"       acg shell line\n"
	"       acg hook harness\n"
	"       acg runc argument...\n"
	"       acg pause\n"
	"       acg --version\n";

static const char version[] = "acg " ACG_VERSION "\n";

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} subcommands[] = {
	{ "run", acg_run },
	{ "shell", acg_shell },
	{ "hook", acg_hook },
	{ "runc", acg_runc },
	{ "pause", acg_pause },
};

int bad_usage(void)
{
	say_bytes(usage, sizeof(usage) - 1);
	return EXIT_ACG;
}

static int print(const char *text, size_t len)
{
	return write(STDOUT_FILENO, text, len) == (ssize_t)len ? 0 : EXIT_ACG;
}

static bool is_named(const char *path, const char *name)
{
	const char *slash = strrchr(path, '/');

	return !strcmp(slash ? slash + 1 : path, name);
}

int main(int argc, char **argv)
{
	if (argc && is_named(argv[0], "acg-shell"))
		return acg_shell(argc, argv);
	if (argc && is_named(argv[0], "acg-runc"))
		return acg_runc(argc, argv);
	if (argc < 2)
		return bad_usage();
	if (argc == 2 && !strcmp(argv[1], "--version"))
		return print(version, sizeof(version) - 1);
	if (argc == 2 && !strcmp(argv[1], "--help"))
		return print(usage, sizeof(usage) - 1);
	for (size_t i = 0; i < sizeof(subcommands) / sizeof(subcommands[0]); i++)
		if (!strcmp(argv[1], subcommands[i].name))
			return subcommands[i].main(argc - 1, argv + 1);
	return bad_usage();
}
