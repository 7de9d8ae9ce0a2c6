/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: arguments are the input's lines. What is accepted must also hold as a
 * configuration. */
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "../../vmm/options.h"
#include "cmdline.h"
#include "config.h"
#include "fuzz.h"

#define ARGUMENTS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *argv[ARGUMENTS_MAX + 2] = { (char *)"lupine-vmm" };
	char why[256], cmdline[CMDLINE_SIZE];
	struct lupine_config config;
	struct lupine_error error;
	struct options options;
	int argc = 1;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	for (char *rest = text, *line; argc <= ARGUMENTS_MAX && (line = strsep(&rest, "\n"));)
		argv[argc++] = line;
	optind = 0; /* glibc: begin anew */
	if (options_parse(argc, argv, &options, why, sizeof(why)) == 0 &&
	    config_validate(&options.config, &config, &error) == 0 &&
	    config.nr_disks + config.nr_nets <= LUPINE_MAX_DEVICES)
		(void)cmdline_write(&config, cmdline);
	free(text);
	return 0;
}
