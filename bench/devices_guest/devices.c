/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of bench/devices. In the guest, process 1's application: does what "bench=TEST:COUNT"
 * on the kernel's command line says. "devices peer ADDRESS" on the host: the other end of the
 * network tests, which also reads KVM's counters when the guest says that its operations begin and
 * end. "devices marks ADDRESS" does so when it reads the lines "begin" and "end" (bench/devices
 * --tools), and prints all others.
 *
 * Disk tests work on /dev/vdb, past the guest's page cache: read and write of 4 KiB at random, by
 * one (-1) or by 32 at once (-32), and of 1 MiB in sequence (-seq). Network tests: rr, one byte
 * there and one back; send and receive, COUNT times 64 KiB.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PORT	       7777
#define SMALL	       4096u
#define LARGE	       (1u << 20)
#define CHUNK	       65536u
#define DEPTH	       32u
#define COUNTER_FOLDER "/sys/kernel/debug/kvm/"

static char buffer[LARGE] __attribute__((aligned(4096)));

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void all(int fd, void *bytes, size_t len, bool out)
{
	while (len > 0) {
		const ssize_t n = out ? write(fd, bytes, len) : read(fd, bytes, len);

		if (n <= 0)
			die(out ? "write" : "read");
		bytes = (char *)bytes + n;
		len -= (size_t)n;
	}
}

/* --- The guest --- */

static off_t at_random(uint32_t *seed, uint64_t size)
{
	*seed = *seed * 1664525 + 1013904223;
	return (off_t)((*seed >> 4) % (size / SMALL) * SMALL);
}

static void blocks_one_by_one(int disk, uint64_t size, bool write, uint32_t length,
			      unsigned long count)
{
	uint32_t seed = 1;

	for (unsigned long i = 0; i < count; i++) {
		const off_t at = length == SMALL ? at_random(&seed, size)
						 : (off_t)(i * length % (size - length + 1));
		const ssize_t n =
			write ? pwrite(disk, buffer, length, at) : pread(disk, buffer, length, at);

		if (n != (ssize_t)length)
			die("disk");
	}
}

struct worker {
	pthread_t thread;
	int disk;
	uint64_t size;
	bool write;
	unsigned long count;
	char *memory;
	uint32_t seed;
};

static void *work(void *argument)
{
	struct worker *w = argument;

	for (unsigned long i = 0; i < w->count; i++) {
		const off_t at = at_random(&w->seed, w->size);
		const ssize_t n = w->write ? pwrite(w->disk, w->memory, SMALL, at)
					   : pread(w->disk, w->memory, SMALL, at);

		if (n != (ssize_t)SMALL)
			die("disk");
	}
	return NULL;
}

/* By threads, because a kernel for one application need not have asynchronous I/O. */
static void blocks_at_once(int disk, uint64_t size, bool write, unsigned long count)
{
	static struct worker workers[DEPTH];

	for (unsigned int i = 0; i < DEPTH; i++) {
		workers[i] = (struct worker){ .disk = disk,
					      .size = size,
					      .write = write,
					      .count = count / DEPTH,
					      .memory = buffer + i * SMALL,
					      .seed = i + 1 };
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
			die("thread");
	}
	for (unsigned int i = 0; i < DEPTH; i++)
		pthread_join(workers[i].thread, NULL);
}

static bool disk_test(const char *test, unsigned long count)
{
	const bool write = !strncmp(test, "write", 5);
	uint64_t size;

	if (!write && strncmp(test, "read", 4))
		return false;
	const int disk = open("/dev/vdb", O_RDWR | O_DIRECT);
	if (disk < 0)
		die("/dev/vdb");
	size = (uint64_t)lseek(disk, 0, SEEK_END);
	test = strchr(test, '-');
	if (!strcmp(test, "-32"))
		blocks_at_once(disk, size, write, count);
	else
		blocks_one_by_one(disk, size, write, strcmp(test, "-seq") ? SMALL : LARGE, count);
	close(disk);
	return true;
}

static void net_test(const char *test, int peer, unsigned long count)
{
	char byte = 'x';

	for (unsigned long i = 0; i < count; i++)
		if (!strcmp(test, "rr")) {
			all(peer, &byte, 1, true);
			all(peer, &byte, 1, false);
		} else {
			all(peer, buffer, CHUNK, !strcmp(test, "send"));
		}
	if (!strcmp(test, "send"))
		all(peer, &byte, 1, false); /* it all arrived */
}

static int dial(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	const int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	inet_aton(address, &to.sin_addr);
	for (int tries = 0; connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0; tries++) {
		if (tries == 50)
			die("connect");
		usleep(100000);
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

/* What the other end must know. */
struct plan {
	char test[16];
	uint64_t count;
};

static void guest(void)
{
	char line[1024] = "";
	struct plan plan = { 0 };
	uint64_t elapsed;
	const int cmdline = open("/proc/cmdline", O_RDONLY);

	if (cmdline < 0 || read(cmdline, line, sizeof(line) - 1) < 0)
		die("/proc/cmdline");
	const char *bench = strstr(line, "bench=");
	if (!bench || sscanf(bench, "bench=%15[^:]:%lu", plan.test, &plan.count) != 2)
		die("bench=");
	const int peer = dial("10.0.2.1");
	/* Once for nothing: caches, page tables, connections. Then measured. */
	for (int round = 0; round < 2; round++) {
		struct plan part = plan;

		if (round == 0)
			part.count = part.count / 8;
		all(peer, &part, sizeof(part), true);
		all(peer, line, 1, false); /* the counters are read */
		const uint64_t start = now();
		if (!disk_test(part.test, part.count))
			net_test(part.test, peer, part.count);
		elapsed = now() - start;
		all(peer, &elapsed, sizeof(elapsed), true);
		all(peer, line, 1, false);
	}
}

/* --- The host --- */

static void serve_test(int guest, const struct plan *plan)
{
	char byte = 'y';

	for (uint64_t i = 0; i < plan->count; i++)
		if (!strcmp(plan->test, "rr")) {
			all(guest, &byte, 1, false);
			all(guest, &byte, 1, true);
		} else if (!strcmp(plan->test, "send")) {
			all(guest, buffer, CHUNK, false);
		} else if (!strcmp(plan->test, "receive")) {
			all(guest, buffer, CHUNK, true);
		} else {
			return; /* a disk's */
		}
	if (!strcmp(plan->test, "send"))
		all(guest, &byte, 1, true);
}

static const char *const counter_names[] = { "exits",	       "mmio_exits", "io_exits",
					     "irq_injections", "irq_exits",  "halt_exits",
					     "signal_exits",   "fpu_reload" };
#define COUNTERS (sizeof(counter_names) / sizeof(counter_names[0]))

static void read_counters(long long *values)
{
	for (size_t i = 0; i < COUNTERS; i++) {
		char path[96], text[32] = "";

		snprintf(path, sizeof(path), COUNTER_FOLDER "%s", counter_names[i]);
		const int fd = open(path, O_RDONLY);
		values[i] = -1;
		if (fd < 0)
			continue;
		if (read(fd, text, sizeof(text) - 1) > 0)
			values[i] = atoll(text);
		close(fd);
	}
}

static int await_guest(const char *address)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	const int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

	inet_aton(address, &at.sin_addr);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 || listen(listener, 1) < 0)
		die(address);
	const int guest = accept(listener, NULL, NULL);
	if (guest < 0)
		die("accept");
	setsockopt(guest, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return guest;
}

static void print_part(uint64_t elapsed, const long long *before, const long long *after)
{
	printf("\"ns\": %llu", (unsigned long long)elapsed);
	for (size_t i = 0; i < COUNTERS; i++)
		if (before[i] >= 0)
			printf(", \"%s\": %lld", counter_names[i], after[i] - before[i]);
	printf("}\n");
}

static void peer(const char *address)
{
	long long before[COUNTERS], after[COUNTERS];
	struct plan plan;
	uint64_t elapsed;
	const int guest = await_guest(address);

	for (int round = 0; round < 2; round++) {
		all(guest, &plan, sizeof(plan), false);
		read_counters(before);
		all(guest, buffer, 1, true);
		serve_test(guest, &plan);
		all(guest, &elapsed, sizeof(elapsed), false);
		read_counters(after);
		all(guest, buffer, 1, true);
	}
	printf("{\"test\": \"%s\", \"count\": %llu, ", plan.test, (unsigned long long)plan.count);
	print_part(elapsed, before, after);
}

static void marks(const char *address)
{
	long long before[COUNTERS], after[COUNTERS];
	uint64_t start = 0;
	char line[1024], answer = '\n';
	const int guest = await_guest(address);
	FILE *said = fdopen(guest, "r");

	setvbuf(stdout, NULL, _IOLBF, 0); /* it is killed when the guest has ended */
	while (said && fgets(line, sizeof(line), said)) {
		if (!strcmp(line, "begin\n")) {
			read_counters(before);
			start = now();
			all(guest, &answer, 1, true);
		} else if (start && !strcmp(line, "end\n")) {
			const uint64_t end = now();

			read_counters(after);
			all(guest, &answer, 1, true);
			printf("{");
			print_part(end - start, before, after);
		} else {
			fputs(line, stdout);
		}
	}
}

int main(int argc, char **argv)
{
	memset(buffer, 'b', sizeof(buffer));
	if (argc == 3 && !strcmp(argv[1], "peer"))
		peer(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "marks"))
		marks(argv[2]);
	else
		guest();
	return 0;
}
