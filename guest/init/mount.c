// SPDX-License-Identifier: Apache-2.0
#include "init.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* The mount flags among comma-separated options; the rest stays for the file system. */
static unsigned long take_flags(char *options)
{
	static const struct {
		const char *name;
		unsigned long flag;
	} known[] = {
		{ "ro", MS_RDONLY },	    { "nosuid", MS_NOSUID },   { "nodev", MS_NODEV },
		{ "noexec", MS_NOEXEC },    { "noatime", MS_NOATIME }, { "relatime", MS_RELATIME },
		{ "sync", MS_SYNCHRONOUS }, { "bind", MS_BIND },
	};
	unsigned long flags = 0;
	char *to = options, *rest = options, *option;
	while ((option = strsep(&rest, ","))) {
		size_t i = 0;
		while (i < sizeof(known) / sizeof(*known) && strcmp(known[i].name, option) != 0)
			i++;
		if (i < sizeof(known) / sizeof(*known)) {
			flags |= known[i].flag;
			continue;
		}
		size_t length = strlen(option);
		if (to != options)
			*to++ = ',';
		memmove(to, option, length);
		to += length;
	}
	*to = '\0';
	return flags;
}

static void mount_one(const struct app_mount *m)
{
	char options[256] = "";
	if (m->options &&
	    snprintf(options, sizeof(options), "%s", m->options) >= (int)sizeof(options))
		init_fail("mount options too long for", m->target, 0);
	unsigned long flags = take_flags(options);
	if (mount(m->source, m->target, m->type, flags, options) == 0)
		return;
	if (errno == ENODEV)
		init_fail("this kernel lacks the file system for", m->target, 0);
	init_fail("cannot mount", m->target, errno);
}

/* A tmpfs takes the writes, overlayfs shows it over the read-only root, and the two become the
 * root. */
static void mount_overlay(const char *options)
{
	if (mount("tmpfs", "/lupine/rw", "tmpfs", 0, options) != 0)
		init_fail("cannot mount the overlay's tmpfs on", "/lupine/rw", errno);
	if (mkdir("/lupine/rw/upper", 0755) != 0 || mkdir("/lupine/rw/work", 0755) != 0 ||
	    mkdir("/lupine/rw/root", 0755) != 0)
		init_fail("cannot make folders in", "/lupine/rw", errno);
	if (mount("overlay", "/lupine/rw/root", "overlay", 0,
		  "lowerdir=/,upperdir=/lupine/rw/upper,workdir=/lupine/rw/work") != 0)
		init_fail("cannot mount the overlay (OVERLAY_FS in the kernel?)", "", errno);
	if (chdir("/lupine/rw/root") != 0 || mount(".", "/", NULL, MS_MOVE, NULL) != 0 ||
	    chroot(".") != 0)
		init_fail("cannot change to the overlay", "", errno);
}

void mount_all(const struct app *app)
{
	if (app->overlay)
		mount_overlay(app->overlay);
	for (size_t i = 0; i < app->mount_count; i++)
		mount_one(&app->mounts[i]);
}

/* Leaves a disk's file system clean. Nothing else uses it any more: every other process is dead. */
void mount_finish(const struct app *app)
{
	for (size_t i = app->mount_count; i-- > 0;)
		if (strncmp(app->mounts[i].source, "/dev/", 5) == 0 &&
		    umount2(app->mounts[i].target, 0) != 0)
			dprintf(STDERR_FILENO, "lupine-init: cannot unmount %s: %s\n",
				app->mounts[i].target, strerror(errno));
}
