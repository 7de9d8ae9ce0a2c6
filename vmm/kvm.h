/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel's side of a VM: what of KVM's interface (Documentation/virt/kvm/api.rst) is used. */
#ifndef LUPINE_KVM_H
#define LUPINE_KVM_H

#include <stdint.h>

#include "lupine.h"
#include "mem.h"

struct kvm {
	int fd; /* /dev/kvm */
	int vm_fd; /* the VM; closing it ends it */
	size_t run_size; /* of a vCPU's shared kvm_run, bytes */
};

/* True where a /dev/kvm would interpret the guest's ring 0: the CPU offers neither VMX nor SVM. */
bool kvm_lacks_hardware(void);

/* Opens /dev/kvm and checks that it can run our guests. Leaves nothing open on failure. */
int kvm_open(struct kvm *kvm, struct lupine_error *error);
/* Creates the VM with its in-kernel interrupt controllers. */
int kvm_create_vm(struct kvm *kvm, struct lupine_error *error);
void kvm_close(struct kvm *kvm);

/* The rest returns -errno. */
int kvm_set_memory(const struct kvm *kvm, const struct guest_mem *mem);
/* Writing to the eventfd @fd raises the edge-triggered interrupt @gsi. */
int kvm_bind_irq(const struct kvm *kvm, int fd, uint32_t gsi);
/* A 32-bit write of @value at @gpa signals the eventfd @fd instead of leaving the guest. */
int kvm_bind_notify(const struct kvm *kvm, int fd, uint64_t gpa, uint32_t value);

/* KVM's statistics of a vCPU: a file descriptor, or -errno (before Linux 5.14). */
int kvm_stats_open(int vcpu_fd);
/* Adds the vCPU's counters to those in @report, by name. Instantaneous values and histograms are
 * left out. */
void kvm_stats_add(int stats_fd, struct lupine_report *report);

#endif
