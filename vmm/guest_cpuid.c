/* SPDX-License-Identifier: Apache-2.0 */
#include "guest_cpuid.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define TSC_DEADLINE (1u << 24) /* leaf 1, ecx */
#define HYPERVISOR   (1u << 31) /* leaf 1, ecx */
#define HTT	     (1u << 28) /* leaf 1, edx: leaf 1's count of logical processors is valid */
#define LEVEL_SMT    (1u << 8) /* leaf 0xb and 0x1f, ecx */
#define LEVEL_CORE   (2u << 8)

_Static_assert(sizeof(struct guest_cpuid) ==
		       sizeof(struct kvm_cpuid2) +
			       GUEST_CPUID_MAX * sizeof(struct kvm_cpuid_entry2),
	       "guest_cpuid is a kvm_cpuid2 with its entries");

int guest_cpuid_supported(int kvm_fd, struct guest_cpuid *table)
{
	table->nent = GUEST_CPUID_MAX;
	table->padding = 0;
	return ioctl(kvm_fd, KVM_GET_SUPPORTED_CPUID, table) < 0 ? -errno : 0;
}

static void set_bits(__u32 *reg, __u32 mask, __u32 value)
{
	*reg = (*reg & ~mask) | (value & mask);
}

static unsigned int bits_for(unsigned int count)
{
	unsigned int bits = 0;

	while ((1u << bits) < count)
		bits++;
	return bits;
}

/* Extended topology (Intel SDM, CPUID leaf 0BH): one thread a core, all cores in one package. */
static void extended_topology(struct kvm_cpuid_entry2 *entry, unsigned int id, unsigned int cpus)
{
	entry->edx = id;
	if (entry->index == 0) {
		entry->eax = 0;
		entry->ebx = 1;
		entry->ecx = LEVEL_SMT;
	} else if (entry->index == 1) {
		entry->eax = bits_for(cpus);
		entry->ebx = cpus;
		entry->ecx = LEVEL_CORE | 1;
	} else {
		entry->eax = entry->ebx = 0;
		entry->ecx = entry->index;
	}
}

void guest_cpuid_set_topology(struct guest_cpuid *table, unsigned int id, unsigned int cpus)
{
	for (__u32 i = 0; i < table->nent; i++) {
		struct kvm_cpuid_entry2 *entry = &table->entries[i];

		switch (entry->function) {
		case 1:
			set_bits(&entry->ebx, 0xffff0000u, id << 24 | cpus << 16);
			entry->ecx |= TSC_DEADLINE | HYPERVISOR;
			set_bits(&entry->edx, HTT, cpus > 1 ? HTT : 0);
			break;
		case 4: /* deterministic cache parameters: cores in the package */
			set_bits(&entry->eax, 0xfc000000u, (cpus - 1) << 26);
			set_bits(&entry->eax, 0x03ffc000u,
				 (entry->eax >> 5 & 7) < 3 ? 0 : (cpus - 1) << 14);
			break;
		case 0xb:
		case 0x1f:
			extended_topology(entry, id, cpus);
			break;
		case 0x80000008: /* AMD APM vol. 3, E.4.7: NC, ApicIdCoreIdSize */
			entry->ecx = bits_for(cpus) << 12 | (cpus - 1);
			break;
		case 0x8000001d: /* AMD's cache parameters: who shares */
			set_bits(&entry->eax, 0x03ffc000u,
				 (entry->eax >> 5 & 7) < 3 ? 0 : (cpus - 1) << 14);
			break;
		case 0x8000001e: /* APIC id, one thread a core, one node */
			entry->eax = id;
			entry->ebx = id;
			entry->ecx = 0;
			break;
		default:
			break;
		}
	}
}
