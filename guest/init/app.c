// SPDX-License-Identifier: Apache-2.0
/* /lupine/app: one setting to a line, "KEY VALUE"; `#` starts a comment line. A value's \n and
 * \\ are unescaped, so that an argument may hold any text. Whatever is not known, twice, too much
 * or malformed ends the guest: the image is wrong. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct parser {
	struct app *app;
	const char *path;
	unsigned line;
};

static _Noreturn void wrong(const struct parser *p, const char *why)
{
	char where[128];
	snprintf(where, sizeof(where), "%s:%u: %s", p->path, p->line, why);
	init_fail(where, "", 0);
}

static void unescape(const struct parser *p, char *value)
{
	char *to = value;
	for (const char *from = value; *from; from++) {
		if (*from != '\\') {
			*to++ = *from;
			continue;
		}
		from++;
		if (*from != 'n' && *from != '\\')
			wrong(p, "a backslash is followed by n or a backslash");
		*to++ = *from == 'n' ? '\n' : '\\';
	}
	*to = '\0';
}

static unsigned long number(const struct parser *p, const char *text, char **end,
			    unsigned long most)
{
	if (*text < '0' || *text > '9')
		wrong(p, "a number is expected");
	errno = 0;
	unsigned long value = strtoul(text, end, 10);
	if (errno || value > most)
		wrong(p, "number too large");
	return value;
}

/* Splits at the next space; NULL when there is no word left. */
static char *word(char **rest)
{
	char *w;
	while ((w = strsep(rest, " ")) && !*w)
		;
	return w;
}

static void parse_arg(struct parser *p, char *value)
{
	if (p->app->args == APP_MAX_WORDS)
		wrong(p, "too many arguments");
	p->app->argv[p->app->args++] = value;
}

static void parse_env(struct parser *p, char *value)
{
	if (!strchr(value, '=') || *value == '=')
		wrong(p, "env needs NAME=VALUE");
	if (p->app->envs == APP_MAX_WORDS)
		wrong(p, "too many env lines");
	p->app->envp[p->app->envs++] = value;
}

static void parse_path(struct parser *p, char *value)
{
	if (*value != '/')
		wrong(p, "cwd needs an absolute path");
	p->app->cwd = value;
}

static void parse_hostname(struct parser *p, char *value)
{
	p->app->hostname = value;
}

/* user UID:GID[,GID...] */
static void parse_user(struct parser *p, char *value)
{
	p->app->uid = (uid_t)number(p, value, &value, UINT_MAX - 1);
	if (*value++ != ':')
		wrong(p, "user needs UID:GID[,GID...]");
	p->app->gid = (gid_t)number(p, value, &value, UINT_MAX - 1);
	while (*value == ',') {
		if (p->app->group_count == APP_MAX_GROUPS)
			wrong(p, "too many groups");
		p->app->groups[p->app->group_count++] =
			(gid_t)number(p, value + 1, &value, UINT_MAX - 1);
	}
	if (*value)
		wrong(p, "user needs UID:GID[,GID...]");
}

/* overlay OPTIONS: options of the tmpfs that takes the writes, `-` for none */
static void parse_overlay(struct parser *p, char *value)
{
	p->app->overlay = strcmp(value, "-") == 0 ? "" : value;
}

/* mount TYPE SOURCE TARGET [OPTIONS] */
static void parse_mount(struct parser *p, char *value)
{
	if (p->app->mount_count == APP_MAX_MOUNTS)
		wrong(p, "too many mounts");
	struct app_mount *m = &p->app->mounts[p->app->mount_count++];
	m->type = word(&value);
	m->source = word(&value);
	m->target = word(&value);
	m->options = word(&value);
	if (!m->target || *m->target != '/' || word(&value))
		wrong(p, "mount needs TYPE SOURCE /TARGET [OPTIONS]");
}

/* limit NAME SOFT[:HARD] */
static void parse_limit(struct parser *p, char *value)
{
	static const struct {
		const char *name;
		int resource;
	} names[] = {
		{ "as", RLIMIT_AS },
		{ "core", RLIMIT_CORE },
		{ "cpu", RLIMIT_CPU },
		{ "data", RLIMIT_DATA },
		{ "fsize", RLIMIT_FSIZE },
		{ "memlock", RLIMIT_MEMLOCK },
		{ "msgqueue", RLIMIT_MSGQUEUE },
		{ "nice", RLIMIT_NICE },
		{ "nofile", RLIMIT_NOFILE },
		{ "nproc", RLIMIT_NPROC },
		{ "rtprio", RLIMIT_RTPRIO },
		{ "sigpending", RLIMIT_SIGPENDING },
		{ "stack", RLIMIT_STACK },
	};
	const char *name = word(&value);
	char *bounds = word(&value);
	if (!bounds || word(&value))
		wrong(p, "limit needs NAME SOFT[:HARD]");
	size_t i = 0;
	while (i < sizeof(names) / sizeof(*names) && strcmp(names[i].name, name) != 0)
		i++;
	if (i == sizeof(names) / sizeof(*names))
		wrong(p, "unknown limit");
	if (p->app->limit_count == APP_MAX_LIMITS)
		wrong(p, "too many limits");
	struct app_limit *l = &p->app->limits[p->app->limit_count++];
	l->resource = names[i].resource;
	char *hard = strchr(bounds, ':');
	if (hard)
		*hard++ = '\0';
	struct {
		char *text;
		rlim_t *value;
	} both[] = { { bounds, &l->limit.rlim_cur }, { hard ? hard : bounds, &l->limit.rlim_max } };
	for (i = 0; i < 2; i++) {
		char *end = "";
		*both[i].value = strcmp(both[i].text, "unlimited") == 0
					 ? RLIM_INFINITY
					 : number(p, both[i].text, &end, ULONG_MAX - 1);
		if (*end)
			wrong(p, "limit needs NAME SOFT[:HARD]");
	}
}

/* stop SIGNAL: the signal (its number) by which the application is asked to end */
static void parse_stop(struct parser *p, char *value)
{
	char *end;
	p->app->stop_signal = (int)number(p, value, &end, 64);
	if (*end || p->app->stop_signal == 0)
		wrong(p, "stop needs a signal's number");
}

static const struct {
	const char *key;
	void (*parse)(struct parser *p, char *value);
	bool many;
} keys[] = {
	{ "arg", parse_arg, true },	     { "env", parse_env, true },
	{ "mount", parse_mount, true },	     { "limit", parse_limit, true },
	{ "cwd", parse_path, false },	     { "user", parse_user, false },
	{ "stop", parse_stop, false },	     { "hostname", parse_hostname, false },
	{ "overlay", parse_overlay, false },
};

static void parse_line(struct parser *p, char *line, bool *seen)
{
	if (!*line || *line == '#')
		return;
	char *value = line;
	const char *key = strsep(&value, " ");
	if (!value)
		wrong(p, "a line is KEY VALUE");
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		if (seen[i] && !keys[i].many)
			wrong(p, "given twice");
		seen[i] = true;
		unescape(p, value);
		keys[i].parse(p, value);
		return;
	}
	wrong(p, "unknown key");
}

/* The whole file, NUL-terminated, in app->text. */
static void read_text(struct app *app, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		init_fail("cannot open", path, errno);
	size_t length = 0;
	ssize_t got;
	while ((got = read(fd, app->text + length, sizeof(app->text) - length)) > 0)
		length += (size_t)got;
	if (got < 0)
		init_fail("cannot read", path, errno);
	close(fd);
	if (length == sizeof(app->text))
		init_fail("too long:", path, 0);
	if (memchr(app->text, '\0', length))
		init_fail("not a text:", path, 0);
	app->text[length] = '\0';
}

void app_read(struct app *app, const char *path)
{
	struct parser p = { .app = app, .path = path };
	bool seen[sizeof(keys) / sizeof(*keys)] = { false };

	app->cwd = "/";
	app->stop_signal = SIGTERM;
	read_text(app, path);
	for (char *rest = app->text, *line; (line = strsep(&rest, "\n"));) {
		p.line++;
		parse_line(&p, line, seen);
	}
	if (!app->args)
		init_fail(path, "has no arg line", 0);
}
