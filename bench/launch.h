/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <stdio.h>
#include <sys/resource.h>
#include <sys/types.h>

#define TRACEFS "/sys/kernel/tracing"

void die(const char *what);
/* The lines of @path to @out, each after @prefix; nothing when it cannot be read. */
void copy_lines(FILE *out, const char *path, const char *prefix);

/* Mode "memory": the program is watched system call by system call. */
void memory_trace_me(void);
pid_t memory_follow(pid_t pid, int *status, struct rusage *usage, FILE *out);

/* Mode "profile": tells who logs this machine's instructions that @what may happen, waits for
 * leave. */
void profile_wait(const char *what);

#endif
