/* SPDX-License-Identifier: Apache-2.0 */
/* Token bucket arithmetic, in made-up time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "rate_limiter.h"

#define MS 1000000ull

static void fills_up_to_its_burst(void **state)
{
	struct rate_bucket b = { .limit = { .rate = 1000, .burst = 10 } };

	(void)state;
	rate_bucket_fill(&b, 3 * MS);
	assert_int_equal(b.tokens, 3);
	rate_bucket_fill(&b, 3 * MS + 999999);
	assert_int_equal(b.tokens, 3); /* no rounding up */
	rate_bucket_fill(&b, 4 * MS);
	assert_int_equal(b.tokens, 4); /* and none lost */
	rate_bucket_fill(&b, 1000 * MS);
	assert_int_equal(b.tokens, 10);
	rate_bucket_fill(&b, UINT64_MAX);
	assert_int_equal(b.tokens, 10);
}

static void waits_out_its_debt(void **state)
{
	struct rate_bucket b = { .limit = { .rate = 1000, .burst = 10 }, .tokens = -4 };

	(void)state;
	assert_int_equal(rate_bucket_wait(&b), 5 * MS);
	rate_bucket_fill(&b, 5 * MS - 1);
	assert_int_not_equal(rate_bucket_wait(&b), 0);
	rate_bucket_fill(&b, 5 * MS);
	assert_int_equal(rate_bucket_wait(&b), 0);
}

/* Over a long time exactly the rate comes through, whatever the steps. */
static void is_exact_in_the_long_run(void **state)
{
	struct rate_bucket b = { .limit = { .rate = 333, .burst = 5 } };
	uint64_t passed = 0, now = 0;
	uint32_t seed = 1;

	(void)state;
	while (now < 1000 * 1000 * MS) {
		seed = seed * 1664525 + 1013904223;
		now += seed % (2 * MS);
		rate_bucket_fill(&b, now);
		while (rate_bucket_wait(&b) == 0) {
			const unsigned int cost = 1 + (seed >> 16) % 9;

			b.tokens -= cost;
			passed += cost;
		}
	}
	assert_in_range(passed, 333 * 1000 - 1, 333 * 1000 + 10);
}

static void no_limit_is_no_limit(void **state)
{
	struct rate_bucket b = { .tokens = -1000 };

	(void)state;
	rate_bucket_fill(&b, 1);
	assert_int_equal(rate_bucket_wait(&b), 0);
}

static void the_largest_numbers(void **state)
{
	struct rate_bucket b = { .limit = { .rate = INT64_MAX / 4 }, .tokens = -(INT64_MAX / 4) };

	(void)state;
	assert_in_range(rate_bucket_wait(&b), 1000 * MS, 1001 * MS);
	rate_bucket_fill(&b, UINT64_MAX);
	assert_int_equal(b.tokens, INT64_MAX / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fills_up_to_its_burst),    cmocka_unit_test(waits_out_its_debt),
		cmocka_unit_test(is_exact_in_the_long_run), cmocka_unit_test(no_limit_is_no_limit),
		cmocka_unit_test(the_largest_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
