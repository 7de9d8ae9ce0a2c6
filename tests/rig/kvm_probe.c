// SPDX-License-Identifier: Apache-2.0
// kvm_probe: is there a true KVM here? Runs ring-0 code in a one-page real-mode guest that sums
// 1..LOOPS in registers and hands the sum out through a port, and checks what arrives. Prints the
// guest's exits and the nanoseconds that took by this machine's clock.
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

enum { LOOPS = 10000000, PAGE = 4096, PORT = 0xe9 };

static const uint8_t program[] = {
	0x66, 0x31, 0xc0, // xor eax, eax
	0x66, 0xb9, 0x80, 0x96, 0x98, 0x00, // mov ecx, LOOPS
	0x66, 0x01, 0xc8, // again: add eax, ecx
	0x66, 0x49, // dec ecx
	0x75, 0xf9, // jnz again
	0xf3, 0x0f, 0xb8, 0xd9, // popcnt bx, cx: an interpreter of ring 0 fails here
	0xba, PORT, 0x00, // mov dx, PORT
	0x66, 0xef, // out dx, eax
	0xf4, // hlt
};

static int check(int result, const char *what)
{
	if (result < 0) {
		perror(what);
		exit(1);
	}
	return result;
}

static long long now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(void)
{
	int kvm = check(open("/dev/kvm", O_RDWR | O_CLOEXEC), "/dev/kvm");
	int vm = check(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	uint8_t *memory =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		check(-1, "mmap");
	memcpy(memory, program, sizeof(program));
	struct kvm_userspace_memory_region region = { .memory_size = PAGE,
						      .userspace_addr = (uintptr_t)memory };
	check(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	int vcpu = check(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	size_t size =
		(size_t)check(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED)
		check(-1, "mmap vcpu");
	struct kvm_sregs sregs;
	check(ioctl(vcpu, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	check(ioctl(vcpu, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	struct kvm_regs regs = { .rip = 0, .rflags = 2 };
	check(ioctl(vcpu, KVM_SET_REGS, &regs), "KVM_SET_REGS");

	uint32_t sum = 0;
	int exits = 0;
	long long start = now();
	do {
		check(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
		exits++;
		if (run->exit_reason == KVM_EXIT_IO && run->io.port == PORT && run->io.size == 4)
			memcpy(&sum, (uint8_t *)run + run->io.data_offset, sizeof(sum));
	} while (run->exit_reason == KVM_EXIT_IO);
	long long elapsed = now() - start;

	if (run->exit_reason != KVM_EXIT_HLT || sum != (uint32_t)(LOOPS * (LOOPS + 1ULL) / 2)) {
		fprintf(stderr, "kvm_probe: exit reason %u, sum %u\n", run->exit_reason, sum);
		return 1;
	}
	printf("exits %d ns %lld\n", exits, elapsed);
	return 0;
}
