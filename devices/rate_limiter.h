/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A token bucket for bytes and one for operations. A device asks before it takes a request and
 * charges it when its size is known; a bucket may go into debt by one request, which the next ones
 * wait for. So no request is too large for a bucket, and the long-run rate is exact.
 *
 * Not thread-safe: under the device's lock. The timer runs on the event loop.
 */
#ifndef LUPINE_RATE_LIMITER_H
#define LUPINE_RATE_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#include "event_loop.h"

/* Units a second, 0 for no limit; and how many may come at once after a rest, 0 for a second's. */
struct rate_limit {
	uint64_t rate;
	uint64_t burst;
};

struct rate_limits {
	struct rate_limit bytes, ops;
};

struct rate_bucket {
	struct rate_limit limit;
	int64_t tokens; /* in units; below zero is debt */
	uint64_t at; /* ns: when tokens was true */
};

struct rate_limiter {
	struct event_source timer; /* first: the handler is handed this. fd -1: no limit */
	struct event_loop *loop;
	struct rate_bucket bytes, ops;
	void (*refilled)(void *context);
	void *context;
};

/* @refilled is called on the event loop, without a lock, when waiting is over. -errno. */
int rate_limiter_init(struct rate_limiter *limiter, const struct rate_limits *limits,
		      struct event_loop *loop, void (*refilled)(void *context), void *context);
void rate_limiter_fini(struct rate_limiter *limiter);

/* Whether a request may be taken now. If not, refilled() will be called when one may. */
bool rate_limiter_ready(struct rate_limiter *limiter);
void rate_limiter_charge(struct rate_limiter *limiter, uint64_t bytes);

/* The arithmetic alone, for @now in ns: fills up; and how long until it is out of debt. */
void rate_bucket_fill(struct rate_bucket *bucket, uint64_t now);
uint64_t rate_bucket_wait(const struct rate_bucket *bucket);

#endif
