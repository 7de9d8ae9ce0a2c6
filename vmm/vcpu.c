/* SPDX-License-Identifier: Apache-2.0 */
#include "vcpu.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu_state.h"

#define MSR_MISC_ENABLE		    0x1a0
#define MSR_MISC_ENABLE_FAST_STRING 1ull
#define MSR_MTRR_DEF_TYPE	    0x2ff
#define MTRR_ENABLED_WRITE_BACK	    (1ull << 11 | 6)

/*
 * In KVM_RUN the kick signal is let through, so that one sent at any moment interrupts the run
 * that is going on or the next; no handler is ever called (api.rst, 4.21 KVM_SET_SIGNAL_MASK).
 */
static int set_run_mask(int fd)
{
	struct {
		struct kvm_signal_mask head;
		uint64_t blocked; /* the kernel's sigset: bit n - 1 is signal n */
	} __attribute__((packed)) mask = {
		.head.len = sizeof(mask.blocked),
		.blocked = ~(1ull << (VCPU_KICK_SIGNAL - 1)),
	};

	return ioctl(fd, KVM_SET_SIGNAL_MASK, &mask) < 0 ? -errno : 0;
}

/* What a firmware would have set: memory is cached, string operations are fast. */
static int set_msrs(int fd)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry entries[2];
	} msrs = {
		.head.nmsrs = 2,
		.entries = { { .index = MSR_MISC_ENABLE, .data = MSR_MISC_ENABLE_FAST_STRING },
			     { .index = MSR_MTRR_DEF_TYPE, .data = MTRR_ENABLED_WRITE_BACK } },
	};
	const int set = ioctl(fd, KVM_SET_MSRS, &msrs);

	return set < 0 ? -errno : set == 2 ? 0 : -EINVAL;
}

int vcpu_create(struct vcpu *vcpu, const struct kvm *kvm, unsigned int id, unsigned int cpus,
		struct guest_cpuid *cpuid, struct machine *machine)
{
	int err;

	*vcpu = (struct vcpu){ .id = id,
			       .stats_fd = -1,
			       .run = MAP_FAILED,
			       .run_size = kvm->run_size,
			       .machine = machine };
	vcpu->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, id);
	if (vcpu->fd < 0)
		return -errno;
	vcpu->run = mmap(NULL, vcpu->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED) {
		err = -errno;
		goto fail;
	}
	guest_cpuid_set_topology(cpuid, id, cpus);
	if (ioctl(vcpu->fd, KVM_SET_CPUID2, cpuid) < 0) {
		err = -errno;
		goto fail;
	}
	err = set_msrs(vcpu->fd);
	if (!err)
		err = set_run_mask(vcpu->fd);
	if (!err)
		return 0;
fail:
	vcpu_destroy(vcpu);
	return err;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	if (vcpu->run != MAP_FAILED)
		munmap(vcpu->run, vcpu->run_size);
	if (vcpu->stats_fd >= 0)
		close(vcpu->stats_fd);
	if (vcpu->fd >= 0)
		close(vcpu->fd);
}

int vcpu_set_boot_state(const struct vcpu *vcpu, uint64_t entry, uint64_t zero_page)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;

	if (ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
		return -errno;
	cpu_state_set(&sregs, &regs, entry, zero_page);
	if (ioctl(vcpu->fd, KVM_SET_SREGS, &sregs) < 0 || ioctl(vcpu->fd, KVM_SET_REGS, &regs) < 0)
		return -errno;
	return 0;
}

/* Returns how to count the exit. */
static enum lupine_exit_kind handle_exit(struct vcpu *vcpu)
{
	struct kvm_run *run = vcpu->run;

	switch (run->exit_reason) {
	case KVM_EXIT_IO:
		return machine_io(vcpu->machine, run);
	case KVM_EXIT_MMIO:
		return machine_mmio(vcpu->machine, run);
	case KVM_EXIT_SHUTDOWN:
		stop_request(vcpu->machine->stop, LUPINE_EXIT_TRIPLE_FAULT, 0);
		break;
	case KVM_EXIT_FAIL_ENTRY:
		stop_fail(vcpu->machine->stop, -EINVAL,
			  "KVM_RUN: the CPU refused the vCPU's state");
		break;
	case KVM_EXIT_INTERNAL_ERROR:
		stop_fail(vcpu->machine->stop, -EIO,
			  "KVM_RUN: an instruction of the guest cannot be emulated");
		break;
	default:
		stop_fail(vcpu->machine->stop, -EIO, "KVM_RUN: an exit this program does not know");
		break;
	}
	return LUPINE_KIND_OTHER;
}

void vcpu_loop(struct vcpu *vcpu)
{
	struct stop *stop = vcpu->machine->stop;

	while (!stop_requested(stop)) {
		if (ioctl(vcpu->fd, KVM_RUN, 0) == 0)
			vcpu->exits[handle_exit(vcpu)]++;
		else if (errno == EINTR ||
			 errno == EAGAIN) /* kicked; EAGAIN: an AP before its INIT */
			vcpu->exits[LUPINE_KIND_SIGNAL]++;
		else
			stop_fail(stop, -errno, "KVM_RUN");
	}
}
