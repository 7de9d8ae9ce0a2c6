// SPDX-License-Identifier: Apache-2.0
#include "init.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *const no_environment[] = { NULL };

static _Noreturn void child_fail(int status, const char *what, const char *which)
{
	dprintf(STDERR_FILENO, "lupine-init: %s %s: %s\n", what, which, strerror(errno));
	_exit(status);
}

/* setgroups first and setuid last: each needs what the next gives away. */
static void become_user(const struct app *app)
{
	if (app->uid == 0 && app->gid == 0 && app->group_count == 0)
		return;
	if (setgroups(app->group_count, app->groups) != 0 || setgid(app->gid) != 0 ||
	    setuid(app->uid) != 0)
		child_fail(INIT_FAILED, "cannot become the user of",
			   errno == ENOSYS ? "the application (MULTIUSER in the kernel?)"
					   : "the application");
}

/* In the child, which shares init's memory until it executes the application (vfork). */
static _Noreturn void exec_app(const struct app *app, const sigset_t *signals)
{
	/* A session of its own: the console's Ctrl-C is for init, and reading the console never
	 * stops the application. */
	setsid();
	for (size_t i = 0; i < app->limit_count; i++)
		if (setrlimit(app->limits[i].resource, &app->limits[i].limit) != 0)
			child_fail(INIT_FAILED, "cannot set a limit of", app->argv[0]);
	become_user(app);
	if (chdir(app->cwd) != 0)
		child_fail(INIT_FAILED, "cannot change to", app->cwd);
	sigprocmask(SIG_SETMASK, signals, NULL);
	port_mark(PORT_MARK_EXEC);
	port_close();
	execve(app->argv[0], (char *const *)app->argv,
	       (char *const *)(app->envs ? app->envp : no_environment));
	child_fail(errno == ENOENT ? INIT_NOT_FOUND : INIT_CANNOT_EXEC, "cannot execute",
		   app->argv[0]);
}

static int exit_status(int wait_status)
{
	return WIFSIGNALED(wait_status) ? INIT_SIGNALLED + WTERMSIG(wait_status)
					: WEXITSTATUS(wait_status);
}

/* Reaps every child that ended; the application's wait status is left in *status, and 1 returned,
 * when it is among them. */
static int reap(pid_t app, int *status)
{
	int ended = 0, any;
	pid_t pid;
	while ((pid = waitpid(-1, &any, WNOHANG)) > 0) {
		if (pid != app)
			continue;
		*status = any;
		ended = 1;
	}
	return ended;
}

int run_app(const struct app *app)
{
	sigset_t all, before;
	int status = 0;

	/* init takes signals one at a time, by sigwaitinfo. */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	/* The console becomes ours: a Ctrl-C on it, from the user or from the monitor, is the
	 * request to stop. */
	setsid();
	ioctl(STDIN_FILENO, TIOCSCTTY, 0);

	pid_t pid = vfork();
	if (pid == 0)
		exec_app(app, &before);
	if (pid < 0)
		init_fail("cannot start", app->argv[0], errno);
	for (;;) {
		siginfo_t info;
		int signal = sigwaitinfo(&all, &info);
		if (signal == SIGCHLD && reap(pid, &status))
			break;
		if (signal == SIGINT || signal == SIGTERM)
			kill(pid, app->stop_signal);
		else if (signal > 0 && signal != SIGCHLD)
			kill(pid, signal);
	}
	/* The application's end is the guest's: what it left running goes, so that the disks can be
	 * unmounted. */
	if (kill(-1, SIGKILL) == 0)
		while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
			;
	if (WIFSIGNALED(status))
		dprintf(STDERR_FILENO, "lupine-init: %s was ended by signal %d (%s)\n",
			app->argv[0], WTERMSIG(status), strsignal(WTERMSIG(status)));
	return exit_status(status);
}
