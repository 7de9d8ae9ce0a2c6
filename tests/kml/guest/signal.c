/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: of every number, nested, on an alternate stack, by timers, and sigreturn with frames
 * made up. */
#include "test.h"
#include <sys/time.h>

static volatile int depth, deepest, ticks;

static void nest(int number, siginfo_t *info, void *context)
{
	(void)info;
	(void)context;
	if (++depth > deepest)
		deepest = depth;
	if (depth < 50)
		raise(number);
	depth--;
}

static void tick(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	ticks++;
}

static char *touched;

static void load_null(void);

/* A handler with a page fault and a fault of its own. */
static void fault_in_handler(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	CHECK(!madvise(touched, 4096, MADV_DONTNEED));
	touched[0] = 1;
	load_null();
}

static volatile int segv_seen;

static void skip_load(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	ucontext_t *uc = context;
	segv_seen++;
	uc->uc_mcontext.gregs[REG_RIP] = uc->uc_mcontext.gregs[REG_R15];
}

static void load_null(void)
{
	__asm__ volatile("lea 1f(%%rip), %%r15\n\tmovb 0, %%al\n1:" ::: "r15", "rax", "memory");
}

static int break_what;
static greg_t halt_address;

static void break_frame(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	greg_t *g = ((ucontext_t *)context)->uc_mcontext.gregs;
	switch (break_what) {
	case 0:
		g[REG_RIP] = 0x1234567800000000;
		break;
	case 1:
		g[REG_RIP] = (greg_t)0xffff800000000000;
		break;
	case 2:
		g[REG_RIP] = 0x10;
		break;
	case 3:
		g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffLL) | 0x10; /* the kernel's CS */
		break;
	case 4:
		g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffLL) | 0xfff8;
		break;
	case 5:
		g[REG_CSGSFS] = (g[REG_CSGSFS] & ~0xffffLL); /* null */
		break;
	case 6:
		g[REG_RSP] = 0x1234567800000000;
		break;
	case 7:
		g[REG_RIP] = (greg_t)0xffffffffff600000;
		break;
	case 8:
		g[REG_CSGSFS] =
			(g[REG_CSGSFS] & 0x0000ffffffffffffLL) | (0x18LL << 48); /* kernel SS */
		break;
	case 9:
		((ucontext_t *)context)->uc_mcontext.fpregs = (void *)0x1000;
		break;
	case 10:
		g[REG_RIP] = halt_address;
		break;
	}
}

static void bad_return(void *what)
{
	break_what = (int)(intptr_t)what;
	on_signal(SIGUSR1, break_frame, 0);
	raise(SIGUSR1);
	__asm__ volatile("push %%rax\n\tpop %%rax" ::: "memory");
}

static volatile int queued, queued_value;

static void take_queued(int number, siginfo_t *info, void *context)
{
	(void)context;
	CHECK(info->si_signo == number && info->si_code == SI_QUEUE);
	queued = number;
	queued_value = info->si_value.sival_int;
}

/* Every signal reaches its handler with its value, and does without one what it is there for. */
static void every_signal(int number)
{
	struct sigaction action = { .sa_sigaction = take_queued, .sa_flags = SA_SIGINFO };
	bool fixed = number == SIGKILL || number == SIGSTOP;
	if (!fixed) {
		if (sigaction(number, &action, NULL)) /* the C library's own */
			return;
		CHECK(!sigqueue(getpid(), number, (union sigval){ .sival_int = number * 3 }));
		CHECK(queued == number && queued_value == number * 3);
		signal(number, SIG_DFL);
	}
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		setpgid(0, 0); /* a group that init is not the parent of can be stopped */
		raise(number);
		_exit(55);
	}
	int status;
	CHECK(waitpid(pid, &status, WUNTRACED) == pid);
	bool stops =
		number == SIGSTOP || number == SIGTSTP || number == SIGTTIN || number == SIGTTOU;
	CHECK(WIFSTOPPED(status) == stops);
	if (stops) {
		CHECK(WSTOPSIG(status) == number && !kill(pid, SIGCONT));
		CHECK(waitpid(pid, &status, 0) == pid);
	}
	bool ends = !stops && number != SIGCHLD && number != SIGURG && number != SIGWINCH &&
		    number != SIGCONT;
	CHECK(ends ? WIFSIGNALED(status) && WTERMSIG(status) == number
		   : WIFEXITED(status) && WEXITSTATUS(status) == 55);
}

int main(void)
{
	for (int number = 1; number <= 64; number++)
		every_signal(number);

	use_alternate_stack();
	on_signal(SIGUSR2, nest, SA_NODEFER);
	for (int i = 0; i < 200; i++)
		raise(SIGUSR2);
	CHECK(deepest == 50 && depth == 0);

	on_signal(SIGUSR2, nest, SA_NODEFER | SA_ONSTACK);
	for (int i = 0; i < 100; i++)
		raise(SIGUSR2);
	CHECK(depth == 0);

	on_signal(SIGSEGV, skip_load, SA_ONSTACK | SA_NODEFER);
	on_signal(SIGUSR1, fault_in_handler, SA_ONSTACK);
	for (int i = 0; i < 2000; i++)
		load_null();
	CHECK(segv_seen == 2000);

	touched = map_pages(1, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 200; i++)
		raise(SIGUSR1);
	CHECK(segv_seen == 2200);

	on_signal(SIGALRM, tick, SA_RESTART);
	struct itimerval fast = { { 0, 1000 }, { 0, 1000 } };
	CHECK(!setitimer(ITIMER_REAL, &fast, NULL));
	volatile double x = 1;
	double end = now() + test_seconds();
	while (now() < end)
		for (int i = 0; i < 1000; i++)
			x = x * 1.0000001 + 1e-9;
	struct itimerval off = { 0 };
	CHECK(!setitimer(ITIMER_REAL, &off, NULL));
	CHECK(ticks > 10);

	/* A function that nobody can overlook. */
	halt_address = (greg_t)kernel_symbol("machine_halt") ?: (greg_t)0xffffffff81000000;
	for (intptr_t what = 0; what <= 10; what++) {
		signal(SIGSEGV, SIG_DFL);
		int status = in_child(bad_return, (void *)what);
		/* A null or foreign selector may also be made good by the kernel. */
		if (what != 5 && what != 8 && what != 3 && !WIFSIGNALED(status))
			printf("# frame %d: status 0x%x\n", (int)what, status);
		CHECK(what == 5 || what == 8 || what == 3 || WIFSIGNALED(status));
	}
	return 0;
}
