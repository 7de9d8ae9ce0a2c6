/* SPDX-License-Identifier: Apache-2.0 */
#include "stop.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "error.h"

int stop_init(struct stop *stop)
{
	atomic_init(&stop->decided, 0);
	stop->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return stop->fd < 0 ? -errno : 0;
}

void stop_fini(struct stop *stop)
{
	if (stop->fd >= 0)
		close(stop->fd);
}

/* The reader waits for the eventfd and so sees what the winner wrote before it. */
static void tell(struct stop *stop)
{
	const uint64_t one = 1;

	(void)!write(stop->fd, &one, sizeof(one));
}

static bool decide(struct stop *stop, int decision)
{
	int undecided = 0;

	return atomic_compare_exchange_strong(&stop->decided, &undecided, decision);
}

void stop_request(struct stop *stop, enum lupine_exit_reason reason, uint8_t status)
{
	if (!decide(stop, (int)reason))
		return;
	stop->status = status;
	tell(stop);
}

void stop_fail(struct stop *stop, int number, const char *what)
{
	if (!decide(stop, STOP_FAILED))
		return;
	error_set(&stop->error, LUPINE_ERROR_RUN, number, "%s: %s", what, strerror(-number));
	tell(stop);
}
