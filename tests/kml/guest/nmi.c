/* SPDX-License-Identifier: Apache-2.0 */
/* System calls, page faults and timers on CPU 0 while nmi_flood.ko makes CPU 1 send it NMIs, each
 * with a page fault in its handler. All results stay right; with NMI=control the guest has to
 * break.
 */
#include "test.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/time.h>

/* Page faults of user code. */
static void touch(long rounds)
{
	unsigned long *p = map_pages(16, PROT_READ | PROT_WRITE);
	for (long i = 0; i < rounds; i++) {
		for (unsigned j = 0; j < 16; j++) {
			CHECK(p[j * 512] == 0);
			p[j * 512] = (unsigned long)i + j;
		}
		for (unsigned j = 0; j < 16; j++)
			CHECK(p[j * 512] == (unsigned long)i + j);
		CHECK(!madvise(p, 16 * 4096, MADV_DONTNEED));
	}
	munmap(p, 16 * 4096);
}

/* Page faults of the kernel, in copy_to_user(). */
static void copy(long rounds)
{
	int fd = open("/proc/self/exe", O_RDONLY);
	CHECK(fd >= 0);
	char *p = map_pages(16, PROT_READ | PROT_WRITE);
	for (long i = 0; i < rounds; i++) {
		CHECK(pread(fd, p, 16 * 4096, 0) == 16 * 4096);
		CHECK(!memcmp(p, "\177ELF", 4));
		CHECK(!madvise(p, 16 * 4096, MADV_DONTNEED));
	}
	close(fd);
}

static void call(long rounds)
{
	pid_t parent = getppid();
	for (long i = 0; i < rounds; i++) {
		CHECK(syscall(SYS_getppid) == parent);
		if (kml_on())
			CHECK(direct_call(SYS_getppid, 0, 0, 0, 0, 0, 0) == parent);
	}
}

static void work(double end)
{
	cpu_set_t first;
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	CHECK(!sched_setaffinity(0, sizeof(first), &first));
	on_signal(SIGALRM, count_tick, SA_RESTART);
	struct itimerval fast = { { 0, 1000 }, { 0, 1000 } };
	CHECK(!setitimer(ITIMER_REAL, &fast, NULL));
	while (now() < end) {
		touch(20);
		copy(5);
		call(2000);
		run_lookalikes(20000);
	}
	CHECK(ticks_seen > 10);
	_exit(0);
}

static long parameter(const char *name)
{
	char path[100], text[32] = "";
	snprintf(path, sizeof(path), "/sys/module/nmi_flood/parameters/%s", name);
	int fd = open(path, O_RDONLY);
	CHECK(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return atol(text);
}

int main(void)
{
	const char *what = getenv("NMI");
	if (!what)
		return 77;
	int fd = open("/nmi_flood.ko", O_RDONLY);
	CHECK(fd >= 0);
	CHECK(!syscall(SYS_finit_module, fd, strcmp(what, "control") ? "" : "control=1", 0));
	printf("# the flood begins\n");
	fflush(stdout);
	double end = now() + test_seconds();
	for (int i = 0; i < 2; i++)
		if (!fork())
			work(end);
	int status;
	for (int i = 0; i < 2; i++)
		CHECK(wait(&status) > 0 && status == 0);
	fd = open("/sys/module/nmi_flood/parameters/stop", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "1", 1) == 1);
	long handled = parameter("handled"), in_window = parameter("in_window");
	printf("# %ld NMIs with a page fault, %ld of them on the KML stack\n", handled, in_window);
	CHECK(handled > 100);
	CHECK(kml_on() ? in_window > 10 : in_window == 0);
	return 0;
}
