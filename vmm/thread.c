/* SPDX-License-Identifier: Apache-2.0 */
#include "thread.h"

#include <signal.h>

/*
 * The default 8 MiB would be backed by a huge page where the host gives those: 2 MiB to clear and
 * to hold for a few KiB of use.
 */
#define STACK_SIZE (128u << 10)

int thread_start(pthread_t *thread, void *(*run)(void *), void *argument)
{
	pthread_attr_t attributes;
	sigset_t all, before;
	int err = -pthread_attr_init(&attributes);

	if (err)
		return err;
	err = -pthread_attr_setstacksize(&attributes, STACK_SIZE);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	if (!err)
		err = -pthread_create(thread, &attributes, run, argument);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attributes);
	return err;
}
