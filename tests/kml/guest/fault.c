/* SPDX-License-Identifier: Apache-2.0 */
/* Every fault of user code is its signal, with the address and the registers as at CPL 3. (QEMU has
 * no SSE exceptions.) */
#include "test.h"
#include <fcntl.h>
#include <setjmp.h>
#include <sys/time.h>

static volatile int caught_signal, caught_code;
static void *volatile caught_address;
static volatile unsigned long caught_ip, caught_sp, caught_cs, caught_flags;
static sigjmp_buf back;

static void handler(int number, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;
	caught_signal = number;
	caught_code = info->si_code;
	caught_address = info->si_addr;
	caught_ip = (unsigned long)uc->uc_mcontext.gregs[REG_RIP];
	caught_sp = (unsigned long)uc->uc_mcontext.gregs[REG_RSP];
	caught_cs = (unsigned long)uc->uc_mcontext.gregs[REG_CSGSFS] & 0xffff;
	caught_flags = (unsigned long)uc->uc_mcontext.gregs[REG_EFL];
	siglongjmp(back, 1);
}

static char *none, *read_only, *past_end, *code;

static void read_at(unsigned long address)
{
	(void)*(volatile char *)address;
}

static void write_at(unsigned long address)
{
	*(volatile char *)address = 1;
}

static void jump_to(unsigned long address)
{
	__asm__ volatile("jmp *%0" ::"r"(address));
}

static void push_at(unsigned long address)
{
	__asm__ volatile(
		"mov %%rsp, %%rbx\n\tmov %0, %%rsp\n\tpush %%rax\n\tmov %%rbx, %%rsp" ::"r"(address)
		: "rbx", "memory");
}

static void call_at(unsigned long address)
{
	__asm__ volatile(
		"mov %%rsp, %%rbx\n\tmov %0, %%rsp\n\tcall *%1\n\tmov %%rbx, %%rsp" ::"r"(address),
		"r"(0x1000UL)
		: "rbx", "memory");
}

static void divide(unsigned long zero)
{
	__asm__ volatile("xor %%edx, %%edx\n\tmov $1, %%eax\n\tdiv %0" ::"r"((unsigned)zero)
			 : "eax", "edx");
}

static void undefined(unsigned long unused)
{
	(void)unused;
	__asm__ volatile("ud2");
}

static void breakpoint(unsigned long unused)
{
	(void)unused;
	__asm__ volatile("int3");
}

static void x87(unsigned long unused)
{
	(void)unused;
	unsigned short control = 0x37b;
	__asm__ volatile("fldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait" ::"m"(control));
}

#define ANY ((unsigned long)-1)

static void expect(const char *what, void (*f)(unsigned long), unsigned long argument, int number,
		   int code_, unsigned long address)
{
	caught_signal = 0;
	if (!sigsetjmp(back, 1))
		f(argument);
	/* A non-canonical stack is #SS on hardware, #GP in QEMU 7.2. */
	bool good = (caught_signal == number ||
		     (number == SIGBUS && f == push_at && caught_signal == SIGSEGV)) &&
		    (code_ < 0 || caught_code == code_) &&
		    (address == ANY || (unsigned long)caught_address == address);
	if (!good)
		printf("# %s: signal %d code %d address %p, expected %d %d %lx\n", what,
		       caught_signal, caught_code, caught_address, number, code_, address);
	CHECK(good);
	CHECK(caught_cs == 0x33);
	CHECK(caught_flags & 0x200);
}

/* Interrupts, signals, page faults and system calls while RSP is anything: none of them needs it.
 */
static void wild_stack(unsigned long address)
{
	char *fresh = map_pages(1, PROT_READ | PROT_WRITE);
	long parent = getppid(), before = ticks_seen;
	for (double end = now() + 10; ticks_seen < before + 5 && now() < end;) {
		long result = SYS_getppid;
		CHECK(!madvise(fresh, 4096, MADV_DONTNEED));
		__asm__ volatile("mov %%rsp, %%rbx\n\tmov %[address], %%rsp\n\t"
				 "movb $1, (%[fresh])\n\tsyscall\n\t"
				 "mov $300000, %%ecx\n1:\tdec %%ecx\n\tjnz 1b\n\t"
				 "mov %%rbx, %%rsp"
				 : "+a"(result)
				 : [address] "r"(address), [fresh] "r"(fresh)
				 : "rbx", "rcx", "r11", "memory", "cc");
		CHECK(result == parent && *fresh == 1);
	}
	CHECK(ticks_seen >= before + 5);
	munmap(fresh, 4096);
}

static void wild_stacks(void)
{
	on_signal(SIGALRM, count_tick, SA_ONSTACK);
	struct itimerval fast = { { 0, 1000 }, { 0, 1000 } }, off = { 0 };
	CHECK(!setitimer(ITIMER_REAL, &fast, NULL));
	const unsigned long wild[] = { 0,
				       7,
				       0x10000000,
				       (unsigned long)none + 4096,
				       0x1234567800000000,
				       0xffff800000001000,
				       -8UL };
	for (unsigned i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
		wild_stack(wild[i]);
	CHECK(!setitimer(ITIMER_REAL, &off, NULL));
}

int main(void)
{
	none = map_pages(2, PROT_NONE);
	read_only = map_pages(1, PROT_READ);
	code = map_pages(1, PROT_READ | PROT_WRITE);
	int fd = open("/tmp/empty", O_RDWR | O_CREAT | O_TRUNC, 0600);
	past_end = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(fd >= 0 && past_end != MAP_FAILED);

	use_alternate_stack();
	int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	for (int i = 0; i < 5; i++)
		on_signal(signals[i], handler, SA_ONSTACK);

	wild_stacks();
	const unsigned long noncanonical = 0x1234567800000000, kernel_hole = 0xffff800000001000;
	for (int round = 0; round < 3; round++) {
		expect("read NULL", read_at, 0, SIGSEGV, SEGV_MAPERR, 0);
		expect("write NULL", write_at, 0, SIGSEGV, SEGV_MAPERR, 0);
		expect("read nothing", read_at, 0x10000000, SIGSEGV, SEGV_MAPERR, 0x10000000);
		expect("read PROT_NONE", read_at, (unsigned long)none, SIGSEGV, SEGV_ACCERR,
		       (unsigned long)none);
		expect("write read-only", write_at, (unsigned long)read_only, SIGSEGV, SEGV_ACCERR,
		       (unsigned long)read_only);
		expect("read a kernel hole", read_at, kernel_hole, SIGSEGV, -1, ANY);
		expect("write a kernel hole", write_at, kernel_hole, SIGSEGV, -1, ANY);
		expect("read non-canonical", read_at, noncanonical, SIGSEGV, SI_KERNEL, 0);
		expect("past the end of a file", read_at, (unsigned long)past_end, SIGBUS,
		       BUS_ADRERR, (unsigned long)past_end);
		expect("jump NULL", jump_to, 0, SIGSEGV, SEGV_MAPERR, 0);
		CHECK(caught_ip == 0);
		expect("jump to data", jump_to, (unsigned long)code, SIGSEGV, SEGV_ACCERR,
		       (unsigned long)code);
		expect("jump to a kernel hole", jump_to, kernel_hole, SIGSEGV, -1, ANY);
		CHECK(caught_ip == kernel_hole);
		expect("jump non-canonical", jump_to, noncanonical, SIGSEGV, -1, ANY);
		expect("push NULL", push_at, 0, SIGSEGV, -1, ANY);
		expect("push to PROT_NONE", push_at, (unsigned long)none + 4096, SIGSEGV,
		       SEGV_ACCERR, (unsigned long)none + 4088);
		CHECK(caught_sp == (unsigned long)none + 4096);
		expect("push to a kernel hole", push_at, kernel_hole + 8, SIGSEGV, -1, ANY);
		expect("push non-canonical", push_at, noncanonical, SIGBUS, -1, ANY);
		expect("call on PROT_NONE", call_at, (unsigned long)none + 4096, SIGSEGV,
		       SEGV_ACCERR, (unsigned long)none + 4088);
		expect("divide", divide, 0, SIGFPE, FPE_INTDIV, ANY);
		expect("undefined", undefined, 0, SIGILL, ILL_ILLOPN, ANY);
		expect("int3", breakpoint, 0, SIGTRAP, -1, ANY);
		expect("x87", x87, 0, SIGFPE, FPE_FLTDIV, ANY);
	}
	return 0;
}
