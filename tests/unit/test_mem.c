/* SPDX-License-Identifier: Apache-2.0 */
#include "mem.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

#define MIB (1ull << 20)

static void ranges_of_one_region(void **state)
{
	struct guest_mem mem;

	(void)state;
	assert_int_equal(mem_create(&mem, 16 * MIB), 0);
	assert_int_equal(mem.nr, 1);
	assert_ptr_equal(mem_at(&mem, 0, 16 * MIB), mem.region[0].host);
	assert_non_null(mem_at(&mem, 16 * MIB - 1, 1));
	assert_non_null(mem_at(&mem, 16 * MIB - 1, 0));
	assert_null(mem_at(&mem, 16 * MIB - 1, 2));
	assert_null(mem_at(&mem, 16 * MIB, 0));
	assert_null(mem_at(&mem, 0, 16 * MIB + 1));
	assert_null(mem_at(&mem, 1, UINT64_MAX));
	assert_null(mem_at(&mem, UINT64_MAX, 1));
	assert_null(mem_at(&mem, UINT64_MAX, UINT64_MAX));
	mem_destroy(&mem);
	assert_null(mem_at(&mem, 0, 0));
}

static void the_gap_is_not_memory(void **state)
{
	struct guest_mem mem;

	(void)state;
	assert_int_equal(mem_create(&mem, MEM_LOW_MAX + 4 * MIB), 0);
	assert_int_equal(mem.nr, 2);
	assert_non_null(mem_at(&mem, MEM_LOW_MAX - 1, 1));
	assert_null(mem_at(&mem, MEM_LOW_MAX - 1, 2));
	assert_null(mem_at(&mem, MEM_LOW_MAX, 1));
	assert_null(mem_at(&mem, MEM_HIGH_BASE - 1, 1));
	assert_null(mem_at(&mem, MEM_HIGH_BASE - 1, 2));
	assert_ptr_equal(mem_at(&mem, MEM_HIGH_BASE, 4 * MIB), mem.region[1].host);
	assert_null(mem_at(&mem, MEM_HIGH_BASE, 4 * MIB + 1));
	for (unsigned int i = 0; i < mem.nr; i++)
		assert_int_equal((uintptr_t)mem.region[i].host % (2 * MIB), 0);
	mem_destroy(&mem);
}

static void copies_are_whole_or_not_at_all(void **state)
{
	char back[4] = "....";
	struct guest_mem mem;

	(void)state;
	assert_int_equal(mem_create(&mem, MIB), 0);
	assert_int_equal(mem_write(&mem, MIB - 4, "abcd", 4), 0);
	assert_int_equal(mem_read(&mem, MIB - 4, back, 4), 0);
	assert_memory_equal(back, "abcd", 4);
	assert_int_equal(mem_write(&mem, MIB - 3, "wxyz", 4), -EFAULT);
	assert_int_equal(mem_read(&mem, MIB - 3, back, 4), -EFAULT);
	assert_int_equal(mem_read(&mem, MIB - 4, back, 4), 0);
	assert_memory_equal(back, "abcd", 4);
	mem_destroy(&mem);
}

static void more_than_the_host_has(void **state)
{
	struct guest_mem mem;

	(void)state;
	assert_int_equal(mem_create(&mem, 1ull << 60), -ENOMEM);
	assert_int_equal(mem.nr, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_of_one_region),
		cmocka_unit_test(the_gap_is_not_memory),
		cmocka_unit_test(copies_are_whole_or_not_at_all),
		cmocka_unit_test(more_than_the_host_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
