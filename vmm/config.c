/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "error.h"
#include "mem.h"

/* The forward half of the size contract in lupine.h: unknown fields must be unset. */
static bool tail_is_zero(const void *given, size_t size, size_t known)
{
	const uint8_t *bytes = given;

	for (size_t i = known; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* @given, of which the program knows @size bytes, as the library knows it. */
static void take(void *known, size_t known_size, const void *given, size_t size)
{
	memset(known, 0, known_size);
	memcpy(known, given, size < known_size ? size : known_size);
}

static const void *element(const void *array, unsigned int i, size_t size)
{
	return (const uint8_t *)array + i * size;
}

struct lupine_disk config_disk(const struct lupine_config *config, unsigned int i)
{
	struct lupine_disk disk;

	take(&disk, sizeof(disk), element(config->disks, i, config->disk_size), config->disk_size);
	return disk;
}

struct lupine_net config_net(const struct lupine_config *config, unsigned int i)
{
	struct lupine_net net;

	take(&net, sizeof(net), element(config->nets, i, config->net_size), config->net_size);
	return net;
}

static int too_new(struct lupine_error *error)
{
	return error_set(error, LUPINE_ERROR_CONFIG, -E2BIG,
			 "configuration: it sets what this library (%s) does not know; "
			 "use a newer one",
			 lupine_version());
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
	if ((config->nr_disks && config->disk_size < sizeof(config->disks->path)) ||
	    (config->nr_nets && config->net_size < offsetof(struct lupine_net, mac)))
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "configuration: disk_size or net_size is not set");
	for (unsigned int i = 0; i < config->nr_disks; i++) {
		if (!tail_is_zero(element(config->disks, i, config->disk_size), config->disk_size,
				  sizeof(struct lupine_disk)))
			return too_new(error);
		const struct lupine_disk disk = config_disk(config, i);
		if (!disk.path)
			return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL, "disk %u has no path",
					 i);
		if (disk.io > LUPINE_IO_URING)
			return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
					 "disk %u: unknown io %d", i, (int)disk.io);
	}
	for (unsigned int i = 0; i < config->nr_nets; i++) {
		if (!tail_is_zero(element(config->nets, i, config->net_size), config->net_size,
				  sizeof(struct lupine_net)))
			return too_new(error);
		const struct lupine_net net = config_net(config, i);
		if (!net.tap && !net.socket && !net.use_fd)
			return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL, "net %u has no tap",
					 i);
		if (net.mtu && net.mtu < ETH_MIN_MTU)
			return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
					 "net %u: an mtu of %u: it is %d to 65535", i, net.mtu,
					 ETH_MIN_MTU);
		if (net.mac[0] & 1)
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

	if (given->size < offsetof(struct lupine_config, cmdline))
		return error_set(error, LUPINE_ERROR_CONFIG, -EINVAL,
				 "configuration: its size field is not set");
	if (!tail_is_zero(given, given->size, sizeof(*given)))
		return too_new(error);
	take(config, sizeof(*config), given, given->size);
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
