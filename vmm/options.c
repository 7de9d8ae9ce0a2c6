/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include "device_options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char options_help[] =
	"usage: lupine-vmm --kernel FILE [--disk FILE[,ro]...]... [--net "
	"tap=NAME[,mac=MAC]...]...\n"
	"\n"
	"Boots a Linux kernel in a KVM virtual machine; exits with the application's status.\n"
	"\n"
	"  --kernel FILE         ELF vmlinux or bzImage\n"
	"  --bzimage unpack|enter  of a bzImage: unpack the kernel here (default), or let it "
	"unpack itself\n"
	"  --initrd FILE         initial RAM disk\n"
	"  --disk FILE[,ro]      raw image or block device; the first is the root (vda, vdb, ...)\n"
	"    ,direct=on            past this host's page cache\n"
	"    ,cache=writethrough   a completed write is on stable storage (default: writeback)\n"
	"    ,io=sync|uring        requests that come at once: one by one, or under way at once\n"
	"                          (default: auto, which is uring with direct=on)\n"
	"    ,serve=vcpu           on the vCPU's own thread (default: loop)\n"
	"    ,queues=N ,bps=SIZE ,iops=N  queues (1); limits of bytes and operations a second\n"
	"    ,without=N:N...       virtio features, by number, that are not offered\n"
	"  --net tap=NAME[,mac=MAC]  network card on a tap of this host (eth0, eth1, ...)\n"
	"    socket=PATH or fd=N   instead of tap=: passt's socket; an open tap or stream socket\n"
	"    ,vhost=on             packets by this host's kernel, where it has vhost-net\n"
	"    ,serve=vcpu ,mtu=N ,queues=N ,bps=SIZE ,pps=N  limits are for each direction\n"
	"  --mem SIZE[,hugetlb]  guest memory: bytes, or with K, M, G (128M); from the host's\n"
	"                        reserved huge pages (vm.nr_hugepages)\n"
	"  --cpus N              virtual CPUs, 1 to 16 (1)\n"
	"  --cmdline TEXT        added to the kernel's command line\n"
	"  --console stdio|null|file:FILE  where COM1 goes (stdio)\n"
	"  --report text|json[:FILE]  the boot report, on standard error or in FILE\n"
	"  --timeout SECONDS     stop the VM after that long\n"
	"  --exit-port on|off    I/O port 0xf4 takes the application's exit status (on)\n"
	"  --seccomp on|off      confine the monitor by seccomp (on)\n"
	"  --check               examine this host and say what stops or slows a VM\n"
	"  --version, --help\n"
	"\n"
	"SIGTERM or SIGINT asks the guest to end (its init stops the application, whose status is\n"
	"then the exit status); a second one, or ten seconds, cuts its power.\n"
	"\n"
	"SIGUSR1: disks were made larger or smaller, or taps went down or up: the guest is told.\n"
	"\n"
	"Exit status: the application's; 128+N when signal N cut the power; or\n"
	"  200 wrong options   201 host or KVM   202 kernel file   203 guest memory\n"
	"  204 disk            205 network       206 initrd or command line\n"
	"  207 KVM failed while running          208 guest panic   209 triple fault\n"
	"  210 time-out        211 reset without a status          212 report file\n";

struct parser {
	struct options *options;
	char *why;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static int refuse(const struct parser *p, const char *format,
							...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->why, p->size, format, args);
	va_end(args);
	return -EINVAL;
}

/* Bytes, with an optional K, M, G or T. */
int options_parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	unsigned long long value;
	unsigned int shift = 0;
	char *end;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *text < '0' || *text > '9')
		return -EINVAL;
	if (*end) {
		const char *unit = strchr(units, *end);

		if (!unit || end[1])
			return -EINVAL;
		shift = 10 * ((unsigned int)(unit - units) + 1);
	}
	if (value > UINT64_MAX >> shift)
		return -EINVAL;
	*size = (uint64_t)value << shift;
	return 0;
}

static int parse_memory(const struct parser *p, const char *text)
{
	uint64_t *memory = &p->options->config.memory;
	const char *more = strchrnul(text, ',');
	char size[32];

	p->options->config.hugetlb = strcmp(more, ",hugetlb") == 0;
	if (*more && !p->options->config.hugetlb)
		return refuse(p, "--mem %s: only hugetlb may follow the size", text);
	const int length = snprintf(size, sizeof(size), "%.*s", (int)(more - text), text);
	if (length >= (int)sizeof(size) || options_parse_size(size, memory) < 0)
		return refuse(p, "--mem %s: not a size: give bytes, or a number with K, M or G",
			      text);
	if (!*memory)
		return refuse(p, "--mem %s: a guest needs memory", text);
	return 0;
}

static int parse_number(const char *text, unsigned long max, unsigned long *number)
{
	char *end;

	errno = 0;
	*number = strtoul(text, &end, 10);
	return errno || end == text || *end || *text < '0' || *text > '9' || *number > max ? -EINVAL
											   : 0;
}

static int parse_cpus(const struct parser *p, const char *text)
{
	unsigned long cpus;

	if (parse_number(text, LUPINE_MAX_CPUS, &cpus) < 0 || !cpus)
		return refuse(p, "--cpus %s: give a number from 1 to %d", text, LUPINE_MAX_CPUS);
	p->options->config.cpus = (unsigned int)cpus;
	return 0;
}

static int parse_timeout(const struct parser *p, const char *text)
{
	double seconds;
	char *end;

	seconds = strtod(text, &end);
	if (end == text || *end || !(seconds > 0) || seconds > 1e9)
		return refuse(p, "--timeout %s: give a number of seconds above 0", text);
	p->options->config.timeout = (uint64_t)(seconds * 1e9);
	return 0;
}

static int parse_switch(const struct parser *p, const char *option, const char *text, bool *on)
{
	*on = !strcmp(text, "on");
	return *on || !strcmp(text, "off") ? 0 : refuse(p, "--%s %s: on or off", option, text);
}

static int parse_device(const struct parser *p, const char *option, char *text)
{
	struct options *options = p->options;
	struct lupine_config *config = &options->config;
	const bool disk = !strcmp(option, "disk");
	char why[160];

	if (config->nr_disks + config->nr_nets == LUPINE_MAX_DEVICES)
		return refuse(p, "--%s %s: this machine has room for %d devices", option, text,
			      LUPINE_MAX_DEVICES);
	if ((disk ? device_options_disk(text, &options->disks[config->nr_disks++], why, sizeof(why))
		  : device_options_net(text, &options->nets[config->nr_nets++], why, sizeof(why))) <
	    0)
		return refuse(p, "--%s: %s", option, why);
	return 0;
}

static int parse_console(const struct parser *p, const char *text)
{
	struct options *options = p->options;

	if (!strcmp(text, "stdio")) {
		options->console = CONSOLE_STDIO;
	} else if (!strcmp(text, "null")) {
		options->console = CONSOLE_NULL;
	} else if (!strncmp(text, "file:", 5) && text[5]) {
		options->console = CONSOLE_FILE;
		options->console_file = text + 5;
	} else {
		return refuse(p, "--console %s: stdio, null or file:FILE", text);
	}
	return 0;
}

static int parse_report(const struct parser *p, const char *text)
{
	struct options *options = p->options;

	if (!strcmp(text, "text")) {
		options->report = REPORT_TEXT;
	} else if (!strcmp(text, "json") || (!strncmp(text, "json:", 5) && text[5])) {
		options->report = REPORT_JSON;
		options->report_file = text[4] ? text + 5 : NULL;
	} else {
		return refuse(p, "--report %s: text, json or json:FILE", text);
	}
	options->config.measure = true;
	return 0;
}

static int parse_bzimage(const struct parser *p, const char *text)
{
	p->options->config.enter_bzimage = !strcmp(text, "enter");
	return p->options->config.enter_bzimage || !strcmp(text, "unpack")
		       ? 0
		       : refuse(p, "--bzimage %s: unpack or enter", text);
}

enum {
	KERNEL = 256,
	BZIMAGE,
	INITRD,
	DISK,
	NET,
	MEM,
	CPUS,
	CMDLINE,
	CONSOLE,
	REPORT,
	TIMEOUT,
	EXIT_PORT,
	SECCOMP,
	CHECK,
	VERSION,
	HELP
};

static const struct option long_options[] = {
	{ "kernel", required_argument, NULL, KERNEL },
	{ "bzimage", required_argument, NULL, BZIMAGE },
	{ "initrd", required_argument, NULL, INITRD },
	{ "disk", required_argument, NULL, DISK },
	{ "net", required_argument, NULL, NET },
	{ "mem", required_argument, NULL, MEM },
	{ "cpus", required_argument, NULL, CPUS },
	{ "cmdline", required_argument, NULL, CMDLINE },
	{ "console", required_argument, NULL, CONSOLE },
	{ "report", required_argument, NULL, REPORT },
	{ "timeout", required_argument, NULL, TIMEOUT },
	{ "exit-port", required_argument, NULL, EXIT_PORT },
	{ "seccomp", required_argument, NULL, SECCOMP },
	{ "check", no_argument, NULL, CHECK },
	{ "version", no_argument, NULL, VERSION },
	{ "help", no_argument, NULL, HELP },
	{ NULL, 0, NULL, 0 },
};

static int parse_option(const struct parser *p, int option, char *value)
{
	struct options *options = p->options;
	bool on;
	int err;

	switch (option) {
	case KERNEL:
		options->config.kernel = value;
		return 0;
	case BZIMAGE:
		return parse_bzimage(p, value);
	case INITRD:
		options->config.initrd = value;
		return 0;
	case DISK:
		return parse_device(p, "disk", value);
	case NET:
		return parse_device(p, "net", value);
	case MEM:
		return parse_memory(p, value);
	case CPUS:
		return parse_cpus(p, value);
	case CMDLINE:
		options->config.cmdline = value;
		return 0;
	case CONSOLE:
		return parse_console(p, value);
	case REPORT:
		return parse_report(p, value);
	case TIMEOUT:
		return parse_timeout(p, value);
	case EXIT_PORT:
		err = parse_switch(p, "exit-port", value, &on);
		options->config.no_exit_port = !on;
		return err;
	case SECCOMP:
		err = parse_switch(p, "seccomp", value, &on);
		options->config.seccomp = on ? LUPINE_SECCOMP_ALL : LUPINE_SECCOMP_OFF;
		return err;
	case CHECK:
		options->action = ACTION_CHECK;
		return 0;
	case VERSION:
		options->action = ACTION_VERSION;
		return 0;
	case HELP:
		options->action = ACTION_HELP;
		return 0;
	default:
		return -EINVAL;
	}
}

int options_parse(int argc, char **argv, struct options *options, char *why, size_t size)
{
	const struct parser p = { options, why, size };
	int option;

	*options = (struct options){ .config.size = sizeof(options->config) };
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":", long_options, NULL)) != -1) {
		int err;

		if (option == ':')
			return refuse(&p, "%s needs a value: see --help", argv[optind - 1]);
		if (option == '?')
			return refuse(&p, "%s: unknown option: see --help", argv[optind - 1]);
		err = parse_option(&p, option, optarg);
		if (err)
			return err;
	}
	if (optind < argc)
		return refuse(&p, "%s: not an option: see --help", argv[optind]);
	if (options->action == ACTION_RUN && !options->config.kernel)
		return refuse(&p, "no kernel: --kernel FILE; see --help");
	options->config.disks = options->disks;
	options->config.disk_size = sizeof(options->disks[0]);
	options->config.nets = options->nets;
	options->config.net_size = sizeof(options->nets[0]);
	return 0;
}
