// SPDX-License-Identifier: Apache-2.0
// Where a program puts guest memory, from its own KVM_SET_USER_MEMORY_REGION calls, and its memory
// map at the moment its threads exit: what is resident outside of the guest's memory is the
// monitor's. A run of its own: a traced program is not one whose time counts.
#include <errno.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <linux/ptrace.h>

#include "launch.h"
#include "tracefs.h"

void memory_trace_me(void)
{
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static void look_at_call(pid_t thread, FILE *out)
{
	struct ptrace_syscall_info info;
	struct kvm_userspace_memory_region region;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, (void *)sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_ioctl ||
	    info.entry.args[1] != KVM_SET_USER_MEMORY_REGION)
		return;
	const struct iovec here = { &region, sizeof(region) };
	const struct iovec there = { (void *)(uintptr_t)info.entry.args[2], sizeof(region) };
	if (process_vm_readv(thread, &here, 1, &there, 1, 0) == (ssize_t)sizeof(region))
		fprintf(out, "region %u %llu %llu %llu\n", region.slot,
			(unsigned long long)region.guest_phys_addr,
			(unsigned long long)region.memory_size,
			(unsigned long long)region.userspace_addr);
}

static void look_at_exit(pid_t thread, FILE *out)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/smaps", thread);
	fprintf(out, "smaps\n");
	copy_lines(out, path, "s");
}

pid_t memory_follow(pid_t pid, int *status, struct rusage *usage, FILE *out)
{
	const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXIT |
			     PTRACE_O_EXITKILL;
	int set = 0;

	for (;;) {
		const pid_t thread = wait4(-1, status, __WALL, usage);

		if (thread < 0)
			return -1;
		if (WIFEXITED(*status) || WIFSIGNALED(*status)) {
			if (thread == pid)
				return pid;
			continue;
		}
		const int signal = WSTOPSIG(*status), event = *status >> 16;
		long deliver = 0;
		if (!set)
			set = ptrace(PTRACE_SETOPTIONS, thread, NULL, (void *)options) == 0;
		else if (signal == (SIGTRAP | 0x80))
			look_at_call(thread, out);
		else if (event == PTRACE_EVENT_EXIT)
			look_at_exit(thread, out);
		else if (!event && signal != SIGSTOP) // a new thread begins with a stop
			deliver = signal;
		ptrace(PTRACE_SYSCALL, thread, NULL, (void *)deliver);
	}
}
