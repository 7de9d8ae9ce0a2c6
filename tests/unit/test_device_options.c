/* SPDX-License-Identifier: Apache-2.0 */
/* The values of --disk and --net. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "device_options.h"

static char why[160];

static int disk(const char *text, struct lupine_disk *disk)
{
	static char copy[200];

	*disk = (struct lupine_disk){ 0 };
	strcpy(copy, text);
	return device_options_disk(copy, disk, why, sizeof(why));
}

static int net(const char *text, struct lupine_net *net)
{
	static char copy[200];

	*net = (struct lupine_net){ 0 };
	strcpy(copy, text);
	return device_options_net(copy, net, why, sizeof(why));
}

static void disks(void **state)
{
	struct lupine_disk d;

	(void)state;
	assert_int_equal(disk("a.img", &d), 0);
	assert_string_equal(d.path, "a.img");
	assert_false(d.read_only || d.direct || d.writethrough);
	assert_int_equal(disk("a.img,ro", &d), 0);
	assert_true(d.read_only);
	assert_int_equal(disk("a,direct=on,cache=writethrough,queues=4,bps=10M,iops=2K", &d), 0);
	assert_true(d.direct && d.writethrough);
	assert_int_equal(d.queues, 4);
	assert_int_equal(d.bytes_per_second, 10 << 20);
	assert_int_equal(d.operations_per_second, 2048);
	assert_int_equal(disk("a,direct=off,cache=writeback", &d), 0);
	assert_false(d.direct || d.writethrough);
	assert_int_equal(d.io, LUPINE_IO_AUTO);
	assert_false(d.serve_on_vcpu);
	assert_int_equal(disk("a,io=uring,serve=vcpu", &d), 0);
	assert_int_equal(d.io, LUPINE_IO_URING);
	assert_true(d.serve_on_vcpu);
	assert_int_equal(disk("a,without=28:29:0", &d), 0);
	assert_int_equal(d.without, 1u << 28 | 1u << 29 | 1);
	assert_int_equal(disk("a,io=sync,serve=loop", &d), 0);
	assert_int_equal(d.io, LUPINE_IO_SYNC);
	assert_false(d.serve_on_vcpu);
	assert_int_equal(disk("a,io=auto", &d), 0);
	assert_int_equal(d.io, LUPINE_IO_AUTO);
}

static void nets(void **state)
{
	struct lupine_net n;

	(void)state;
	assert_int_equal(net("tap=t0", &n), 0);
	assert_string_equal(n.tap, "t0");
	assert_int_equal(net("mac=02:00:00:00:00:ff,tap=t0,mtu=9000,queues=2,bps=1G,pps=7", &n), 0);
	assert_int_equal(n.mac[5], 0xff);
	assert_int_equal(n.mtu, 9000);
	assert_int_equal(n.queues, 2);
	assert_int_equal(n.bytes_per_second, 1 << 30);
	assert_int_equal(n.packets_per_second, 7);
	assert_false(n.vhost || n.serve_on_vcpu);
	assert_int_equal(net("tap=t0,vhost=on,serve=vcpu", &n), 0);
	assert_true(n.vhost && n.serve_on_vcpu);
	assert_int_equal(net("socket=/run/passt.socket", &n), 0);
	assert_string_equal(n.socket, "/run/passt.socket");
	assert_int_equal(net("fd=0", &n), 0);
	assert_true(n.use_fd && n.fd == 0);
}

static void refusals(void **state)
{
	static const struct {
		const char *text, *why;
	} disks[] = {
		{ "", "needs a file: --disk FILE[,ro]..." },
		{ ",ro", "needs a file: --disk FILE[,ro]..." },
		{ "a,r0", "r0: unknown: see --help" },
		{ "a,ro=on", "ro=on: takes no value" },
		{ "a,direct", "direct=: on or off" },
		{ "a,direct=yes", "direct=yes: on or off" },
		{ "a,cache=none", "cache=none: writeback or writethrough" },
		{ "a,io=aio", "io=aio: auto, sync or uring" },
		{ "a,serve=", "serve=: loop or vcpu" },
		{ "a,without=32", "without=32: numbers of features, parted by colons; not 32" },
		{ "a,without=64", "without=64: numbers of features, parted by colons; not 32" },
		{ "a,without=1:", "without=1:: numbers of features, parted by colons; not 32" },
		{ "a,queues=0", "queues=0: a number above 0" },
		{ "a,queues=5000000000", "queues=5000000000: a number above 0" },
		{ "a,bps=-1", "bps=-1: a number, or one with K, M or G" },
		{ "a,,ro", ": unknown: see --help" },
	}, nets[] = {
		{ "", "needs one of tap=NAME, socket=PATH and fd=N" },
		{ "tap=", "tap=: needs a value" },
		{ "tap", "tap=: needs a value" },
		{ "tap=a,fd=3", "needs one of tap=NAME, socket=PATH and fd=N" },
		{ "tap=a,mac=1:2", "mac=1:2: not six bytes as xx:xx:xx:xx:xx:xx" },
		{ "tap=a,vhost", "vhost=: on or off" },
		{ "tap=a,mtu=65536", "mtu=65536: a number up to 65535" },
		{ "fd=x", "fd=x: a file descriptor's number" },
		{ "mac=02:00:00:00:00:01", "needs one of tap=NAME, socket=PATH and fd=N" },
	};
	struct lupine_disk d;
	struct lupine_net n;

	(void)state;
	for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
		assert_int_equal(disk(disks[i].text, &d), -EINVAL);
		assert_string_equal(why, disks[i].why);
	}
	for (size_t i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
		assert_int_equal(net(nets[i].text, &n), -EINVAL);
		assert_string_equal(why, nets[i].why);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(disks),
		cmocka_unit_test(nets),
		cmocka_unit_test(refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
