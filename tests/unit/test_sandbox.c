/* SPDX-License-Identifier: Apache-2.0 */
/* Forbidden calls kill: each is made by a process of its own under the filter. */
#include "sandbox.h"
#include "unit.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int file;

static void open_a_file(void)
{
	(void)!open("/etc/passwd", O_RDONLY);
}

static void execute(void)
{
	(void)!syscall(SYS_execve, "/bin/true", NULL, NULL);
}

static void connect_out(void)
{
	(void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void another_ioctl(void)
{
	(void)!ioctl(file, KVM_CREATE_VM, 0);
}

static void map_code(void)
{
	(void)!mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void schedule_another(void)
{
	const struct sched_param none = { 0 };

	(void)!sched_setscheduler(1, SCHED_BATCH, &none);
}

static void schedule_first(void)
{
	const struct sched_param most = { 99 };

	(void)!sched_setscheduler(0, SCHED_FIFO, &most);
}

static void be_patient(void)
{
	const struct sched_param none = { 0 };

	(void)!sched_setscheduler(0, SCHED_BATCH, &none);
}

static void allowed(void)
{
	(void)!write(file, "", 0);
}

static void rename_a_file(void)
{
	(void)!rename("/nonexistent/a", "/nonexistent/b");
}

static void run_guest(void)
{
	(void)!ioctl(file, KVM_RUN, 0); /* of no KVM here: allowed, and fails */
}

typedef int enter_fn(void);
static enter_fn *const ways[] = { sandbox_enter_thread, sandbox_enter_process };

/* The wait status of a process that is confined by @enter, then calls @call. */
static int outcome(enter_fn *enter, void (*call)(void))
{
	int status;
	const pid_t child = fork();

	if (child == 0) {
		if (enter() == 0)
			call();
		syscall(SYS_exit_group, 7);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void forbidden_calls_kill(void **state)
{
	void (*const calls[])(void) = { open_a_file,   execute,		 connect_out,
					another_ioctl, schedule_another, schedule_first,
					map_code };

	(void)state;
	for (unsigned int way = 0; way < sizeof(ways) / sizeof(ways[0]); way++)
		for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
			const int status = outcome(ways[way], calls[i]);

			assert_true(WIFSIGNALED(status));
			assert_int_equal(WTERMSIG(status), SIGSYS);
		}
}

static void needed_calls_do_not(void **state)
{
	void (*const calls[])(void) = { allowed, run_guest, be_patient };

	(void)state;
	for (unsigned int way = 0; way < sizeof(ways) / sizeof(ways[0]); way++)
		for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
			const int status = outcome(ways[way], calls[i]);

			assert_true(WIFEXITED(status));
			assert_int_equal(WEXITSTATUS(status), 7);
		}
}

/* The caller's own calls are not those of the threads. */
static void threads_may_not_rename(void **state)
{
	(void)state;
	assert_true(WIFSIGNALED(outcome(sandbox_enter_thread, rename_a_file)));
	assert_true(WIFEXITED(outcome(sandbox_enter_process, rename_a_file)));
}

static void *other_thread(void *gate)
{
	char byte;

	(void)!read(*(int *)gate, &byte, 1);
	open_a_file();
	return NULL;
}

/* A thread from before, asleep in a call meanwhile. */
static int confine_other_threads(void)
{
	static int pipe_fds[2];
	pthread_t thread;

	if (pipe(pipe_fds) < 0 || pthread_create(&thread, NULL, other_thread, &pipe_fds[0]))
		return -1;
	const int err = sandbox_enter_process();

	(void)!write(pipe_fds[1], "", 1);
	pthread_join(thread, NULL);
	return err;
}

static void all_threads_follow(void **state)
{
	(void)state;
	const int status = outcome(confine_other_threads, allowed);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_calls_kill),
		cmocka_unit_test(needed_calls_do_not),
		cmocka_unit_test(threads_may_not_rename),
		cmocka_unit_test(all_threads_follow),
	};

	file = open("/dev/null", O_WRONLY);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
