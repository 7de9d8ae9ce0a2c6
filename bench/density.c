// SPDX-License-Identifier: Apache-2.0
// density COUNT RESULTS PROGRAM ARGUMENT...: starts a program COUNT times, each when the guest of
// the one before is about to execute its application (a write of 2 to port 0xf5), leaves all of
// them running, and writes what each took and what memory the host has left. "%d" in an argument is
// the index. Ends them at the end.
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "tracefs.h"

enum { MAX_GUESTS = 1000, SECONDS = 120 };

static pid_t guests[MAX_GUESTS];
static int nr_guests;

static void end_all(void)
{
	for (int i = 0; i < nr_guests; i++)
		kill(guests[i], SIGKILL);
	while (wait(NULL) > 0)
		;
}

void die(const char *what)
{
	fprintf(stderr, "density: %s: %s\n", what, strerror(errno));
	end_all();
	exit(1);
}

static void too_late(int signal)
{
	static const char text[] = "density: a guest did not come up in time\n";

	(void)signal;
	(void)!write(2, text, sizeof(text) - 1);
	for (int i = 0; i < nr_guests; i++)
		kill(guests[i], SIGKILL);
	_exit(1);
}

static unsigned long long now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (unsigned long long)t.tv_sec * 1000000000u + (unsigned long long)t.tv_nsec;
}

static pid_t start(char **from, int index)
{
	static char text[MAX_ARGS][LINE];
	char *args[MAX_ARGS + 1];

	fill_index(from, args, text, index);
	const pid_t pid = vfork();
	if (pid < 0)
		die("vfork");
	if (!pid) {
		execv(args[0], args);
		_exit(127);
	}
	return pid;
}

// Reads the trace up to a guest's mark; the events of all who ran before are read already.
static void wait_for(FILE *trace, const char *mark)
{
	static char line[1024];

	while (fgets(line, sizeof(line), trace))
		if (strstr(line, mark))
			return;
	die("trace_pipe");
}

int main(int argc, char **argv)
{
	const int count = argc > 3 ? atoi(argv[1]) : 0;

	if (count < 2 || count > MAX_GUESTS || argc - 3 > MAX_ARGS) {
		fprintf(stderr, "usage: density COUNT RESULTS PROGRAM ARGUMENT...\n");
		return 2;
	}
	tracefs_mount();
	tracefs_set("events/enable", "0");
	tracefs_set("trace", "");
	tracefs_set("trace_clock", "mono");
	tracefs_set("events/kvm/kvm_pio/filter", "port==0xf5");
	tracefs_set("events/kvm/kvm_pio/enable", "1");
	tracefs_set("tracing_on", "1");
	FILE *out = fopen(argv[2], "we"), *trace = fopen(TRACEFS "/trace_pipe", "re");
	if (!out || !trace)
		die(out ? "trace_pipe" : argv[2]);
	signal(SIGALRM, too_late);

	// A first one, for the host's caches, is not counted, and goes again.
	for (int i = -1; i < count; i++) {
		alarm(SECONDS);
		const unsigned long long begin = now();
		guests[nr_guests++] = start(argv + 3, i < 0 ? count : i);
		wait_for(trace, "val 0x1");
		const unsigned long long init = now();
		wait_for(trace, "val 0x2");
		const unsigned long long application = now();
		if (i < 0) {
			end_all();
			nr_guests = 0;
		} else {
			fprintf(out, "guest %d %llu %llu %llu\n", i, begin, init - begin,
				application - begin);
		}
		// What the others add to the first: no memory of before is given back meanwhile.
		if (i == 0)
			copy_lines(out, "/proc/meminfo", "before ");
	}
	alarm(0);
	copy_lines(out, "/proc/meminfo", "after ");
	for (int i = 0; i < count; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)guests[i]);
		copy_lines(out, path, "rollup ");
	}
	end_all();
	return fclose(out) ? 1 : 0;
}
