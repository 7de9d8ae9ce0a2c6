/* SPDX-License-Identifier: Apache-2.0 */
#include "rate_limiter.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static int64_t capacity(const struct rate_bucket *bucket)
{
	return (int64_t)(bucket->limit.burst ? bucket->limit.burst : bucket->limit.rate);
}

void rate_bucket_fill(struct rate_bucket *bucket, uint64_t now)
{
	const uint64_t rate = bucket->limit.rate;

	if (rate == 0)
		return;
	/* Only the time that whole tokens took is used up, so that nothing is lost in rounding. */
	const unsigned __int128 grown = (unsigned __int128)(now - bucket->at) * rate / SECOND;
	const int64_t room = capacity(bucket) - bucket->tokens;

	if (grown >= (uint64_t)room) {
		bucket->tokens += room;
		bucket->at = now;
	} else if (grown > 0) {
		bucket->tokens += (int64_t)grown;
		bucket->at += (uint64_t)(grown * SECOND / rate);
	}
}

uint64_t rate_bucket_wait(const struct rate_bucket *bucket)
{
	if (bucket->limit.rate == 0 || bucket->tokens > 0)
		return 0;
	const unsigned __int128 missing = (uint64_t)(1 - bucket->tokens);

	return (uint64_t)((missing * SECOND + bucket->limit.rate - 1) / bucket->limit.rate);
}

static void timer_fired(struct event_source *source, uint32_t events)
{
	struct rate_limiter *limiter = (struct rate_limiter *)source;

	(void)events; /* edge-triggered, so the expirations need not be read */
	limiter->refilled(limiter->context);
}

static void start_bucket(struct rate_bucket *bucket, const struct rate_limit *limit, uint64_t now)
{
	*bucket = (struct rate_bucket){ .limit = *limit, .at = now };
	/* What a request costs and a bucket holds must fit, with debt, in 63 bits. */
	if (bucket->limit.rate > INT64_MAX / 4)
		bucket->limit.rate = INT64_MAX / 4;
	if (bucket->limit.burst > INT64_MAX / 4)
		bucket->limit.burst = INT64_MAX / 4;
	bucket->tokens = capacity(bucket);
}

int rate_limiter_init(struct rate_limiter *limiter, const struct rate_limits *limits,
		      struct event_loop *loop, void (*refilled)(void *context), void *context)
{
	const uint64_t now = now_ns();

	*limiter = (struct rate_limiter){
		.timer = { -1, timer_fired }, .loop = loop, .refilled = refilled, .context = context
	};
	if (limits->bytes.rate == 0 && limits->ops.rate == 0)
		return 0;
	start_bucket(&limiter->bytes, &limits->bytes, now);
	start_bucket(&limiter->ops, &limits->ops, now);
	limiter->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (limiter->timer.fd < 0)
		return -errno;
	const int err = event_loop_add(loop, &limiter->timer, EPOLLIN | EPOLLET);
	if (err)
		rate_limiter_fini(limiter);
	return err;
}

void rate_limiter_fini(struct rate_limiter *limiter)
{
	if (limiter->timer.fd < 0)
		return;
	(void)event_loop_remove(limiter->loop, &limiter->timer);
	close(limiter->timer.fd);
	limiter->timer.fd = -1;
}

bool rate_limiter_ready(struct rate_limiter *limiter)
{
	if (limiter->timer.fd < 0)
		return true;
	const uint64_t now = now_ns();

	rate_bucket_fill(&limiter->bytes, now);
	rate_bucket_fill(&limiter->ops, now);
	const uint64_t bytes = rate_bucket_wait(&limiter->bytes);
	const uint64_t ops = rate_bucket_wait(&limiter->ops);
	const uint64_t wait = bytes > ops ? bytes : ops;
	if (wait == 0)
		return true;
	const struct itimerspec at = { .it_value = { .tv_sec = (time_t)(wait / SECOND),
						     .tv_nsec = (long)(wait % SECOND) } };
	(void)timerfd_settime(limiter->timer.fd, 0, &at, NULL);
	return false;
}

void rate_limiter_charge(struct rate_limiter *limiter, uint64_t bytes)
{
	limiter->bytes.tokens -= limiter->bytes.limit.rate ? (int64_t)bytes : 0;
	limiter->ops.tokens -= limiter->ops.limit.rate ? 1 : 0;
}
