/* SPDX-License-Identifier: Apache-2.0 */
#include "event_loop.h"

#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH 16
#define STAY  4 /* notifications with one request before the loop is patient no more */
#define PROBE 256 /* and before it tries again */
#define STOP  (1ull << 32) /* more than one will ever be woken between two looks */

int event_loop_init(struct event_loop *loop)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = NULL };
	int err;

	*loop = (struct event_loop){
		.stop_fd = -1,
		.may_wait = sched_getscheduler(0) == SCHED_OTHER,
	};
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (loop->stop_fd < 0 ||
	    epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->stop_fd, &event) < 0) {
		err = -errno;
		event_loop_fini(loop);
		return err;
	}
	return 0;
}

void event_loop_fini(struct event_loop *loop)
{
	if (loop->stop_fd >= 0)
		close(loop->stop_fd);
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	loop->stop_fd = loop->epoll_fd = -1;
}

static int control(struct event_loop *loop, int op, struct event_source *source, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = source };

	return epoll_ctl(loop->epoll_fd, op, source->fd, &event) < 0 ? -errno : 0;
}

int event_loop_add(struct event_loop *loop, struct event_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_ADD, source, events);
}

int event_loop_change(struct event_loop *loop, struct event_source *source, uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, source, events);
}

int event_loop_remove(struct event_loop *loop, struct event_source *source)
{
	return control(loop, EPOLL_CTL_DEL, source, 0);
}

/* True when the loop is to stop: then the eventfd is left readable, so a second run stops at once.
 */
static bool told_to_stop(struct event_loop *loop)
{
	uint64_t count = 0;

	if (read(loop->stop_fd, &count, sizeof(count)) != sizeof(count))
		return false;
	if (count >= STOP) {
		event_loop_stop(loop);
		return true;
	}
	if (loop->woken)
		loop->woken(loop->woken_context);
	return false;
}

int event_loop_run(struct event_loop *loop)
{
	struct epoll_event events[BATCH];

	for (;;) {
		const int n = epoll_wait(loop->epoll_fd, events, BATCH, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n; i++) {
			struct event_source *source = events[i].data.ptr;

			if (source)
				source->ready(source, events[i].events);
			else if (told_to_stop(loop))
				return 0;
		}
	}
}

void event_loop_served(struct event_loop *loop, unsigned int requests)
{
	const struct sched_param none = { 0 };

	if (requests > 1)
		loop->patience = STAY;
	else if (--loop->patience <= -PROBE)
		loop->patience = 1;
	if (!loop->may_wait || loop->patient == (loop->patience > 0))
		return;
	loop->patient = loop->patience > 0;
	(void)sched_setscheduler(0, loop->patient ? SCHED_BATCH : SCHED_OTHER, &none);
}

static void tell(struct event_loop *loop, uint64_t count)
{
	/* Fails only when the counter is full: then the loop is already told. */
	(void)!write(loop->stop_fd, &count, sizeof(count));
}

void event_loop_stop(struct event_loop *loop)
{
	tell(loop, STOP);
}

void event_loop_wake(struct event_loop *loop)
{
	tell(loop, 1);
}
