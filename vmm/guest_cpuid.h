/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What CPUID tells the guest: what KVM supports on this host, with this VM's topology in it, and
 * the TSC-deadline timer, so that the guest calibrates nothing.
 */
#ifndef LUPINE_GUEST_CPUID_H
#define LUPINE_GUEST_CPUID_H

#include <linux/kvm.h>

#define GUEST_CPUID_MAX 256

struct guest_cpuid {
	__u32 nent;
	__u32 padding;
	struct kvm_cpuid_entry2 entries[GUEST_CPUID_MAX];
};

/* Asks /dev/kvm. -errno. Once a VM. */
int guest_cpuid_supported(int kvm_fd, struct guest_cpuid *table);
/* Makes @table that of the vCPU with APIC id @id among @cpus. */
void guest_cpuid_set_topology(struct guest_cpuid *table, unsigned int id, unsigned int cpus);

#endif
