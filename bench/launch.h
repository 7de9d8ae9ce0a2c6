/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { MAX_ARGS = 128, LINE = 8192 };

/* Each program has its own: it says so, puts its house in order and exits. */
void die(const char *what);

/* @from with @index for the "%d" of each argument, by way of a @text for each that has one. */
void fill_index(char *const *from, char **to, char (*text)[LINE], int index);

/* Mode "memory": the program is watched system call by system call. */
void memory_trace_me(void);
pid_t memory_follow(pid_t pid, int *status, struct rusage *usage, FILE *out);

/* Mode "profile": tells who logs this machine's instructions that @what may happen, waits for
 * leave. */
void profile_wait(const char *what);

/* "ask": who asks the application, and ends the monitor when it answers. */
struct ask {
	char tap[16], address[16], text[256];
	int port;
	size_t length;
};
/* Starts the asker; it waits to be told which monitor. Call ask_end() once that has ended. */
void ask_begin(const struct ask *ask);
void ask_about(pid_t monitor);
bool ask_is(pid_t pid);
/* The time stamp of the answer, 0 if there was none. */
uint64_t ask_end(void);

#endif
