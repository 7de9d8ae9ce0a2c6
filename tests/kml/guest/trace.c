/* SPDX-License-Identifier: Apache-2.0 */
/* ptrace: single steps, system call stops, registers, breakpoints; and what a core dump holds. */
#include "test.h"
#include <elf.h>
#include <fcntl.h>
#include <sys/procfs.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/user.h>

#define KERNEL_HOLE 0xffff800000001000 /* nothing is mapped there */

static void tracee(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	for (int i = 0; i < 10; i++)
		getppid();
	__asm__ volatile("int3");
	_exit(9);
}

static void steps(int request)
{
	int status, stops = 0, breakpoint = 0, entries = 0;
	pid_t pid = fork();
	if (!pid)
		tracee();
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	CHECK(!ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD));
	for (;;) {
		struct user_regs_struct regs;
		CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &regs));
		CHECK(regs.cs == 0x33 && regs.ss == 0x2b && regs.rip >> 63 == 0 &&
		      regs.eflags & 0x200);
		CHECK(!ptrace(request, pid, 0, 0));
		CHECK(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status))
			break;
		CHECK(WIFSTOPPED(status));
		if (WSTOPSIG(status) == (SIGTRAP | 0x80)) {
			CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &regs));
			entries += regs.orig_rax == SYS_getppid;
			/* All registers can be looked at and set in a system call. */
			CHECK(!ptrace(PTRACE_SETREGS, pid, 0, &regs));
		} else {
			CHECK(WSTOPSIG(status) == SIGTRAP);
			breakpoint++;
		}
		stops++;
		CHECK(stops < 100000);
	}
	CHECK(WEXITSTATUS(status) == 9);
	if (request == PTRACE_SYSCALL)
		CHECK(entries == 20 && breakpoint == 1);
	else
		CHECK(breakpoint > 50);
}

static void wild(void)
{
	ptrace(PTRACE_TRACEME, 0, 0, 0);
	raise(SIGSTOP);
	((void (*)(void))KERNEL_HOLE)();
}

/* A single step over a jump to a kernel address ends there; only the next one faults. */
static void step_into_the_wild(void)
{
	struct user_regs_struct regs;
	int status, stops = 0;
	pid_t pid = fork();

	if (!pid)
		wild();
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	do {
		CHECK(stops++ < 10000);
		CHECK(!ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
		CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &regs));
	} while (WSTOPSIG(status) == SIGTRAP && regs.rip != KERNEL_HOLE);
	CHECK(WSTOPSIG(status) == SIGTRAP && regs.cs == 0x33);
	CHECK(!ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &regs));
	CHECK(WSTOPSIG(status) == SIGSEGV && regs.rip == KERNEL_HOLE);
	CHECK(!ptrace(PTRACE_KILL, pid, 0, 0) && waitpid(pid, &status, 0) == pid);
}

static void dump(void *unused)
{
	(void)unused;
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	CHECK(!setrlimit(RLIMIT_CORE, &unlimited) && !chdir("/tmp"));
	__asm__ volatile("mov $0x1234567, %%rbx\n\tmov $0x7654321, %%r15\n\tmovq $0, 8" ::
				 : "rbx", "r15", "memory");
}

static void core(void)
{
	int fd = open("/proc/sys/kernel/core_pattern", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "/tmp/core", 9) == 9);
	close(fd);
	int status = in_child(dump, NULL);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV && WCOREDUMP(status));
	fd = open("/tmp/core", O_RDONLY);
	CHECK(fd >= 0);
	Elf64_Ehdr header;
	CHECK(read(fd, &header, sizeof(header)) == sizeof(header) && header.e_type == ET_CORE);
	bool found = false;
	for (int i = 0; i < header.e_phnum; i++) {
		Elf64_Phdr program;
		char note[65536];
		CHECK(pread(fd, &program, sizeof(program),
			    (off_t)(header.e_phoff + (size_t)i * sizeof(program))) ==
		      sizeof(program));
		if (program.p_type != PT_NOTE)
			continue;
		long size = pread(fd, note, sizeof(note), (off_t)program.p_offset);
		for (long at = 0; at + 12 < size && at < (long)program.p_filesz;) {
			Elf64_Nhdr *n = (void *)(note + at);
			char *data = note + at + sizeof(*n) + ((n->n_namesz + 3) & ~3U);
			if (n->n_type == NT_PRSTATUS) {
				struct user_regs_struct regs;
				memcpy(&regs, data + offsetof(struct elf_prstatus, pr_reg),
				       sizeof(regs));
				CHECK(regs.rbx == 0x1234567 && regs.r15 == 0x7654321 &&
				      regs.cs == 0x33);
				CHECK(regs.rip >= (unsigned long)dump &&
				      regs.rip < (unsigned long)dump + 4096);
				found = true;
			}
			at += (long)(sizeof(*n) + ((n->n_namesz + 3) & ~3U) +
				     ((n->n_descsz + 3) & ~3U));
		}
	}
	CHECK(found);
	close(fd);
	unlink("/tmp/core");
}

int main(void)
{
	for (int i = 0; i < 5; i++) {
		steps(PTRACE_SINGLESTEP);
		steps(PTRACE_SYSCALL);
	}
	step_into_the_wild();
	core();
	return 0;
}
