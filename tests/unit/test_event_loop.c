/* SPDX-License-Identifier: Apache-2.0 */
/* When the event loop lets the thread that notified it go on (event_loop_served()). */
#include "event_loop.h"
#include "unit.h"

#include <sched.h>

static int policy_after(struct event_loop *loop, unsigned int notifications, unsigned int requests)
{
	for (unsigned int i = 0; i < notifications; i++)
		event_loop_served(loop, requests);
	return sched_getscheduler(0);
}

static void patience(void **state)
{
	struct event_loop loop;

	(void)state;
	assert_int_equal(event_loop_init(&loop), 0);
	assert_int_equal(policy_after(&loop, 250, 1), SCHED_OTHER);
	assert_int_equal(policy_after(&loop, 1, 2), SCHED_BATCH);
	assert_int_equal(policy_after(&loop, 100, 32), SCHED_BATCH);
	assert_int_equal(policy_after(&loop, 3, 1), SCHED_BATCH);
	assert_int_equal(policy_after(&loop, 1, 1), SCHED_OTHER);
	/* Now and then for one, to find out. */
	for (int round = 0; round < 3; round++) {
		assert_int_equal(policy_after(&loop, 255, 1), SCHED_OTHER);
		assert_int_equal(policy_after(&loop, 1, 1), SCHED_BATCH);
		assert_int_equal(policy_after(&loop, 1, 0), SCHED_OTHER);
	}
	event_loop_fini(&loop);
}

static void a_policy_that_somebody_chose_stays(void **state)
{
	const struct sched_param none = { 0 };
	struct event_loop loop;

	(void)state;
	assert_int_equal(sched_setscheduler(0, SCHED_IDLE, &none), 0);
	assert_int_equal(event_loop_init(&loop), 0);
	assert_int_equal(policy_after(&loop, 3, 9), SCHED_IDLE);
	assert_int_equal(policy_after(&loop, 100, 1), SCHED_IDLE);
	event_loop_fini(&loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patience),
		cmocka_unit_test(a_policy_that_somebody_chose_stays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
