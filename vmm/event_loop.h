/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An epoll loop: file descriptors become ready, their handler runs on the loop's thread.
 *
 * Sources are owned by the caller (usually embedded in a device) and must stay valid until
 * removed. add/change/remove may be called from any thread; a source removed from another thread
 * while its handler runs must be protected by the caller's own lock. All return -errno.
 */
#ifndef LUPINE_EVENT_LOOP_H
#define LUPINE_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_loop {
	int epoll_fd;
	int stop_fd; /* eventfd: written by event_loop_stop() and event_loop_wake() */
	void (*woken)(void *context); /* by the latter, on the loop's thread; or NULL */
	void *woken_context;

	int patience; /* above 0: requests came several at once of late */
	bool patient; /* the thread's policy is SCHED_BATCH */
	bool may_wait; /* no policy was chosen for the thread that made the loop, or its heirs */
};

struct event_source {
	int fd;
	/* @events: EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP as epoll_wait(2) reports them. */
	void (*ready)(struct event_source *source, uint32_t events);
};

int event_loop_init(struct event_loop *loop);
void event_loop_fini(struct event_loop *loop);

int event_loop_add(struct event_loop *loop, struct event_source *source, uint32_t events);
int event_loop_change(struct event_loop *loop, struct event_source *source, uint32_t events);
int event_loop_remove(struct event_loop *loop, struct event_source *source);

/* Runs handlers until event_loop_stop(). 0, or -errno when epoll_wait fails. */
int event_loop_run(struct event_loop *loop);
/* Any thread, and signal-safe; so is the next. */
void event_loop_stop(struct event_loop *loop);

/*
 * Tells the loop, on its thread, how many requests a guest's notification brought. Where the loop
 * shares a CPU with the vCPU that notified it, the host's scheduler tends to let it preempt the
 * vCPU: a guest that waits for its one request is served without having to halt, but one with many
 * never gets to queue them, and each costs an exit. So while requests come several at once, and now
 * and then to find out, the loop runs as SCHED_BATCH, which waits for the running thread's turn to
 * end. With a CPU for each thread it changes nothing.
 */
void event_loop_served(struct event_loop *loop, unsigned int requests);

/* Has the loop call woken, soon and once for any number of these. */
void event_loop_wake(struct event_loop *loop);

#endif
