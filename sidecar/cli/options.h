/* SPDX-License-Identifier: MIT
 *
 * The command line of a command: a row an option, from which it is read and --help is printed. By
 * argp(3): --help, -h, --usage and --version are every command's, wrong usage ends the process with
 * status 2.
 */
#ifndef SIDECAR_CLI_OPTIONS_H
#define SIDECAR_CLI_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

enum cli_option_kind {
	CLI_FLAG,  /* into a bool: was it given? */
	CLI_TEXT,  /* into a const char * */
	CLI_COUNT, /* into an uint64_t: from 1 to .max */
	CLI_READ,  /* by .read */
};

struct cli_option {
	const char *name;  /* NULL ends the rows */
	int letter;	   /* 0: none */
	const char *value; /* what stands for it in --help; NULL for a flag */
	const char *help;
	enum cli_option_kind kind;
	size_t offset; /* in the command's struct */
	uint64_t max;
	/* Reads the value of the option `name` into the command's struct. NULL, or why it is none. */
	const char *(*read)(void *into, const char *name, char *text);
};

#define CLI_JSON(type)                                                                           \
	{                                                                                        \
		"json", 0, NULL, "print JSON, an object a line", CLI_FLAG, offsetof(type, json), \
			0, NULL                                                                  \
	}
#define CLI_SEGMENT(type)                                                                             \
	{                                                                                             \
		"segment", 0, "DIR",                                                                  \
			"the segment's folder; without it $TOLLGATE_SEGMENT, else /dev/shm/tollgate", \
			CLI_TEXT, offsetof(type, segment), 0, NULL                                    \
	}

struct cli_syntax {
	const char *program;   /* another program than tollgate and tollgated; NULL: one of these */
	const char *command;   /* "status"; NULL: of tollgated itself */
	const char *arguments; /* behind the options, as --help shows them: "SOURCE DESTINATION" */
	int min, max;	       /* how many; max -1: any number */
	const char *wanted;    /* is said where the number is wrong; NULL: "it takes ..." */
	const char *about;     /* what it does; --help breaks the lines */
	const struct cli_option *options;
};

/* Reads the options into the struct that the rows mean, which holds the defaults. Returns the number
 * of the other arguments, and where they stand. Does not return on --help and the like, and where
 * the usage is wrong. */
int options_read(const struct cli_syntax *syntax, int argc, char **argv, void *into,
		 char ***ret_arguments);

/* Says what is wrong, and where help is. Returns 2, the exit status. */
int options_wrong(const struct cli_syntax *syntax, const char *why);

#endif
