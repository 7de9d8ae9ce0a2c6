/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "mem.h"

/* The forward half of the size contract in lupine.h: unknown fields must be unset. */
static bool tail_is_zero(const struct lupine_config *given)
{
	const uint8_t *bytes = (const uint8_t *)given;

	for (size_t i = sizeof(*given); i < given->size; i++)
		if (bytes[i])
			return false;
	return true;
}

static int check_memory(const struct lupine_config *config, struct lupine_error *error)
{
	if (config->memory % 4096)
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "memory of %llu bytes is not a multiple of 4096",
				 (unsigned long long)config->memory);
	if (config->hugetlb && config->memory % MEM_HUGE_PAGE)
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "memory of %llu bytes is not a multiple of the huge page of 2 MiB",
				 (unsigned long long)config->memory);
	if (config->memory > CONFIG_MEMORY_MAX)
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "memory of %llu bytes is above the limit of 1 TiB",
				 (unsigned long long)config->memory);
	return 0;
}

static int check_devices(const struct lupine_config *config, struct lupine_error *error)
{
	if (config->nr_disks > LUPINE_MAX_DEVICES || config->nr_nets > LUPINE_MAX_DEVICES ||
	    config->nr_disks + config->nr_nets > LUPINE_MAX_DEVICES)
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "%u disks and %u nets: this machine has room for %d devices",
				 config->nr_disks, config->nr_nets, LUPINE_MAX_DEVICES);
	for (unsigned int i = 0; i < config->nr_disks; i++)
		if (!config->disks[i].path)
			return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL, "disk %u has no path",
					 i);
	for (unsigned int i = 0; i < config->nr_nets; i++) {
		if (!config->nets[i].tap && !config->nets[i].socket && !config->nets[i].use_fd)
			return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL, "net %u has no tap",
					 i);
		if (config->nets[i].mac[0] & 1)
			return error_set(
				error, LUPINE_ERROR_CONFIG, -EINVAL,
				"net %u: a multicast address (first byte odd) cannot be a mac", i);
	}
	return 0;
}

int config_validate(const struct lupine_config *given, struct lupine_config *config,
		    struct lupine_error *error)
{
	int err;

	*config = (struct lupine_config){ 0 };
	if (given->size < offsetof(struct lupine_config, cmdline))
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "configuration: its size field is not set");
	if (given->size > sizeof(*given) && !tail_is_zero(given))
		return error_set(error, LUPINE_ERROR_CONFIG, -E2BIG,
				 "configuration: it sets what this library (%s) does not know; "
				 "use a newer one",
				 lupine_version());
	memcpy(config, given, given->size < sizeof(*config) ? given->size : sizeof(*config));
	config->size = sizeof(*config);

	if (!config->kernel)
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "no kernel: give a vmlinux or bzImage");
	if (!config->memory)
		config->memory = 128ull << 20;
	if (!config->cpus)
		config->cpus = 1;
	if (!config->cmdline)
		config->cmdline = "";
	if (!config->console)
		config->console_in = config->console_out = -1;
	if (config->cpus > LUPINE_MAX_CPUS)
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "%u vCPUs: 1 to %d are possible", config->cpus, LUPINE_MAX_CPUS);
	if (config->seccomp > LUPINE_SECCOMP_OFF)
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL, "seccomp: unknown mode %d",
				 (int)config->seccomp);
	err = check_memory(config, error);
	return err ? err : check_devices(config, error);
}
