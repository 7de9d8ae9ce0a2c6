// SPDX-License-Identifier: Apache-2.0
// launch: runs the programs of a plan one after the other, or a group of them at once, and writes
// what the kernel saw of each: time stamps, faults, trace, memory map. One ruler for every monitor:
// KVM's own tracepoints tell when a guest first runs and when it writes a marker port, so nothing
// of the measured program is changed or asked.
//
// While a program is measured this one sleeps in wait4(): on the rig's single CPU it costs nothing.
//
// Plan, one word of an argument vector a line:     Results, one item a line:
//   run MODE COUNT NAME                              run MODE INDEX NAME
//   set FILE TEXT   (tracefs; before the run)        stamp WHAT TSC, count WHAT N
//   arg TEXT        ("%d" is the index)              tT: trace, sT: smaps, eT: standard error
//   ask TAP ADDRESS PORT HEX   (ends it when the application at ADDRESS answers these bytes)
//   go TIMEOUT
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include "launch.h"
#include "tracefs.h"

enum { MAX_SETS = 64, MAX_GROUP = 256 };

struct plan {
	char mode[16], name[64];
	int count, nr_args, nr_sets;
	struct ask ask; // of port 0: nothing is asked
	char *args[MAX_ARGS + 1], *sets[MAX_SETS];
};

static pid_t running[MAX_GROUP];
static volatile int nr_running;
static volatile sig_atomic_t late;

void die(const char *what)
{
	fprintf(stderr, "launch: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void time_out(int signal)
{
	(void)signal;
	late = 1;
	for (int i = 0; i < nr_running; i++)
		if (running[i] > 0)
			kill(running[i], SIGKILL);
}

static void stamp_clock(FILE *out)
{
	struct timespec now;
	const uint64_t before = __rdtsc();

	clock_gettime(CLOCK_MONOTONIC, &now);
	const uint64_t after = __rdtsc();
	fprintf(out, "clock %llu %llu\n", (unsigned long long)(before + (after - before) / 2),
		(unsigned long long)now.tv_sec * 1000000000ull + (unsigned long long)now.tv_nsec);
}

// FILE of tracefs and TEXT; a leading '?' of FILE: it may fail (an event this kernel lacks).
static void apply(const char *setting)
{
	char file[512];
	const char *text = strchr(setting, ' ');
	const int optional = *setting == '?';

	if (!text)
		return;
	snprintf(file, sizeof(file), "%.*s", (int)(text - setting - optional), setting + optional);
	if (!tracefs_write(file, text + 1) && !optional)
		die(file);
}

// Mode "calls": events of this process and its threads alone.
static void trace_only_me(void)
{
	char setting[64];

	snprintf(setting, sizeof(setting), "set_event_pid %d", (int)getpid());
	apply(setting);
}

// In the child, which shares our memory until it executes (vfork).
static void become(char *const *argv, const char *log, const char *mode, volatile uint64_t *started)
{
	const int null = open("/dev/null", O_RDWR);
	const int err = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	dup2(null, 0);
	dup2(null, 1);
	dup2(err, 2);
	if (null > 2)
		close(null);
	if (err > 2)
		close(err);
	if (!strcmp(mode, "memory"))
		memory_trace_me();
	if (!strcmp(mode, "calls"))
		trace_only_me();
	*started = __rdtsc();
	execv(argv[0], argv);
	_exit(127);
}

static void start(const struct plan *plan, int index, volatile uint64_t *started)
{
	static char text[MAX_ARGS][LINE], log[64];
	char *args[MAX_ARGS + 1];

	fill_index(plan->args, args, text, index);
	snprintf(log, sizeof(log), "/tmp/launch-%d.err", index);
	const pid_t pid = vfork();
	if (pid < 0)
		die("vfork");
	if (!pid)
		become(args, log, plan->mode, started);
	running[index] = pid;
	nr_running = index + 1;
}

static void put(FILE *out, const char *what, unsigned long long value)
{
	fprintf(out, "%s %llu\n", what, value);
}

static void put_end(FILE *out, const struct plan *plan, int index, pid_t pid, uint64_t started,
		    uint64_t ended, int status, const struct rusage *usage)
{
	char log[64];

	fprintf(out, "run %s %d %s\n", plan->mode, index, plan->name);
	put(out, "count pid", (unsigned long long)pid);
	put(out, "stamp exec", started);
	put(out, "stamp end", ended);
	put(out, "count status",
	    WIFEXITED(status) ? (unsigned)WEXITSTATUS(status) : 128u + (unsigned)WTERMSIG(status));
	put(out, "count late", late ? 1 : 0);
	put(out, "count minor_faults", (unsigned long long)usage->ru_minflt);
	put(out, "count major_faults", (unsigned long long)usage->ru_majflt);
	put(out, "count max_rss", (unsigned long long)usage->ru_maxrss << 10);
	put(out, "count switches", (unsigned long long)(usage->ru_nvcsw + usage->ru_nivcsw));
	snprintf(log, sizeof(log), "/tmp/launch-%d.err", index);
	copy_lines(out, log, "e");
}

static bool parse_ask(const char *words, struct ask *ask)
{
	char hex[sizeof(ask->text) * 2];

	if (sscanf(words, "%15s %15s %d %511s", ask->tap, ask->address, &ask->port, hex) != 4 ||
	    ask->port < 1 || ask->port > 65535)
		return false;
	for (ask->length = 0; hex[2 * ask->length]; ask->length++)
		if (sscanf(hex + 2 * ask->length, "%2hhx",
			   (unsigned char *)&ask->text[ask->length]) != 1 ||
		    !hex[2 * ask->length + 1])
			return false;
	return ask->length > 0;
}

static void run(const struct plan *plan, unsigned int timeout, FILE *out)
{
	static uint64_t started[MAX_GROUP], ended[MAX_GROUP];
	static struct rusage usage[MAX_GROUP];
	static int status[MAX_GROUP];
	static pid_t pids[MAX_GROUP];

	apply("tracing_on 0");
	apply("events/enable 0");
	apply("trace 0");
	for (int i = 0; i < plan->nr_sets; i++)
		apply(plan->sets[i]);
	fprintf(out, "group %s %d %s\n", plan->mode, plan->count, plan->name);
	stamp_clock(out);
	fflush(out);
	late = 0;
	nr_running = 0;
	if (!strcmp(plan->mode, "profile"))
		profile_wait("begin");
	apply(strcmp(plan->mode, "profile") ? "tracing_on 1" : "tracing_on 0");
	if (plan->ask.port)
		ask_begin(&plan->ask);
	alarm(timeout);
	for (int i = 0; i < plan->count; i++)
		start(plan, i, &started[i]);
	if (plan->ask.port)
		ask_about(running[0]);
	memcpy(pids, running, sizeof(pids));
	for (int left = plan->count; left; left--) {
		struct rusage used;
		int how = 0;
		const pid_t pid = strcmp(plan->mode, "memory")
					  ? wait4(-1, &how, 0, &used)
					  : memory_follow(pids[0], &how, &used, out);
		const uint64_t now = __rdtsc();
		int i = 0;

		if (pid < 0)
			die("wait4");
		if (ask_is(pid)) {
			left++;
			continue;
		}
		while (i < plan->count && pids[i] != pid)
			i++;
		if (i == plan->count) {
			left++;
			continue;
		}
		running[i] = 0;
		ended[i] = now;
		status[i] = how;
		usage[i] = used;
	}
	alarm(0);
	const uint64_t answered = plan->ask.port ? ask_end() : 0;
	apply("tracing_on 0");
	if (!strcmp(plan->mode, "profile"))
		profile_wait("end");
	stamp_clock(out);
	for (int i = 0; i < plan->count; i++)
		put_end(out, plan, i, pids[i], started[i], ended[i], status[i], &usage[i]);
	if (answered)
		put(out, "stamp answer", answered);
	copy_lines(out, TRACEFS "/trace", "t");
	fprintf(out, "done\n");
}

static void forget(struct plan *plan)
{
	while (plan->nr_args)
		free(plan->args[--plan->nr_args]);
	while (plan->nr_sets)
		free(plan->sets[--plan->nr_sets]);
	plan->ask.port = 0;
}

int main(int argc, char **argv)
{
	static char line[LINE];
	static struct plan plan;
	const struct sigaction on_alarm = { .sa_handler = time_out, .sa_flags = SA_RESTART };

	if (argc != 3) {
		fprintf(stderr, "usage: launch PLAN RESULTS\n");
		return 2;
	}
	FILE *in = fopen(argv[1], "re"), *out = fopen(argv[2], "we");
	if (!in || !out)
		die(in ? argv[2] : argv[1]);
	tracefs_mount();
	sigaction(SIGALRM, &on_alarm, NULL);
	while (fgets(line, sizeof(line), in)) {
		line[strcspn(line, "\n")] = '\0';
		if (sscanf(line, "run %15s %d %63s", plan.mode, &plan.count, plan.name) == 3) {
			forget(&plan);
			if (plan.count < 1 || plan.count > MAX_GROUP) {
				fprintf(stderr, "launch: %s: more than %d at once\n", line,
					MAX_GROUP);
				return 2;
			}
		} else if (!strncmp(line, "set ", 4) && plan.nr_sets < MAX_SETS) {
			plan.sets[plan.nr_sets++] = strdup(line + 4);
		} else if (!strncmp(line, "arg ", 4) && plan.nr_args < MAX_ARGS) {
			plan.args[plan.nr_args++] = strdup(line + 4);
			plan.args[plan.nr_args] = NULL;
		} else if (!strncmp(line, "ask ", 4) && plan.count == 1 &&
			   parse_ask(line + 4, &plan.ask)) {
			// it is in the plan
		} else if (!strncmp(line, "go ", 3) && plan.nr_args) {
			run(&plan, (unsigned int)atoi(line + 3), out);
		} else {
			fprintf(stderr, "launch: %s: not a line of a plan\n", line);
			return 2;
		}
	}
	return fclose(out) ? 1 : 0;
}
