/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state in which the boot processor enters the kernel: 64-bit mode, identity mapping, flat
 * segments, interrupts off, RSI = zero page (boot.rst, "64-bit Boot Protocol").
 */
#ifndef LUPINE_CPU_STATE_H
#define LUPINE_CPU_STATE_H

#include <linux/kvm.h>
#include <stdint.h>

#include "mem.h"

/* Writes GDT and page tables into the first 64 KiB of guest memory. -EFAULT if it is not there. */
int cpu_state_write_tables(const struct guest_mem *mem);
/* Changes of @sregs (as KVM_GET_SREGS gave it) only what must differ; fills @regs wholly. */
void cpu_state_set(struct kvm_sregs *sregs, struct kvm_regs *regs, uint64_t entry,
		   uint64_t zero_page);

#endif
