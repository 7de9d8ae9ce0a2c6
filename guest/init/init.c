// SPDX-License-Identifier: Apache-2.0
#include "init.h"

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

int main(void)
{
	static struct app app;

	port_open();
	port_mark(PORT_MARK_INIT);
	if (getpid() != 1) {
		dprintf(STDERR_FILENO, "lupine-init: runs as process 1 of a guest only\n");
		return INIT_FAILED;
	}
	app_read(&app, "/lupine/app");
	mount_all(&app);
	if (app.hostname && sethostname(app.hostname, strlen(app.hostname)) != 0)
		init_fail("cannot set the host name to", app.hostname, 0);
	net_configure(getenv("lupine_net"));
	int status = run_app(&app);
	mount_finish(&app);
	port_exit(status);
}
