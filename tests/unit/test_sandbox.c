/* SPDX-License-Identifier: Apache-2.0 */
/* Forbidden calls kill: each is made by a process of its own under the filter. */
#include "sandbox.h"
#include "unit.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
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

static void allowed(void)
{
	(void)!write(file, "", 0);
}

static void run_guest(void)
{
	(void)!ioctl(file, KVM_RUN, 0); /* of no KVM here: allowed, and fails */
}

/* The wait status of a process that enters @role, then calls @call. */
static int outcome(enum sandbox_role role, void (*call)(void))
{
	int status;
	const pid_t child = fork();

	if (child == 0) {
		if (sandbox_enter(role) == 0)
			call();
		syscall(SYS_exit_group, 7);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void forbidden_calls_kill(void **state)
{
	void (*const calls[])(void) = { open_a_file, execute, connect_out, another_ioctl };

	(void)state;
	for (int role = 0; role < SANDBOX_ROLES; role++)
		for (unsigned int i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
			const int status = outcome((enum sandbox_role)role, calls[i]);

			assert_true(WIFSIGNALED(status));
			assert_int_equal(WTERMSIG(status), SIGSYS);
		}
}

static void needed_calls_do_not(void **state)
{
	(void)state;
	for (int role = 0; role < SANDBOX_ROLES; role++) {
		const int status = outcome((enum sandbox_role)role, allowed);

		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 7);
	}
	assert_true(WIFEXITED(outcome(SANDBOX_VCPU, run_guest)));
	assert_true(WIFSIGNALED(outcome(SANDBOX_DEVICE, run_guest)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forbidden_calls_kill),
		cmocka_unit_test(needed_calls_do_not),
	};

	file = open("/dev/null", O_WRONLY);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
