/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of lupine-vmm. */
#ifndef LUPINE_OPTIONS_H
#define LUPINE_OPTIONS_H

#include "lupine.h"

enum report_format { REPORT_NONE, REPORT_TEXT, REPORT_JSON };

enum action { ACTION_RUN, ACTION_CHECK, ACTION_VERSION, ACTION_HELP };

struct options {
	enum action action;
	struct lupine_config config; /* its strings point into argv */
	struct lupine_disk disks[LUPINE_MAX_DEVICES];
	struct lupine_net nets[LUPINE_MAX_DEVICES];
	enum { CONSOLE_STDIO, CONSOLE_NULL, CONSOLE_FILE } console;
	const char *console_file;
	enum report_format report;
	const char *report_file; /* NULL: standard error */
};

/* Reads argv, which it may change. 0, or -EINVAL with one line in @why. */
int options_parse(int argc, char **argv, struct options *options, char *why, size_t size);

/* Bytes, with an optional K, M, G or T. -EINVAL. */
int options_parse_size(const char *text, uint64_t *size);

extern const char options_help[];

#endif
