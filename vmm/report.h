/* SPDX-License-Identifier: Apache-2.0 */
/* The boot report while it is being made: time stamps by step, exits by kind. */
#ifndef LUPINE_REPORT_H
#define LUPINE_REPORT_H

#include <stdatomic.h>

#include "lupine.h"
#include "mem.h"

struct report {
	uint64_t start;
	_Atomic uint64_t step[LUPINE_STEPS]; /* CLOCK_MONOTONIC; 0: not reached */
	int smaps_fd; /* /proc/self/smaps, opened before the sandbox; or -1 */
};

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t report_now(void);

void report_init(struct report *report, uint64_t start);
void report_fini(struct report *report);

/* The first stamp of a step counts; any thread. */
void report_stamp(struct report *report, enum lupine_step step);

/* -errno. To be called before the sandbox, where report_memory() is wanted. */
int report_open_memory(struct report *report);
/* Sets rss, anonymous and guest_rss of @out; leaves 0 what cannot be read. */
void report_memory(const struct report *report, const struct guest_mem *mem,
		   struct lupine_report *out);
/* Copies the steps. */
void report_steps(const struct report *report, struct lupine_report *out);

#endif
