/* SPDX-License-Identifier: Apache-2.0 */
/* fork, vfork, clone, exec and exit in volume; copy on write; exit status and signals. */
#include "test.h"
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>

extern char **environ;

static int clone_entry(void *argument)
{
	return (int)(intptr_t)argument;
}

static volatile bool forever = true;

static void recurse(void *caller)
{
	volatile char frame[4096];
	frame[0] = 1;
	if (forever)
		recurse((void *)&frame[0]);
	frame[1] = caller != NULL;
}

static long grow(int levels)
{
	volatile char frame[3000];
	memset((void *)frame, levels, sizeof(frame));
	return levels ? grow(levels - 1) + frame[100] : 0;
}

int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return 21;
	int status;
	char *cow = map_pages(32, PROT_READ | PROT_WRITE);
	memset(cow, 'p', 32 * 4096);
	for (int i = 0; i < 500; i++) {
		pid_t pid = fork();
		CHECK(pid >= 0);
		if (!pid) {
			CHECK(cow[i % 32 * 4096] == 'p');
			memset(cow, 'c', 32 * 4096);
			_exit(i & 127);
		}
		CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
		      WEXITSTATUS(status) == (i & 127));
		CHECK(cow[i % 32 * 4096] == 'p');
	}
	for (int i = 0; i < 200; i++) {
		pid_t pid = vfork();
		if (!pid)
			_exit(3);
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 3);
	}
	char *stack = map_pages(16, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 200; i++) {
		pid_t pid = clone(clone_entry, stack + 16 * 4096, CLONE_VM | SIGCHLD,
				  (void *)(intptr_t)(i & 63));
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == (i & 63));
	}
	for (int i = 0; i < 100; i++) {
		pid_t pid;
		char *arguments[] = { "self", "x", NULL };
		CHECK(!posix_spawn(&pid, "/proc/self/exe", NULL, NULL, arguments, environ));
		CHECK(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 21);
	}
	for (int i = 0; i < 20; i++) /* many at once */
		if (!fork()) {
			for (int j = 0; j < 20; j++)
				if (!fork())
					_exit(0);
				else
					wait(NULL);
			_exit(0);
		}
	while (wait(&status) > 0)
		CHECK(status == 0);

	CHECK(grow(1500) != 1);
	struct rlimit limit = { 1 << 20, 1 << 20 };
	CHECK(!setrlimit(RLIMIT_STACK, &limit));
	status = in_child(recurse, NULL);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	return 0;
}
