/* SPDX-License-Identifier: Apache-2.0 */
/* lupine's init: process 1 of a guest. It prepares what the image's /lupine/app asks for, runs the
 * application and hands its exit status to the monitor. One process, no threads, no allocation
 * after the description is read. */
#ifndef LUPINE_INIT_H
#define LUPINE_INIT_H

#include <stddef.h>
#include <sys/resource.h>
#include <sys/types.h>

/* Exit statuses of init's own making, as a shell's (and docker's) are. */
enum { INIT_FAILED = 125, INIT_CANNOT_EXEC = 126, INIT_NOT_FOUND = 127, INIT_SIGNALLED = 128 };

enum {
	APP_MAX_WORDS = 256,
	APP_MAX_MOUNTS = 32,
	APP_MAX_LIMITS = 16,
	APP_MAX_GROUPS = 32,
	APP_MAX_TEXT = 65536
};

struct app_mount {
	const char *source, *target, *type, *options;
};

struct app_limit {
	int resource;
	struct rlimit limit;
};

/* The image's description of its application; strings point into `text`. */
struct app {
	const char *argv[APP_MAX_WORDS + 1];
	const char *envp[APP_MAX_WORDS + 1];
	struct app_mount mounts[APP_MAX_MOUNTS];
	struct app_limit limits[APP_MAX_LIMITS];
	gid_t groups[APP_MAX_GROUPS];
	size_t args, envs, mount_count, limit_count, group_count;
	const char *cwd, *hostname, *overlay;
	uid_t uid;
	gid_t gid;
	int stop_signal;
	char text[APP_MAX_TEXT];
};

/* app.c: reads and checks the description at `path`; ends the guest with one line on the console if
 * it is wrong. */
void app_read(struct app *app, const char *path);

/* mount.c: `overlay` makes the root writable in memory; then the mounts, in order. mount_finish
 * unmounts what may hold data. */
void mount_all(const struct app *app);
void mount_finish(const struct app *app);

/* net.c: configures eth0 as `setting` says ("ADDRESS/PREFIX[,GATEWAY]", NULL: leave it) and the
 * loopback, if there is a network. */
void net_configure(const char *setting);

/* run.c: runs the application to its end and returns the exit status to hand on. */
int run_app(const struct app *app);

/* port.c: what init tells the monitor, by I/O ports. */
enum port_mark { PORT_MARK_INIT = 1, PORT_MARK_EXEC = 2 };
void port_open(void);
void port_close(void);
void port_mark(enum port_mark mark);
_Noreturn void port_exit(int status);

/* One line on the console, "lupine-init: WHAT: WHY" (why: an errno, or 0), and the end of the
 * guest. */
_Noreturn void init_fail(const char *what, const char *which, int error);

#endif
