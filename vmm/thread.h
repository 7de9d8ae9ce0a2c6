/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LUPINE_THREAD_H
#define LUPINE_THREAD_H

#include <pthread.h>

/* Starts a thread of the library: all signals are the caller's, not its. To be joined. -errno. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *argument);

#endif
