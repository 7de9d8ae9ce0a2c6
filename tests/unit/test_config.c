/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static struct lupine_config minimal(void)
{
	return (struct lupine_config){ .size = sizeof(struct lupine_config), .kernel = "vmlinux" };
}

static int validate(const struct lupine_config *given, struct lupine_error *error)
{
	struct lupine_config config;

	return config_validate(given, &config, error);
}

static void zero_means_the_default(void **state)
{
	struct lupine_config given = minimal(), config;
	struct lupine_error error;

	(void)state;
	assert_int_equal(config_validate(&given, &config, &error), 0);
	assert_int_equal(config.memory, 128u << 20);
	assert_int_equal(config.cpus, 1);
	assert_string_equal(config.cmdline, "");
	assert_int_equal(config.console_out, -1);
	assert_int_equal(config.console_in, -1);
	assert_int_equal(config.seccomp, LUPINE_SECCOMP_ALL);
}

static void an_older_program(void **state)
{
	struct lupine_config given = minimal(), config;
	struct lupine_error error;

	(void)state;
	given.memory = 1; /* behind what the older structure had: not read */
	given.size = offsetof(struct lupine_config, memory);
	assert_int_equal(config_validate(&given, &config, &error), 0);
	assert_int_equal(config.memory, 128u << 20);
	given.size = 0;
	assert_int_equal(config_validate(&given, &config, &error), -EINVAL);
}

static void a_newer_program(void **state)
{
	struct {
		struct lupine_config known;
		uint64_t unknown;
	} given = { minimal(), 0 };
	struct lupine_error error;

	(void)state;
	given.known.size = sizeof(given);
	assert_int_equal(validate(&given.known, &error), 0);
	given.unknown = 1;
	assert_int_equal(validate(&given.known, &error), -E2BIG);
	assert_non_null(strstr(error.text, "newer"));
}

/* Disks and nets have the size that the program's header gave them. */
static void elements_of_another_size(void **state)
{
	struct {
		struct lupine_disk known;
		uint64_t unknown;
	} newer[2] = { { { .path = "a" }, 0 }, { { .path = "b", .queues = 3 }, 0 } };
	struct {
		const char *tap, *socket;
		bool use_fd;
		int fd;
	} older[2] = { { .tap = "t" }, { .use_fd = true, .fd = 7 } };
	struct lupine_config given = minimal(), config;
	struct lupine_error error;

	(void)state;
	_Static_assert(sizeof(older[0]) == offsetof(struct lupine_net, mac), "the first fields");
	given.disks = &newer[0].known;
	given.nr_disks = 2;
	given.nets = (const struct lupine_net *)(const void *)older;
	given.nr_nets = 2;
	assert_int_equal(validate(&given, &error), -EINVAL); /* no sizes */
	given.disk_size = sizeof(newer[0]);
	assert_int_equal(validate(&given, &error), -EINVAL);
	given.net_size = sizeof(older[0]);
	assert_int_equal(config_validate(&given, &config, &error), 0);
	assert_string_equal(config_disk(&config, 0).path, "a");
	assert_string_equal(config_disk(&config, 1).path, "b");
	assert_int_equal(config_disk(&config, 1).queues, 3);
	assert_string_equal(config_net(&config, 0).tap, "t");
	assert_int_equal(config_net(&config, 1).fd, 7);
	assert_int_equal(config_net(&config, 1).mtu, 0); /* not what lies behind it */
	newer[1].unknown = 1;
	assert_int_equal(validate(&given, &error), -E2BIG);
}

static void bounds(void **state)
{
	const struct lupine_disk disks[LUPINE_MAX_DEVICES + 1] = { { .path = "x" } };
	const struct lupine_net multicast = { .tap = "t", .mac = { 1 } },
				nameless = { .tap = NULL };
	struct lupine_config given;
	struct lupine_error error;

	(void)state;
	given = minimal();
	given.kernel = NULL;
	assert_int_equal(validate(&given, &error), -EINVAL);
	given = minimal();
	given.memory = 4097;
	assert_int_equal(validate(&given, &error), -EINVAL);
	given.memory = CONFIG_MEMORY_MAX;
	assert_int_equal(validate(&given, &error), 0);
	given.memory += 4096;
	assert_int_equal(validate(&given, &error), -EINVAL);
	given = minimal();
	given.cpus = LUPINE_MAX_CPUS + 1;
	assert_int_equal(validate(&given, &error), -EINVAL);
	given = minimal();
	given.disks = disks;
	given.disk_size = sizeof(disks[0]);
	given.nr_disks = LUPINE_MAX_DEVICES + 1;
	assert_int_equal(validate(&given, &error), -EINVAL);
	given.nr_disks = UINT32_MAX; /* and a sum that wraps */
	given.nr_nets = 2;
	assert_int_equal(validate(&given, &error), -EINVAL);
	given = minimal();
	given.disks = disks + 1;
	given.disk_size = sizeof(disks[0]);
	given.nr_disks = 1;
	assert_int_equal(validate(&given, &error), -EINVAL);
	const struct lupine_disk odd = { .path = "x", .io = (enum lupine_io)3 };
	given.disks = &odd;
	assert_int_equal(validate(&given, &error), -EINVAL);
	given = minimal();
	given.nr_nets = 1;
	given.net_size = sizeof(multicast);
	given.nets = &multicast;
	assert_int_equal(validate(&given, &error), -EINVAL);
	given.nets = &nameless;
	assert_int_equal(validate(&given, &error), -EINVAL);
	struct lupine_net narrow = { .tap = "t", .mtu = 67 };
	given.nets = &narrow;
	assert_int_equal(validate(&given, &error), -EINVAL);
	narrow.mtu = 68;
	assert_int_equal(validate(&given, &error), 0);
	given = minimal();
	given.seccomp = (enum lupine_seccomp)7;
	assert_int_equal(validate(&given, &error), -EINVAL);
	assert_int_equal(error.code, LUPINE_ERROR_CONFIG);
	assert_int_equal(validate(&given, NULL), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(zero_means_the_default),
		cmocka_unit_test(an_older_program),
		cmocka_unit_test(a_newer_program),
		cmocka_unit_test(elements_of_another_size),
		cmocka_unit_test(bounds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
