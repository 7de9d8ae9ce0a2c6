/* SPDX-License-Identifier: Apache-2.0 */
/* NT, TF, AC, IF and DF set by user code hurt nobody, least of all another process. */
#include "test.h"
#include <sched.h>
#include <sys/time.h>

static volatile int traps;

static void trap(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	ucontext_t *uc = context;
	CHECK(uc->uc_mcontext.gregs[REG_RIP] > 0);
	traps++;
}

static unsigned long flags(void)
{
	unsigned long f;
	__asm__ volatile("pushf\n\tpop %0" : "=r"(f)::"memory");
	return f;
}

#define OR_FLAGS(bits)                                                                             \
	__asm__ volatile("pushf\n\torq %0, (%%rsp)\n\tpopf" ::"i"(bits) : "memory", "cc")
#define AND_FLAGS(bits)                                                                            \
	__asm__ volatile("pushf\n\tandq %0, (%%rsp)\n\tpopf" ::"i"(bits) : "memory", "cc")

static long raw(long number)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number) : "rcx", "r11", "memory");
	return result;
}

static long call_kernel(bool direct, long number)
{
	return direct ? direct_call(number, 0, 0, 0, 0, 0, 0) : raw(number);
}

static void abuse(bool direct)
{
	pid_t parent = getppid();
	for (int i = 0; i < 2000; i++) {
		OR_FLAGS(0x4000); /* NT */
		CHECK(call_kernel(direct, SYS_getppid) == parent);
		OR_FLAGS(0x4000);
		call_kernel(direct, SYS_sched_yield);
		AND_FLAGS(~0x4000);
		OR_FLAGS(0x40000); /* AC */
		CHECK(call_kernel(direct, SYS_getppid) == parent);
		AND_FLAGS(~0x40000);
		__asm__ volatile("std");
		long p = call_kernel(direct, SYS_getppid);
		__asm__ volatile("cld");
		CHECK(p == parent);
		OR_FLAGS(0x44400); /* all of them */
		p = call_kernel(direct, SYS_sched_yield);
		AND_FLAGS(~0x44400);
		CHECK(p == 0);
	}
}

/* NT set while the timer interrupts and others run. */
static void spin_with(unsigned long bits)
{
	double end = now() + 0.3;
	while (now() < end) {
		if (bits == 0x4000)
			OR_FLAGS(0x4000);
		else
			OR_FLAGS(0x40000);
		for (volatile int i = 0; i < 20000; i++)
			;
	}
	AND_FLAGS(~0x44000);
}

/* User mode has interrupts on, and a signal's frame says so whatever user code did. */
static void look_at_frame(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	CHECK(((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL] & 0x200);
	traps++;
}

static void clear_and_wait(bool direct)
{
	on_signal(SIGALRM, look_at_frame, 0);
	struct itimerval fast = { { 0, 2000 }, { 0, 2000 } }, off = { 0 };
	traps = 0;
	CHECK(!setitimer(ITIMER_REAL, &fast, NULL));
	while (traps < 5) {
		__asm__ volatile("cli");
		CHECK(call_kernel(direct, SYS_pause) == -EINTR);
	}
	CHECK(!setitimer(ITIMER_REAL, &off, NULL));
}

static void clear_interrupts(bool direct)
{
	char *page = map_pages(64, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 64; i++) {
		__asm__ volatile("cli");
		page[i * 4096] = 1; /* a page fault */
		CHECK(flags() & 0x200);
		__asm__ volatile("cli");
		CHECK(call_kernel(direct, SYS_getppid) == getppid());
		CHECK(flags() & 0x200);
		__asm__ volatile("cli");
		call_kernel(direct, SYS_sched_yield);
		CHECK(flags() & 0x200);
	}
	munmap(page, 64 * 4096);
}

static void clear_interrupts_and_die(void *unused)
{
	(void)unused;
	__asm__ volatile("cli\n\tmovb $1, 0");
}

static void trace_self(bool direct)
{
	traps = 0;
	OR_FLAGS(0x100);
	long p = call_kernel(direct, SYS_getppid);
	AND_FLAGS(~0x100);
	CHECK(p == getppid());
	CHECK(traps >= 3);
	CHECK(!(flags() & 0x100));
}

int main(void)
{
	on_signal(SIGTRAP, trap, 0);
	pid_t others[3];
	for (int i = 0; i < 3; i++) {
		others[i] = fork();
		if (!others[i]) {
			char buffer[64];
			for (long n = 0;; n++) {
				CHECK(getppid() != 1 || n == 0);
				CHECK(!(flags() & 0x44400));
				snprintf(buffer, sizeof(buffer), "%ld", n);
				sched_yield();
			}
		}
	}
	for (int direct = 0; direct <= kml_on(); direct++) {
		abuse(direct);
		trace_self(direct);
		spin_with(0x4000);
		spin_with(0x40000);
		if (kml_on()) {
			clear_interrupts(direct);
			clear_and_wait(direct);
		}
	}
	if (kml_on()) {
		int status = in_child(clear_interrupts_and_die, NULL);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	}
	for (int i = 0; i < 3; i++) {
		int status;
		CHECK(waitpid(others[i], &status, WNOHANG) == 0);
		kill(others[i], SIGKILL);
		waitpid(others[i], &status, 0);
	}
	return 0;
}
