/* SPDX-License-Identifier: Apache-2.0 */
/* lupine-vmm: one VM in the foreground, on lupine.h. Text and exit codes are made here only. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "lupine.h"
#include "options.h"
#include "print_report.h"

/* options_help lists them. */
enum exit_code {
	EXIT_OPTIONS = 200,
	EXIT_BY_ERROR = 199, /* plus an enum lupine_error_code: 200 to 207 */
	EXIT_PANIC = 208,
	EXIT_TRIPLE_FAULT = 209,
	EXIT_TIMEOUT = 210,
	EXIT_RESET = 211,
	EXIT_REPORT = 212,
};

/* For the signal handler, which has no other way to them. */
static struct lupine_vm *_Atomic running;
static atomic_int stopped_by;

#define GRACE 10 /* seconds that a guest has to end after it was asked to */

/* The first signal asks the guest; a second one, or too long a wait, is the power cut. */
static void stop_running(int signal)
{
	struct lupine_vm *vm = atomic_load(&running);
	const bool first = atomic_load(&stopped_by) == 0;

	if (signal != SIGALRM)
		atomic_store(&stopped_by, signal);
	if (vm && first && lupine_vm_ask(vm))
		alarm(GRACE);
	else if (vm)
		lupine_vm_stop(vm);
}

static void refresh_running(int signal)
{
	struct lupine_vm *vm = atomic_load(&running);

	(void)signal;
	if (vm)
		lupine_vm_refresh(vm);
}

static void handle_signals(void)
{
	const struct sigaction refresh = { .sa_handler = refresh_running };
	const struct sigaction action = { .sa_handler = stop_running };

	sigaction(SIGUSR1, &refresh, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigaction(SIGALRM, &action, NULL);
	signal(SIGPIPE, SIG_IGN); /* a closed console is the console's trouble */
}

static int complain(int code, const char *line)
{
	fprintf(stderr, "lupine-vmm: %s\n", line);
	return code;
}

/* One write a line: the library's threads call this under their sandbox. */
static void log_line(void *context, const char *line)
{
	char text[640];
	const int n = snprintf(text, sizeof(text), "lupine-vmm: %s\n", line);

	(void)context;
	(void)!write(STDERR_FILENO, text, n < (int)sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static int open_console(struct options *options)
{
	struct lupine_config *config = &options->config;

	config->console = options->console != CONSOLE_NULL;
	config->console_in = -1;
	if (options->console == CONSOLE_STDIO) {
		config->console_out = STDOUT_FILENO;
		config->console_in = STDIN_FILENO;
	} else if (options->console == CONSOLE_FILE) {
		config->console_out =
			open(options->console_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
		if (config->console_out < 0)
			return -errno;
	}
	return 0;
}

/* The guest's console sees keys as they are typed; Ctrl-C still stops the monitor. */
static bool terminal_begin(int fd, struct termios *saved)
{
	struct termios raw;

	if (fd < 0 || tcgetattr(fd, saved) < 0)
		return false;
	raw = *saved;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	raw.c_iflag &= ~(tcflag_t)ICRNL;
	return tcsetattr(fd, TCSAFLUSH, &raw) == 0;
}

/* A report file gets its name when it is whole. */
struct report_output {
	FILE *file;
	char temporary[4096];
};

static int report_open(const struct options *options, struct report_output *out)
{
	out->file = stderr;
	out->temporary[0] = '\0';
	if (!options->report_file)
		return 0;
	const int n = snprintf(out->temporary, sizeof(out->temporary), "%s.%d.tmp",
			       options->report_file, (int)getpid());
	if (n >= (int)sizeof(out->temporary))
		return -ENAMETOOLONG;
	out->file = fopen(out->temporary, "we");
	return out->file ? 0 : -errno;
}

static int report_write(const struct options *options, struct report_output *out,
			const struct lupine_vm *vm, const struct lupine_exit *end)
{
	struct lupine_report report = { .size = sizeof(report) };
	int err = lupine_vm_report(vm, &report);

	if (!err)
		err = options->report == REPORT_JSON ? print_report_json(out->file, &report, end)
						     : print_report_text(out->file, &report, end);
	if (!out->temporary[0])
		return err;
	if (fclose(out->file) && !err)
		err = -errno;
	if (!err && rename(out->temporary, options->report_file) < 0)
		err = -errno;
	if (err)
		unlink(out->temporary);
	return err;
}

/* The last lines a guest said before it died, unless the user has just seen them. */
static void show_console(const struct options *options, const struct lupine_exit *end)
{
	const char *from = end->console + end->console_length;
	int lines = 12;

	if (options->console == CONSOLE_STDIO)
		return;
	while (from > end->console && (from[-1] != '\n' || lines-- > 0))
		from--;
	fwrite(from, 1, (size_t)(end->console + end->console_length - from), stderr);
}

static int exit_status(const struct options *options, const struct lupine_exit *end)
{
	char line[160];

	switch (end->reason) {
	case LUPINE_EXIT_STATUS:
		return end->status;
	case LUPINE_EXIT_RESET:
		return complain(EXIT_RESET, "guest: it reset the machine without an exit status");
	case LUPINE_EXIT_TRIPLE_FAULT:
		show_console(options, end);
		return complain(EXIT_TRIPLE_FAULT,
				"guest: triple fault: its kernel crashed without a word; try "
				"--cmdline 'earlyprintk=ttyS0 loglevel=8'");
	case LUPINE_EXIT_PANIC:
		show_console(options, end);
		return complain(EXIT_PANIC, "guest: kernel panic");
	case LUPINE_EXIT_TIMEOUT:
		snprintf(line, sizeof(line),
			 "guest: still running after %.3g s (--timeout): stopped",
			 (double)options->config.timeout / 1e9);
		return complain(EXIT_TIMEOUT, line);
	case LUPINE_EXIT_STOPPED:
		return 128 + atomic_load(&stopped_by);
	}
	return complain(EXIT_BY_ERROR + LUPINE_ERROR_RUN, "unknown end");
}

static int run(struct options *options)
{
	struct report_output out = { NULL, "" };
	struct lupine_error error;
	struct lupine_exit end;
	struct lupine_vm *vm;
	struct termios saved;
	char line[8192];

	int err = open_console(options);
	if (err) {
		snprintf(line, sizeof(line), "--console file:%s: %s", options->console_file,
			 strerror(-err));
		return complain(EXIT_OPTIONS, line);
	}
	options->config.log = log_line;
	if (lupine_vm_create(&options->config, &vm, &error) < 0)
		return complain(EXIT_BY_ERROR + (int)error.code, error.text);
	if (options->report) {
		err = report_open(options, &out);
		if (err) {
			lupine_vm_destroy(vm);
			snprintf(line, sizeof(line), "--report json:%s: %s", options->report_file,
				 strerror(-err));
			return complain(EXIT_REPORT, line);
		}
	}
	atomic_store(&running, vm);
	if (atomic_load(&stopped_by)) /* before there was anything to stop */
		lupine_vm_stop(vm);
	const bool terminal = terminal_begin(options->config.console_in, &saved);

	err = lupine_vm_run(vm, &end, &error);
	if (terminal)
		tcsetattr(options->config.console_in, TCSAFLUSH, &saved);
	if (err) {
		if (out.temporary[0])
			unlink(out.temporary);
		return complain(EXIT_BY_ERROR + (int)error.code, error.text);
	}
	int status = exit_status(options, &end);
	if (options->report) {
		err = report_write(options, &out, vm, &end);
		if (err) {
			snprintf(line, sizeof(line), "report %s: %s",
				 options->report_file ? options->report_file : "on standard error",
				 strerror(-err));
			status = complain(EXIT_REPORT, line);
		}
	}
	/* The process ends: its VM goes with it, after everything has been said. */
	return status;
}

static void print_finding(void *context, bool fatal, const char *line)
{
	(void)context;
	printf("%s: %s\n", fatal ? "error" : "slow", line);
}

static int check(void)
{
	const int fatal = lupine_host_check(print_finding, NULL);

	if (!fatal)
		printf("ok: this host runs VMs\n");
	return fatal ? EXIT_BY_ERROR + LUPINE_ERROR_HOST : 0;
}

int main(int argc, char **argv)
{
	struct timespec now;
	struct options options;
	char why[4096];

	clock_gettime(CLOCK_MONOTONIC, &now);
	handle_signals();
	if (options_parse(argc, argv, &options, why, sizeof(why)) < 0)
		return complain(EXIT_OPTIONS, why);
	options.config.start = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	switch (options.action) {
	case ACTION_CHECK:
		return check();
	case ACTION_VERSION:
		printf("lupine-vmm %s\n", lupine_version());
		return 0;
	case ACTION_HELP:
		fputs(options_help, stdout);
		return 0;
	case ACTION_RUN:
		break;
	}
	return run(&options);
}
