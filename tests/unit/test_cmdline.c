/* SPDX-License-Identifier: Apache-2.0 */
#include "cmdline.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static void what_the_monitor_says(void **state)
{
	const struct lupine_disk disks[2] = { { .path = "a", .read_only = true }, { .path = "b" } };
	const struct lupine_net net = { .tap = "t" };
	struct lupine_config config = { .cmdline = "a=b",
					.console = true,
					.disks = disks,
					.nr_disks = 2,
					.disk_size = sizeof(disks[0]),
					.nets = &net,
					.nr_nets = 1 };
	char text[CMDLINE_SIZE];

	(void)state;
	assert_int_equal(cmdline_write(&config, text), 0);
	assert_string_equal(text, "panic=-1 reboot=k quiet console=ttyS0 root=/dev/vda ro"
				  " virtio_mmio.device=4K@0xd0001000:5"
				  " virtio_mmio.device=4K@0xd0002000:6"
				  " virtio_mmio.device=4K@0xd0003000:7 a=b");
}

static void a_root_is_said_only_where_it_is_needed(void **state)
{
	const struct lupine_disk disk = { .path = "a" };
	struct lupine_config config = {
		.cmdline = "", .disks = &disk, .nr_disks = 1, .disk_size = sizeof(disk)
	};
	char text[CMDLINE_SIZE];

	(void)state;
	assert_int_equal(cmdline_write(&config, text), 0);
	assert_non_null(strstr(text, "root=/dev/vda rw"));
	config.cmdline = "xroot=1";
	assert_int_equal(cmdline_write(&config, text), 0);
	assert_non_null(strstr(text, "root=/dev/vda rw"));
	config.cmdline = "x root=/dev/vdb";
	assert_int_equal(cmdline_write(&config, text), 0);
	assert_null(strstr(text, "/dev/vda"));
	config.cmdline = "";
	config.initrd = "i";
	assert_int_equal(cmdline_write(&config, text), 0);
	assert_null(strstr(text, "root="));
}

static void too_long(void **state)
{
	char long_text[CMDLINE_SIZE + 1], text[CMDLINE_SIZE];
	struct lupine_config config = { .cmdline = long_text };

	(void)state;
	memset(long_text, 'x', CMDLINE_SIZE);
	long_text[CMDLINE_SIZE] = '\0';
	assert_int_equal(cmdline_write(&config, text), -E2BIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_monitor_says),
		cmocka_unit_test(a_root_is_said_only_where_it_is_needed),
		cmocka_unit_test(too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
