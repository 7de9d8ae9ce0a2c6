/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_cpuid.h"
#include "unit.h"

static struct guest_cpuid table;

static struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < table.nent; i++)
		if (table.entries[i].function == function && table.entries[i].index == index)
			return &table.entries[i];
	return NULL;
}

static void a_host_of_64_threads(void)
{
	const struct kvm_cpuid_entry2 host[] = {
		{ .function = 1, .ebx = 0x2a400800, .edx = 1u << 28 },
		{ .function = 4, .index = 0, .eax = 0xfc0fc121 },
		{ .function = 4, .index = 3, .eax = 0xfc0fc163 },
		{ .function = 0xb, .index = 0, .eax = 1, .ebx = 2, .ecx = 0x100, .edx = 0x2a },
		{ .function = 0xb, .index = 1, .eax = 6, .ebx = 64, .ecx = 0x201, .edx = 0x2a },
		{ .function = 0x80000008, .ecx = 0x603f },
		{ .function = 0x8000001e, .eax = 0x2a, .ebx = 0x115, .ecx = 0x101 },
	};

	table.nent = sizeof(host) / sizeof(host[0]);
	for (uint32_t i = 0; i < table.nent; i++)
		table.entries[i] = host[i];
}

static void one_cpu(void **state)
{
	(void)state;
	a_host_of_64_threads();
	guest_cpuid_set_topology(&table, 0, 1);
	assert_int_equal(leaf(1, 0)->ebx, 0x00010800);
	assert_int_equal(leaf(1, 0)->edx, 0);
	assert_int_equal(leaf(1, 0)->ecx, 1u << 31 | 1u << 24); /* hypervisor, TSC deadline */
	assert_int_equal(leaf(0xb, 1)->eax, 0);
	assert_int_equal(leaf(0xb, 1)->ebx, 1);
	assert_int_equal(leaf(0x80000008, 0)->ecx, 0);
}

static void the_third_of_four(void **state)
{
	(void)state;
	a_host_of_64_threads();
	guest_cpuid_set_topology(&table, 2, 4);
	assert_int_equal(leaf(1, 0)->ebx, 0x02040800);
	assert_int_equal(leaf(1, 0)->edx, 1u << 28);
	assert_int_equal(leaf(4, 0)->eax, 0x0c000121); /* level 1: its own */
	assert_int_equal(leaf(4, 3)->eax, 0x0c00c163); /* level 3: shared by four */
	assert_int_equal(leaf(0xb, 0)->edx, 2);
	assert_int_equal(leaf(0xb, 0)->ebx, 1);
	assert_int_equal(leaf(0xb, 1)->eax, 2);
	assert_int_equal(leaf(0xb, 1)->ebx, 4);
	assert_int_equal(leaf(0x80000008, 0)->ecx, 0x2003);
	assert_int_equal(leaf(0x8000001e, 0)->eax, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_cpu),
		cmocka_unit_test(the_third_of_four),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
