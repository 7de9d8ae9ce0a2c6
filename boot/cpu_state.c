/* SPDX-License-Identifier: Apache-2.0 */
#include "cpu_state.h"

#include <asm/processor-flags.h>
#include <errno.h>

#include "low_memory.h"

#define PTE_PRESENT 0x1u
#define PTE_WRITE   0x2u
#define PTE_LARGE   0x80u

#define EFER_SCE 0x001u
#define EFER_LME 0x100u
#define EFER_LMA 0x400u
#define EFER_NX	 0x800u

/* Selectors __BOOT_CS and __BOOT_DS of boot.rst: 0x10 and 0x18. */
static const uint64_t gdt[] = {
	0, 0, 0x00af9b000000ffff, /* code: 64 bit, execute, read, accessed */
	0x00cf93000000ffff, /* data: 4 GiB, read, write, accessed */
};
static const struct kvm_segment boot_cs = {
	.selector = 0x10,
	.limit = 0xffffffff,
	.type = 11,
	.present = 1,
	.s = 1,
	.l = 1,
	.g = 1,
};
static const struct kvm_segment boot_ds = {
	.selector = 0x18,
	.limit = 0xffffffff,
	.type = 3,
	.present = 1,
	.db = 1,
	.s = 1,
	.g = 1,
};

/* Identity mapping of the first GiB by 2 MiB pages: the kernel lies there, and makes its own. */
int cpu_state_write_tables(const struct guest_mem *mem)
{
	uint64_t *pml4 = mem_at(mem, LOW_PML4, 4096);
	uint64_t *pdpt = mem_at(mem, LOW_PDPT, 4096);
	uint64_t *pd = mem_at(mem, LOW_PD, 4096);

	if (!pml4 || !pdpt || !pd)
		return -EFAULT;
	pml4[0] = LOW_PDPT | PTE_PRESENT | PTE_WRITE;
	pdpt[0] = LOW_PD | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < 512; i++)
		pd[i] = i << 21 | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
	return mem_write(mem, LOW_GDT, gdt, sizeof(gdt));
}

/*
 * CR0 and EFER are what Linux is about to set (arch/x86/kernel/head_64.S: CR0_STATE; EFER only
 * when it differs), which spares their exits. IDT limit 0: an exception before the kernel has its
 * own IDT is a triple fault, not a walk through memory.
 */
void cpu_state_set(struct kvm_sregs *sregs, struct kvm_regs *regs, uint64_t entry,
		   uint64_t zero_page)
{
	sregs->cs = boot_cs;
	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = boot_ds;
	sregs->gdt.base = LOW_GDT;
	sregs->gdt.limit = sizeof(gdt) - 1;
	sregs->idt.base = 0;
	sregs->idt.limit = 0;
	sregs->cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP | X86_CR0_AM |
		     X86_CR0_PG;
	sregs->cr3 = LOW_PML4;
	sregs->cr4 = X86_CR4_PAE;
	sregs->efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
	*regs = (struct kvm_regs){ .rip = entry, .rsi = zero_page, .rflags = X86_EFLAGS_FIXED };
}
