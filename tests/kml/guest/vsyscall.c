/* SPDX-License-Identifier: Apache-2.0 */
/* The vsyscall page: its three functions are emulated, a step over the call of one stays a step. */
#include "test.h"
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>
#include <time.h>

static int (*const vgettimeofday)(struct timeval *, void *) = (void *)0xffffffffff600000;
static time_t (*const vtime)(time_t *) = (void *)0xffffffffff600400;
static long (*const vgetcpu)(unsigned *, unsigned *, void *) = (void *)0xffffffffff600800;

static void call_beside(void *unused)
{
	(void)unused;
	((void (*)(void))0xffffffffff600001)();
}

static void traced(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	for (int i = 0; i < 3; i++)
		vtime(NULL);
	_exit(9);
}

static void steps(void)
{
	int status, stops = 0;
	pid_t pid = fork();

	if (!pid)
		traced();
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	for (;;) {
		CHECK(!ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		CHECK(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status))
			break;
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP && stops++ < 100000);
	}
	CHECK(WEXITSTATUS(status) == 9 && stops > 10);
}

int main(void)
{
	for (int i = 0; i < 1000; i++) {
		struct timeval of_page, of_clock;
		unsigned cpu = ~0u, node = ~0u;
		CHECK(!vgettimeofday(&of_page, NULL) && !gettimeofday(&of_clock, NULL));
		CHECK(of_clock.tv_sec - of_page.tv_sec <= 5 && of_page.tv_sec > 0);
		CHECK(labs(vtime(NULL) - time(NULL)) <= 5);
		CHECK(!vgetcpu(&cpu, &node, NULL) && cpu < 1024 && node < 1024);
	}
	int status = in_child(call_beside, NULL);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	steps();
	return 0;
}
