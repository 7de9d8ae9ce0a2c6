/* SPDX-License-Identifier: Apache-2.0 */
#include "kvm.h"

#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "address_map.h"
#include "error.h"

bool kvm_lacks_hardware(void)
{
	const unsigned int vmx = 1u << 5, svm = 1u << 2;
	unsigned int eax, ebx, ecx, edx;

	if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & vmx))
		return false;
	return !(__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & svm));
}

static int open_error(int err, struct lupine_error *error)
{
	switch (err) {
	case -ENOENT:
		return error_set(error, LUPINE_ERROR_HOST, err,
				 "/dev/kvm: not there: load kvm-intel or kvm-amd, or enable "
				 "virtualisation in the firmware");
	case -EACCES:
	case -EPERM:
		return error_set(error, LUPINE_ERROR_HOST, err,
				 "/dev/kvm: no permission: add this user to the kvm group");
	default:
		return error_set(error, LUPINE_ERROR_HOST, err, "/dev/kvm: %s", strerror(-err));
	}
}

int kvm_open(struct kvm *kvm, struct lupine_error *error)
{
	*kvm = (struct kvm){ .fd = -1, .vm_fd = -1 };
	kvm->fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (kvm->fd < 0)
		return open_error(-errno, error);
	if (kvm_lacks_hardware()) {
		kvm_close(kvm);
		return error_set(
			error, LUPINE_ERROR_HOST, -EOPNOTSUPP,
			"/dev/kvm: this CPU has neither VMX nor SVM, so its KVM interprets "
			"the guest's kernel, slowly and incompletely: use a host with "
			"hardware virtualisation, or tests/rig/rig");
	}
	const int version = ioctl(kvm->fd, KVM_GET_API_VERSION, 0);
	const int run_size = ioctl(kvm->fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (version != KVM_API_VERSION || run_size < (int)sizeof(struct kvm_run)) {
		kvm_close(kvm);
		return error_set(error, LUPINE_ERROR_HOST, -EOPNOTSUPP,
				 "/dev/kvm: API version %d, this program needs %d", version,
				 KVM_API_VERSION);
	}
	kvm->run_size = (size_t)run_size;
	return 0;
}

int kvm_create_vm(struct kvm *kvm, struct lupine_error *error)
{
	const uint64_t identity_map = ADDR_IDENTITY_MAP;

	do /* a signal ends KVM's wait for its RCU grace period */
		kvm->vm_fd = ioctl(kvm->fd, KVM_CREATE_VM, 0);
	while (kvm->vm_fd < 0 && errno == EINTR);
	if (kvm->vm_fd < 0)
		return error_set(error, LUPINE_ERROR_HOST, -errno, "KVM_CREATE_VM: %s",
				 strerror(errno));
	if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 ||
	    ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, ADDR_TSS) < 0 ||
	    ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0)
		return error_set(error, LUPINE_ERROR_HOST, -errno,
				 "KVM: no in-kernel interrupt controllers: %s", strerror(errno));
	return 0;
}

void kvm_close(struct kvm *kvm)
{
	if (kvm->vm_fd >= 0)
		close(kvm->vm_fd);
	if (kvm->fd >= 0)
		close(kvm->fd);
	kvm->fd = kvm->vm_fd = -1;
}

int kvm_set_memory(const struct kvm *kvm, const struct guest_mem *mem)
{
	for (unsigned int i = 0; i < mem->nr; i++) {
		const struct kvm_userspace_memory_region slot = {
			.slot = i,
			.guest_phys_addr = mem->region[i].gpa,
			.memory_size = mem->region[i].size,
			.userspace_addr = (uintptr_t)mem->region[i].host,
		};

		if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0)
			return -errno;
	}
	return 0;
}

int kvm_bind_irq(const struct kvm *kvm, int fd, uint32_t gsi)
{
	const struct kvm_irqfd irqfd = { .fd = (uint32_t)fd, .gsi = gsi };

	return ioctl(kvm->vm_fd, KVM_IRQFD, &irqfd) < 0 ? -errno : 0;
}

int kvm_bind_notify(const struct kvm *kvm, int fd, uint64_t gpa, uint32_t value)
{
	const struct kvm_ioeventfd notify = {
		.datamatch = value,
		.addr = gpa,
		.len = sizeof(value),
		.fd = fd,
		.flags = KVM_IOEVENTFD_FLAG_DATAMATCH,
	};

	return ioctl(kvm->vm_fd, KVM_IOEVENTFD, &notify) < 0 ? -errno : 0;
}
