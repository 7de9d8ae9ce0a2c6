/* SPDX-License-Identifier: Apache-2.0 */
#include "boot_files.h"

#include <errno.h>

#include "cpu_state.h"

/* The page tables, walked as the CPU does: what @gva is mapped to, or UINT64_MAX. */
static uint64_t translate(const struct guest_mem *mem, uint64_t cr3, uint64_t gva)
{
	uint64_t entry = cr3;

	for (unsigned int shift = 39; shift >= 21; shift -= 9) {
		const uint64_t *table = mem_at(mem, entry & ~0xfffull, 4096);

		entry = table[gva >> shift & 511];
		if (!(entry & 1) || !(entry & 2))
			return UINT64_MAX;
		if (entry & 0x80)
			return (entry & ~((1ull << shift) - 1)) | (gva & ((1ull << shift) - 1));
	}
	return UINT64_MAX;
}

static void tables(void **state)
{
	struct kvm_sregs sregs = { 0 };
	struct kvm_regs regs;
	struct guest_mem mem;

	(void)state;
	assert_int_equal(mem_create(&mem, MEM_SIZE), 0);
	assert_int_equal(cpu_state_write_tables(&mem), 0);
	cpu_state_set(&sregs, &regs, 0x1000040, 0x7000);
	for (uint64_t gva = 0; gva < 1ull << 30; gva += 0x1fffff)
		assert_int_equal(translate(&mem, sregs.cr3, gva), gva);
	assert_int_equal(translate(&mem, sregs.cr3, (1ull << 30) - 1), (1ull << 30) - 1);
	assert_int_equal(translate(&mem, sregs.cr3, 1ull << 30), UINT64_MAX);
	assert_int_equal(translate(&mem, sregs.cr3, 0xffffffff81000000), UINT64_MAX);

	/* The segments in the registers are those in the GDT (boot.rst: 0x10 and 0x18). */
	const uint64_t *gdt = mem_at(&mem, sregs.gdt.base, sregs.gdt.limit + 1);
	assert_int_equal(sregs.cs.selector, 0x10);
	assert_int_equal(sregs.ss.selector, 0x18);
	assert_int_equal(sregs.gdt.limit, 4 * 8 - 1);
	assert_int_equal(gdt[2] >> 53 & 1, sregs.cs.l);
	assert_int_equal(gdt[2] >> 40 & 0xf, sregs.cs.type);
	assert_int_equal(gdt[3] >> 40 & 0xf, sregs.ds.type);
	mem_destroy(&mem);
}

static void registers(void **state)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	(void)state;
	memset(&sregs, 0, sizeof(sregs));
	memset(&regs, 0x55, sizeof(regs));
	sregs.apic_base = 0xfee00900;
	sregs.tr.type = 11;
	cpu_state_set(&sregs, &regs, 0x1000040, 0x7000);
	assert_int_equal(regs.rip, 0x1000040);
	assert_int_equal(regs.rsi, 0x7000);
	assert_int_equal(regs.rflags, 2);
	assert_int_equal(regs.rax | regs.rbx | regs.rsp | regs.rdi, 0);
	assert_true(sregs.cr0 & 0x80000000 && sregs.cr0 & 1 && !(sregs.cr0 & 0x60000000));
	assert_int_equal(sregs.efer & 0x500, 0x500);
	assert_int_equal(sregs.cr4, 0x20);
	assert_int_equal(sregs.idt.limit, 0);
	/* What KVM gave stays. */
	assert_int_equal(sregs.apic_base, 0xfee00900);
	assert_int_equal(sregs.tr.type, 11);
}

static void memory_too_small(void **state)
{
	struct guest_mem mem;

	(void)state;
	assert_int_equal(mem_create(&mem, 0xb000), 0);
	assert_int_equal(cpu_state_write_tables(&mem), -EFAULT);
	mem_destroy(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tables),
		cmocka_unit_test(registers),
		cmocka_unit_test(memory_too_small),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
