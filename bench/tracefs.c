// SPDX-License-Identifier: Apache-2.0
// The kernel's tracing files, for whoever measures.
#include "tracefs.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "launch.h"

void tracefs_mount(void)
{
	if (access(TRACEFS "/trace", F_OK) && mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		die("tracefs (it takes root and a kernel with CONFIG_EVENT_TRACING)");
}

bool tracefs_write(const char *file, const char *text)
{
	char path[512];
	const ssize_t length = (ssize_t)strlen(text);

	snprintf(path, sizeof(path), TRACEFS "/%s", file);
	const int fd = open(path, O_WRONLY | O_CLOEXEC | O_TRUNC);
	if (fd < 0)
		return false;
	const bool written = write(fd, text, (size_t)length) == length;
	close(fd);
	return written;
}

void tracefs_set(const char *file, const char *text)
{
	if (!tracefs_write(file, text))
		die(file);
}

void copy_lines(FILE *out, const char *path, const char *prefix)
{
	static char line[8192];
	FILE *in = fopen(path, "re");

	if (!in)
		return;
	while (fgets(line, sizeof(line), in)) {
		fprintf(out, "%s%s", prefix, line);
		if (!strchr(line, '\n'))
			fputc('\n', out);
	}
	fclose(in);
}
