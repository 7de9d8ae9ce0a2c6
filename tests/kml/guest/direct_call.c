/* SPDX-License-Identifier: Apache-2.0 */
/* The function at AT_SYSINFO: registers, restart, signals, faults and stepping in it. */
#include "test.h"
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>

static volatile long ticks, in_stub;
static unsigned long stub;

static void tick(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	unsigned long ip = (unsigned long)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
	CHECK(ip >> 63 == 0); /* a kernel address never shows */
	ticks++;
	in_stub += ip - stub < 16;
}

/* Calls with all callee-saved registers marked: false if one has changed. */
static bool preserves(long number, long *result)
{
	long r, bad = 0;
	__asm__ volatile("push %%rbp\n\t"
			 "lea -128(%%rsp), %%rsp\n\t"
			 "mov $0x1111, %%rbx\n\tmov $0x2222, %%rbp\n\tmov $0x3333, %%r12\n\t"
			 "mov $0x4444, %%r13\n\tmov $0x5555, %%r14\n\tmov $0x6666, %%r15\n\t"
			 "call *%[stub]\n\t"
			 "cmp $0x1111, %%rbx\n\tjne 1f\n\tcmp $0x2222, %%rbp\n\tjne 1f\n\t"
			 "cmp $0x3333, %%r12\n\tjne 1f\n\tcmp $0x4444, %%r13\n\tjne 1f\n\t"
			 "cmp $0x5555, %%r14\n\tjne 1f\n\tcmp $0x6666, %%r15\n\tje 2f\n"
			 "1:\tmovl $1, %%ecx\n\tjmp 3f\n2:\txor %%ecx, %%ecx\n3:\t"
			 "lea 128(%%rsp), %%rsp\n\tpop %%rbp"
			 : "=a"(r), "=&c"(bad)
			 : "a"(number), [stub] "D"(stub)
			 : "rbx", "r12", "r13", "r14", "r15", "rdx", "rsi", "r8", "r9", "r10",
			   "r11", "memory", "cc");
	*result = r;
	return !bad;
}

static void registers(void)
{
	long result, pid = getpid(), parent = getppid();
	for (int i = 0; i < 1000; i++) {
		CHECK(preserves(SYS_getpid, &result) && result == pid);
		CHECK(preserves(SYS_getppid, &result) && result == parent);
		CHECK(preserves(1000, &result) && result == -ENOSYS);
		CHECK(preserves(-1, &result) && result == -ENOSYS);
		CHECK(preserves(0x7fffffff, &result) && result == -ENOSYS);
		CHECK(preserves(SYS_sched_yield, &result) && result == 0);
		if (i % 50)
			continue;
		CHECK(preserves(SYS_fork, &result) && result >= 0);
		if (!result)
			_exit(7);
		int status;
		CHECK(waitpid((pid_t)result, &status, 0) == result && WEXITSTATUS(status) == 7);
	}
}

/* Random bits of time at which a signal hits: all results stay right. */
static void under_timer(void)
{
	on_signal(SIGALRM, tick, SA_RESTART);
	struct itimerval fast = { { 0, 500 }, { 0, 500 } };
	CHECK(!setitimer(ITIMER_REAL, &fast, NULL));
	long result, parent = getppid(), calls = 0;
	double end = now() + test_seconds();
	while (now() < end)
		for (int i = 0; i < 1000; i++, calls++) {
			CHECK(preserves(SYS_getppid, &result) && result == parent);
			CHECK(preserves(1000, &result) && result == -ENOSYS);
		}
	struct itimerval off = { 0 };
	CHECK(!setitimer(ITIMER_REAL, &off, NULL));
	printf("# %ld calls, %ld signals, %ld of them in the function\n", calls, ticks, in_stub);
	CHECK(ticks > 50);
}

static void restart(void)
{
	int fds[2];
	char byte = 0;
	on_signal(SIGALRM, tick, SA_RESTART);
	CHECK(!pipe(fds));
	pid_t pid = fork();
	if (!pid) {
		for (int i = 0; i < 20; i++) {
			usleep(10000);
			kill(getppid(), SIGALRM);
		}
		usleep(10000);
		CHECK(write(fds[1], "x", 1) == 1);
		_exit(0);
	}
	long before = ticks;
	CHECK(direct_call(SYS_read, fds[0], (long)&byte, 1, 0, 0, 0) == 1 && byte == 'x');
	CHECK(ticks >= before + 10);
	waitpid(pid, NULL, 0);

	on_signal(SIGALRM, tick, 0); /* and without */
	struct itimerval once = { { 0, 0 }, { 0, 20000 } };
	CHECK(!setitimer(ITIMER_REAL, &once, NULL));
	CHECK(direct_call(SYS_read, fds[0], (long)&byte, 1, 0, 0, 0) == -EINTR);
	close(fds[0]);
	close(fds[1]);
}

static char *stack_page;
static volatile int return_faults;

static void stack_gone(int number, siginfo_t *info, void *context)
{
	(void)number;
	ucontext_t *uc = context;
	CHECK((unsigned long)uc->uc_mcontext.gregs[REG_RIP] == stub + 15);
	CHECK((char *)info->si_addr >= stack_page && (char *)info->si_addr < stack_page + 4096);
	CHECK(uc->uc_mcontext.gregs[REG_RAX] == 0);
	CHECK(!mprotect(stack_page, 4096, PROT_READ | PROT_WRITE));
	return_faults++;
}

/* The system call takes the page away on which its return address is. */
static void return_fault(void)
{
	use_alternate_stack();
	on_signal(SIGSEGV, stack_gone, SA_ONSTACK);
	stack_page = map_pages(1, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 100; i++) {
		long result = SYS_mprotect, size = 4096, protection = PROT_NONE;
		char *page = stack_page;
		__asm__ volatile("mov %%rsp, %%rbx\n\tlea 4096(%%rdi), %%rsp\n\tcall "
				 "*%[stub]\n\tmov %%rbx, %%rsp"
				 : "+a"(result), "+D"(page), "+S"(size), "+d"(protection)
				 : [stub] "r"(stub)
				 : "rbx", "rcx", "r8", "r9", "r10", "r11", "memory", "cc");
		CHECK(result == 0);
	}
	CHECK(return_faults == 100);
}

/* A debugger steps through calls and sees user addresses only, and the right results. */
static void stepping(void)
{
	pid_t pid = fork();
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		for (int i = 0; i < 20; i++) {
			long result;
			CHECK(preserves(SYS_getpid, &result) && result == syscall(SYS_getpid));
			CHECK(preserves(1000, &result) && result == -ENOSYS);
		}
		_exit(5);
	}
	int status, steps = 0, stub_steps = 0;
	CHECK(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	for (;;) {
		CHECK(!ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
		CHECK(waitpid(pid, &status, 0) == pid);
		if (WIFEXITED(status))
			break;
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
		struct user_regs_struct regs;
		CHECK(!ptrace(PTRACE_GETREGS, pid, 0, &regs));
		CHECK(regs.rip >> 63 == 0 && regs.cs == 0x33 && regs.ss == 0x2b);
		steps++;
		stub_steps += regs.rip - stub < 16;
	}
	CHECK(WEXITSTATUS(status) == 5);
	printf("# %d steps, %d in the function\n", steps, stub_steps);
	CHECK(stub_steps >= 40 * 3);
}

static void execute(void *unused)
{
	(void)unused;
	char *argv[] = { "true", NULL };
	direct_call(SYS_execve, (long)"/tests/cpl", (long)argv, (long)environ, 0, 0, 0);
}

static void leave(void *unused)
{
	(void)unused;
	direct_call(SYS_exit_group, 33, 0, 0, 0, 0, 0);
}

static void wild(void *unused)
{
	(void)unused;
	*(volatile char *)direct_call(SYS_getppid, 0, 0, 0, 0, 0, 0) = 1;
}

int main(void)
{
	if (!kml_on())
		return 77;
	stub = getauxval(AT_SYSINFO);
	CHECK(stub);
	registers();
	under_timer();
	restart();
	return_fault();
	stepping();
	CHECK(direct_call(SYS_write, 1, -4096, 10, 0, 0, 0) == -EFAULT);
	int status = in_child(leave, NULL);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 33);
	signal(SIGSEGV, SIG_DFL);
	status = in_child(wild, NULL);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	status = in_child(execute, NULL);
	CHECK(WIFEXITED(status));
	return 0;
}
