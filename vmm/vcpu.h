/* SPDX-License-Identifier: Apache-2.0 */
/* A virtual CPU: its KVM state, and the loop that runs it and carries out its exits. */
#ifndef LUPINE_VCPU_H
#define LUPINE_VCPU_H

#include <stdint.h>

#include "guest_cpuid.h"
#include "kvm.h"
#include "machine.h"

struct vcpu {
	unsigned int id; /* APIC id; 0 is the boot processor */
	int fd;
	int stats_fd; /* -1: not measured */
	struct kvm_run *run;
	size_t run_size;
	struct machine *machine;
	uint64_t exits[LUPINE_KINDS]; /* its own thread's, read after it ended */
};

/* Creates vCPU @id. @cpuid is changed to its topology. -errno; nothing is left on failure. */
int vcpu_create(struct vcpu *vcpu, const struct kvm *kvm, unsigned int id, unsigned int cpus,
		struct guest_cpuid *cpuid, struct machine *machine);
void vcpu_destroy(struct vcpu *vcpu);

/* Lets vCPU 0 begin at @entry. */
int vcpu_set_boot_state(const struct vcpu *vcpu, uint64_t entry, uint64_t zero_page);

/*
 * Runs guest code until the VM stops. The thread has VCPU_KICK_SIGNAL blocked; sent to it, it
 * interrupts KVM_RUN and nothing else.
 */
void vcpu_loop(struct vcpu *vcpu);

#define VCPU_KICK_SIGNAL SIGRTMIN

#endif
