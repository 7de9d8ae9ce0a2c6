/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TRACEFS_H
#define TRACEFS_H

#include <stdbool.h>
#include <stdio.h>

#define TRACEFS "/sys/kernel/tracing"

void tracefs_mount(void);
/* @text to @file, a path in TRACEFS; tracefs_set() dies where that fails. */
bool tracefs_write(const char *file, const char *text);
void tracefs_set(const char *file, const char *text);
/* The lines of @path to @out, each after @prefix; nothing when it cannot be read. */
void copy_lines(FILE *out, const char *path, const char *prefix);

#endif
