/* SPDX-License-Identifier: Apache-2.0 */
/* An application for the boot tests: does what "lupine_test=NAME" on the kernel's command line
 * says. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define BLKDISCARD _IO(0x12, 119) /* linux/fs.h, which musl does not have */
#define BLKZEROOUT _IO(0x12, 127)

#define NET_PORT  7777
#define NET_TOTAL (4u << 20) /* bytes each way */

static int fail(const char *what)
{
	printf("behave: %s: %s\n", what, strerror(errno));
	return 1;
}

static int status(void)
{
	return 42;
}

static int die(void)
{
	return raise(SIGKILL);
}

static int hang(void)
{
	while (pause() < 0)
		;
	return 0;
}

static int stubborn(void)
{
	signal(SIGTERM, SIG_IGN);
	printf("ready\n");
	fflush(stdout);
	return hang();
}

/* Ends itself when it is asked to. */
static int graceful(void)
{
	sigset_t set;
	int number;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	printf("ready\n");
	fflush(stdout);
	sigwait(&set, &number);
	printf("asked to end\n");
	return 17;
}

/* Without a console, files 0 to 2 are there all the same, so that no other file becomes them. */
static int nowhere(void)
{
	const int next = open("/proc/version", O_RDONLY);

	return write(STDOUT_FILENO, "x", 1) == 1 && next > STDERR_FILENO ? 23 : 1;
}

static int cpus(void)
{
	printf("cpus %ld\n", sysconf(_SC_NPROCESSORS_ONLN));
	return 0;
}

/* The seed handed over at boot must have made the CRNG ready already. */
static int seeded(void)
{
	uint64_t value = 0;

	if (getrandom(&value, sizeof(value), GRND_NONBLOCK) != sizeof(value))
		return fail("getrandom");
	printf("random %016llx\n", (unsigned long long)value);
	return 0;
}

/* Sleeping works without a PIT, an RTC or ACPI. */
static int sleep_a_little(void)
{
	const struct timespec wish = { 0, 50 * 1000 * 1000 };
	struct timespec before, after;

	clock_gettime(CLOCK_MONOTONIC, &before);
	nanosleep(&wish, NULL);
	clock_gettime(CLOCK_MONOTONIC, &after);
	const int64_t slept =
		(after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec;
	printf("slept %s\n", slept >= wish.tv_nsec ? "enough" : "too little");
	return slept >= wish.tv_nsec ? 0 : 1;
}

static int console_flood(void)
{
	for (int i = 0; i < 2000; i++)
		printf("line %d\n", i);
	return 0;
}

static int read_console(void)
{
	char line[1024];

	printf("ready\n");
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return fail("console");
	printf("got %s", line);
	return 0;
}

static void fill(uint8_t *block, uint64_t number)
{
	for (int i = 0; i < 4096; i++)
		block[i] = (uint8_t)(number * 31 + (uint64_t)i);
}

/* Writes vdb from end to end, flushes, reads it back; vdc is read-only and must refuse. */
static int disks(void)
{
	static uint8_t block[4096], expected[4096];
	const int fd = open("/dev/vdb", O_RDWR), ro = open("/dev/vdc", O_RDONLY);
	uint64_t blocks;

	if (fd < 0 || ro < 0)
		return fail("open");
	const off_t size = lseek(fd, 0, SEEK_END);
	blocks = (uint64_t)size / sizeof(block);
	printf("vdb %lld vdc %lld\n", (long long)size, (long long)lseek(ro, 0, SEEK_END));
	for (uint64_t i = 0; i < blocks; i++) {
		fill(block, i);
		if (pwrite(fd, block, sizeof(block), (off_t)(i * sizeof(block))) != sizeof(block))
			return fail("write");
	}
	if (fsync(fd))
		return fail("fsync");
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	for (uint64_t i = 0; i < blocks; i++) {
		fill(expected, i);
		if (pread(fd, block, sizeof(block), (off_t)(i * sizeof(block))) != sizeof(block))
			return fail("read");
		if (memcmp(block, expected, sizeof(block))) {
			printf("block %llu differs\n", (unsigned long long)i);
			return 1;
		}
	}
	/* Kernels differ in where they refuse. */
	const int refused = open("/dev/vdc", O_RDWR);
	if (refused >= 0 && pwrite(refused, block, sizeof(block), 0) >= 0) {
		printf("vdc was written\n");
		return 1;
	}
	printf("disks are right\n");
	return 0;
}

/* vdb: a range zeroed, another discarded, the rest as it was. */
static int clear(void)
{
	static uint8_t block[4096] __attribute__((aligned(4096)));
	uint64_t zero[2] = { 1 << 20, 1 << 20 }, discard[2] = { 4 << 20, 1 << 20 };
	const int fd = open("/dev/vdb", O_RDWR | O_DIRECT);

	if (fd < 0 || ioctl(fd, BLKZEROOUT, zero) || ioctl(fd, BLKDISCARD, discard))
		return fail("clear");
	for (uint64_t at = 0; at < 4 << 20; at += sizeof(block)) {
		if (pread(fd, block, sizeof(block), (off_t)at) != sizeof(block))
			return fail("read");
		if (block[7] != (at >= zero[0] && at < zero[0] + zero[1] ? 0 : 'x')) {
			printf("byte %llu differs\n", (unsigned long long)at + 7);
			return 1;
		}
	}
	printf("cleared\n");
	return 0;
}

#define GROUP 4u

/*
 * Numbered records to vdb, one a block, round and round, until the power is cut. An fsync is for a
 * group of them, in blocks that lie apart, so that the device gets several writes at once; the last
 * is told when it has returned. Goes on with the group of the highest that is there.
 */
static int records(void)
{
	static uint64_t block[512];
	const int fd = open("/dev/vdb", O_RDWR);
	uint64_t number = 0;

	if (fd < 0)
		return fail("open");
	const uint64_t blocks = (uint64_t)lseek(fd, 0, SEEK_END) / sizeof(block);
	for (uint64_t i = 0; i < blocks; i++) {
		if (pread(fd, block, sizeof(block), (off_t)(i * sizeof(block))) != sizeof(block))
			return fail("read");
		if (block[0] > number)
			number = block[0];
	}
	printf("from %llu\n", (unsigned long long)number);
	if (number > 0)
		number = (number - 1) / GROUP * GROUP;
	for (;;) {
		for (unsigned int left = GROUP; left > 0; left--) {
			const uint64_t at = ++number * 5 % blocks;

			for (int i = 0; i < 512; i++)
				block[i] = number;
			if (pwrite(fd, block, sizeof(block), (off_t)(at * sizeof(block))) !=
			    sizeof(block))
				return fail("write");
		}
		if (fsync(fd))
			return fail("fsync");
		printf("record %llu\n", (unsigned long long)number);
		fflush(stdout);
	}
}

#define FILES 64

static uint64_t read_number(const char *path)
{
	const int fd = open(path, O_RDONLY);
	uint64_t number = 0;

	if (fd < 0 || read(fd, &number, sizeof(number)) != sizeof(number))
		number = 0;
	close(fd);
	return number;
}

/* Writes a file of records, all of @number, and gives it its name; 0 when that is on the disk. */
static int keep_number(int folder, const char *path, uint64_t number)
{
	static uint64_t records[1024];
	const int fd = open("new", O_WRONLY | O_CREAT | O_TRUNC, 0666);

	for (int i = 0; i < 1024; i++)
		records[i] = number;
	if (fd < 0 || write(fd, records, sizeof(records)) != sizeof(records) || fsync(fd))
		return fail("write");
	close(fd);
	return rename("new", path) || fsync(folder) ? fail("rename") : 0;
}

/*
 * The same as records, in files of an ext4 on vdb: number N goes to file N % FILES. Tells at first
 * what each file has.
 */
static int files(void)
{
	uint64_t number = 0;
	char path[16];

	if (mkdir("/dev/fs", 0777) || mount("/dev/vdb", "/dev/fs", "ext4", 0, "") ||
	    chdir("/dev/fs"))
		return fail("mount");
	const int folder = open(".", O_RDONLY);
	for (int i = 0; i < FILES; i++) {
		snprintf(path, sizeof(path), "%d", i);
		const uint64_t last = read_number(path);
		printf("file %d has %llu\n", i, (unsigned long long)last);
		number = last > number ? last : number;
	}
	printf("from %llu\n", (unsigned long long)number);
	for (;;) {
		number++;
		snprintf(path, sizeof(path), "%d", (int)(number % FILES));
		if (keep_number(folder, path, number))
			return 1;
		printf("record %llu\n", (unsigned long long)number);
		fflush(stdout);
	}
}

/* Whether eth0 has a carrier, or -1. */
static int carrier(void)
{
	struct ifreq ifr = { .ifr_name = "eth0" };
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);
	const int failed = ioctl(fd, SIOCGIFFLAGS, &ifr);

	close(fd);
	return failed ? -1 : (ifr.ifr_flags & IFF_RUNNING) != 0;
}

static off_t size_of_vdb(void)
{
	const int fd = open("/dev/vdb", O_RDONLY);
	const off_t size = lseek(fd, 0, SEEK_END);

	close(fd);
	return size;
}

/* Tells the size of vdb and eth0's carrier, and each change of them, until the disk has 3 MiB. */
static int watch(void)
{
	off_t size = -1;
	int up = -1;

	while (size != 3 << 20) {
		const off_t new_size = size_of_vdb();
		const int new_up = carrier();

		if (new_size != size)
			printf("vdb has %lld\n", (long long)new_size);
		if (new_up != up)
			printf("link %s\n", new_up ? "up" : "down");
		fflush(stdout);
		size = new_size;
		up = new_up;
		usleep(20000);
	}
	return 0;
}

/* What the host makes of it: an error, once, then as before. */
static int disk_errors(void)
{
	static uint8_t block[4096] __attribute__((aligned(4096)));
	const int fd = open("/dev/vdb", O_RDWR | O_DIRECT);
	const off_t end = lseek(fd, 0, SEEK_END) - (off_t)sizeof(block);
	char go;

	for (int round = 0; round < 3; round++) {
		const ssize_t in = pread(fd, block, sizeof(block), end);

		printf("read %s\n", in == sizeof(block) ? "right" : strerror(errno));
		const ssize_t out = pwrite(fd, block, sizeof(block), end);
		printf("write %s\n", out == sizeof(block) ? "right" : strerror(errno));
		fflush(stdout);
		if (round < 2 && read(STDIN_FILENO, &go, 1) != 1)
			return fail("console");
	}
	return 0;
}

static int mtu(void)
{
	struct ifreq ifr = { .ifr_name = "eth0" };
	const int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFMTU, &ifr))
		return fail("mtu");
	printf("mtu %d\n", ifr.ifr_mtu);
	return 0;
}

static int send_all(int fd)
{
	static uint8_t chunk[65536];
	size_t sent = 0;
	int unsent;

	for (size_t i = 0; i < sizeof(chunk); i++)
		chunk[i] = (uint8_t)(i % 251);
	while (sent < NET_TOTAL) {
		const size_t at = sent % sizeof(chunk);
		const ssize_t n = write(fd, chunk + at, sizeof(chunk) - at);

		if (n <= 0)
			return fail("send");
		sent += (size_t)n;
	}
	if (shutdown(fd, SHUT_WR))
		return fail("shutdown");
	/* What the other end has not acknowledged yet goes with this machine. */
	while (ioctl(fd, TIOCOUTQ, &unsent) == 0 && unsent > 0)
		usleep(10000);
	return 0;
}

static int receive_all(int fd)
{
	static uint8_t chunk[65536];
	size_t got = 0;
	ssize_t n;

	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		for (ssize_t i = 0; i < n; i++, got++)
			if (chunk[i] != (uint8_t)(got % 65536 % 251)) {
				printf("byte %zu differs\n", got);
				return 1;
			}
	printf("received %zu\n", got);
	return n < 0 || got != NET_TOTAL;
}

/* Out: connects to the host, sends, then receives as much. */
static int net_out(void)
{
	struct sockaddr_in host = { .sin_family = AF_INET, .sin_port = htons(NET_PORT) };
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, "10.77.0.1", &host.sin_addr);
	if (fd < 0 || connect(fd, (struct sockaddr *)&host, sizeof(host)))
		return fail("connect");
	return send_all(fd) || receive_all(fd);
}

/* In: the host connects, sends, then receives as much. */
static int net_in(void)
{
	const struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(NET_PORT) };
	const int listener = socket(AF_INET, SOCK_STREAM, 0);

	if (listener < 0 || bind(listener, (const struct sockaddr *)&any, sizeof(any)) ||
	    listen(listener, 1))
		return fail("listen");
	printf("listening\n");
	fflush(stdout);
	const int fd = accept(listener, NULL, NULL);
	if (fd < 0)
		return fail("accept");
	return receive_all(fd) || send_all(fd);
}

/* The same behind passt, which (2023-03-09) knows a guest's address only from a TCP packet of it.
 */
static int net_greet(void)
{
	struct sockaddr_in host = { .sin_family = AF_INET, .sin_port = htons(1) };
	const int fd = socket(AF_INET, SOCK_STREAM, 0);

	inet_pton(AF_INET, "10.77.0.1", &host.sin_addr);
	if (fcntl(fd, F_SETFL, O_NONBLOCK) ||
	    (connect(fd, (struct sockaddr *)&host, sizeof(host)) && errno != EINPROGRESS))
		return fail("greeting");
	usleep(200000);
	close(fd);
	return net_in();
}

static const struct {
	const char *name;
	int (*run)(void);
} behaviours[] = {
	{ "status", status },
	{ "die", die },
	{ "hang", hang },
	{ "stubborn", stubborn },
	{ "graceful", graceful },
	{ "nowhere", nowhere },
	{ "cpus", cpus },
	{ "seeded", seeded },
	{ "sleep", sleep_a_little },
	{ "flood", console_flood },
	{ "read", read_console },
	{ "disks", disks },
	{ "clear", clear },
	{ "records", records },
	{ "files", files },
	{ "mtu", mtu },
	{ "watch", watch },
	{ "errors", disk_errors },
	{ "net_out", net_out },
	{ "net_in", net_in },
	{ "net_greet", net_greet },
};

int main(void)
{
	char cmdline[4096] = "";
	FILE *file = fopen("/proc/cmdline", "r");

	if (!file || !fgets(cmdline, sizeof(cmdline), file))
		return fail("/proc/cmdline");
	const char *name = strstr(cmdline, "lupine_test=");
	for (size_t i = 0; name && i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
		const size_t length = strlen(behaviours[i].name);

		if (!strncmp(name + 12, behaviours[i].name, length) &&
		    strchr(" \n", name[12 + length]))
			return behaviours[i].run();
	}
	printf("behave: no lupine_test=NAME that is known\n");
	return 2;
}
