/* SPDX-License-Identifier: Apache-2.0 */
/* The one decision why a VM stops: the first to decide wins, whichever thread it is on. */
#ifndef LUPINE_STOP_H
#define LUPINE_STOP_H

#include <stdatomic.h>
#include <stdbool.h>

#include "lupine.h"

struct stop {
	atomic_int decided; /* 0, then once: an enum lupine_exit_reason, or STOP_FAILED */
	int fd; /* eventfd, readable once decided */
	uint8_t status;
	struct lupine_error error; /* with STOP_FAILED */
};

#define STOP_FAILED (-1)

int stop_init(struct stop *stop);
void stop_fini(struct stop *stop);

/* Any thread; signal-safe. @status: with LUPINE_EXIT_STATUS. */
void stop_request(struct stop *stop, enum lupine_exit_reason reason, uint8_t status);
/* Any thread: KVM or the host failed the VM; @number is -errno. */
void stop_fail(struct stop *stop, int number, const char *what);

static inline bool stop_requested(const struct stop *stop)
{
	return atomic_load_explicit(&stop->decided, memory_order_relaxed) != 0;
}

#endif
