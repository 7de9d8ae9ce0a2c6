// SPDX-License-Identifier: Apache-2.0
#include "init.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Noreturn void init_fail(const char *what, const char *which, int error)
{
	dprintf(STDERR_FILENO, "lupine-init: %s%s%s%s%s\n", what, *which ? " " : "", which,
		error ? ": " : "", error ? strerror(error) : "");
	port_exit(INIT_FAILED);
}

/* A guest without a console starts init without files 0 to 2, which others would then become. */
static void open_standard_files(void)
{
	if (fcntl(STDERR_FILENO, F_GETFD) >= 0)
		return;
	for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd < STDERR_FILENO; fd = dup(fd))
		;
}

int main(void)
{
	static struct app app;

	port_open();
	port_mark(PORT_MARK_INIT);
	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "lupine-init: runs as process 1 of a guest only\n");
		return INIT_FAILED;
	}
	open_standard_files();
	app_read(&app, "/lupine/app");
	mount_all(&app);
	if (app.hostname && sethostname(app.hostname, strlen(app.hostname)) != 0)
		init_fail("cannot set the host name to", app.hostname, 0);
	net_configure(getenv("lupine_net"));
	int status = run_app(&app);
	mount_finish(&app);
	port_exit(status);
}
