/* SPDX-License-Identifier: Apache-2.0 */
/* The init of the test guest: runs every program in /tests, reports, stops the machine. */
#include "test.h"
#include <dirent.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/resource.h>

static int run(const char *name, double limit)
{
	char path[300];
	snprintf(path, sizeof(path), "/tests/%s", name);
	fflush(stdout);
	pid_t pid = fork();
	if (!pid) {
		setpgid(0, 0);
		execl(path, name, (char *)NULL);
		_exit(127);
	}
	int status;
	double end = now() + limit;
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now() > end) {
			kill(-pid, SIGKILL);
			kill(pid, SIGKILL);
			waitpid(pid, &status, 0);
			return -1;
		}
		usleep(10000);
	}
	kill(-pid, SIGKILL); /* what it left behind */
	return status;
}

int main(void)
{
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("tmp", "/tmp", "tmpfs", 0, NULL);
	chdir("/tmp");
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (!getenv("KML"))
		setenv("KML", "on", 1);
	int failed = 0, passed = 0;
	const char *only = getenv("TESTS");
	double limit = getenv("KML_LIMIT") ? atof(getenv("KML_LIMIT")) : 180;

	const char *cpus = getenv("CPUS");
	if (cpus && atol(cpus) != sysconf(_SC_NPROCESSORS_ONLN)) {
		printf("FAIL: %ld CPUs, not %s\n", sysconf(_SC_NPROCESSORS_ONLN), cpus);
		failed++;
	}
	struct dirent **entries;
	int count = scandir("/tests", &entries, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		const char *name = entries[i]->d_name;
		if (name[0] == '.' || (only && !strstr(name, only)))
			continue;
		double start = now();
		int status = run(name, limit);
		bool skip = WIFEXITED(status) && WEXITSTATUS(status) == 77;
		bool ok = status == 0;
		if (skip)
			printf("skip %s\n", name);
		else if (ok)
			passed++, printf("ok %s (%.1f s)\n", name, now() - start);
		else
			failed++, printf("FAIL %s (%s, status 0x%x)\n", name,
					 status == -1 ? "timeout" : "exit", status);
	}
	printf("end: %d passed, %d failed\n", passed, failed);
	fflush(stdout);
	usleep(100000);
	ioperm(0xf4, 1, 1);
	outb((unsigned char)(failed ? 1 : 0), 0xf4);
	for (;;)
		pause();
}
