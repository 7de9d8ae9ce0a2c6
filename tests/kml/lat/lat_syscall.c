/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cost of system calls, by instruction and by direct call. In the rig with --icount an instruction
 * takes a nanosecond, and RDTSC, which ticks every nanosecond there, counts instructions. The cost
 * of the measuring loop is taken off.
 */
#include "../guest/test.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/select.h>
#include <sys/stat.h>

static unsigned long stub;

static inline unsigned long ticks(void)
{
	unsigned low, high;
	__asm__ volatile("lfence\n\trdtsc" : "=a"(low), "=d"(high)::"memory");
	return (unsigned long)high << 32 | low;
}

#define REPEAT 64

/* The loops differ in the one instruction, or the call and what it needs, only. */
#define LOOP(name, instructions)                                                                   \
	static unsigned long name(long number, long a, long b, long c)                             \
	{                                                                                          \
		unsigned long least = ~0UL;                                                        \
		for (int round = 0; round < 40; round++) {                                         \
			unsigned long start = ticks();                                             \
			for (int i = 0; i < REPEAT; i++) {                                         \
				long result = number, di = a, si = b, dx = c;                      \
				register long r10 __asm__("r10") = 0;                              \
				register long r8 __asm__("r8") = 0;                                \
				register long r9 __asm__("r9") = 0;                                \
				__asm__ volatile(instructions                                      \
						 : "+a"(result), "+D"(di), "+S"(si), "+d"(dx),     \
						   "+r"(r10), "+r"(r8), "+r"(r9)                   \
						 : [stub] "b"(stub)                                \
						 : "rcx", "r11", "memory", "cc");                  \
			}                                                                          \
			unsigned long took = ticks() - start;                                      \
			if (took < least)                                                          \
				least = took;                                                      \
		}                                                                                  \
		return least;                                                                      \
	}

LOOP(loop_nothing, "")
LOOP(loop_instruction, "syscall")
LOOP(loop_call, "lea -128(%%rsp), %%rsp\n\tcall *%[stub]\n\tlea 128(%%rsp), %%rsp")

static void report(const char *what, long number, long a, long b, long c)
{
	unsigned long nothing = loop_nothing(number, a, b, c);
	printf("LAT %-14s syscall %5lu", what,
	       (loop_instruction(number, a, b, c) - nothing) / REPEAT);
	if (stub)
		printf(" call %5lu", (loop_call(number, a, b, c) - nothing) / REPEAT);
	printf("\n");
	fflush(stdout);
}

static unsigned long least_of(void (*f)(void))
{
	unsigned long least = ~0UL;
	for (int round = 0; round < 40; round++) {
		unsigned long start = ticks();
		f();
		unsigned long took = ticks() - start;
		if (took < least)
			least = took;
	}
	return least;
}

/* What takes more than one system call goes by this: a function call more, the same for both. */
static long (*sys)(long number, long a, long b, long c, long d, long e);

static long by_instruction(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("syscall"
			 : "+a"(number)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
			 : "rcx", "r11", "memory");
	return number;
}

static long by_call(long number, long a, long b, long c, long d, long e)
{
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\tcall *%[stub]\n\tlea 128(%%rsp), %%rsp"
			 : "+a"(number), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8)
			 : [stub] "b"(stub)
			 : "rcx", "r9", "r11", "memory", "cc");
	return number;
}

static void open_close(void)
{
	sys(SYS_close, sys(SYS_open, (long)"/dev/null", O_RDONLY, 0, 0, 0), 0, 0, 0, 0);
}

static int ping[2], pong[2];

/* Ten descriptors, as lmbench's least. */
static void select_10(void)
{
	fd_set set;
	FD_ZERO(&set);
	struct timeval none = { 0, 0 };
	for (int i = 0; i < 10; i++)
		FD_SET(20 + i, &set);
	CHECK(sys(SYS_select, 30, (long)&set, 0, 0, (long)&none) == 0);
}

static void pipe_alone(void)
{
	char byte = 0;
	CHECK(sys(SYS_write, pong[1], (long)&byte, 1, 0, 0) == 1);
	CHECK(sys(SYS_read, pong[0], (long)&byte, 1, 0, 0) == 1);
}

static void ping_pong(void)
{
	char byte = 0;
	CHECK(sys(SYS_write, ping[1], (long)&byte, 1, 0, 0) == 1);
	CHECK(sys(SYS_read, pong[0], (long)&byte, 1, 0, 0) == 1);
}

static void fork_exit(void)
{
	long pid = sys(SYS_fork, 0, 0, 0, 0, 0);
	if (!pid)
		sys(SYS_exit_group, 0, 0, 0, 0, 0);
	sys(SYS_wait4, pid, 0, 0, 0, 0);
}

static void page_faults(void)
{
	volatile char *p = map_pages(64, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 64; i++)
		p[i * 4096] = 1;
	munmap((void *)p, 64 * 4096);
}

static pid_t echo_by(void)
{
	pid_t echo = fork();
	if (!echo) {
		char byte;
		while (sys(SYS_read, ping[0], (long)&byte, 1, 0, 0) == 1)
			CHECK(sys(SYS_write, pong[1], (long)&byte, 1, 0, 0) == 1);
		_exit(0);
	}
	return echo;
}

#define ROWS 5
static const char *const rows[ROWS] = { "open-close", "select-10", "pipe-alone", "pipe-ping-pong",
					"fork-exit-wait" };

static void measure(unsigned long cost[ROWS])
{
	pid_t echo = echo_by();
	void (*const function[ROWS])(void) = { open_close, select_10, pipe_alone, ping_pong,
					       fork_exit };
	for (int i = 0; i < ROWS; i++)
		cost[i] = least_of(function[i]);
	kill(echo, SIGKILL);
	waitpid(echo, NULL, 0);
}

int main(void)
{
	unsigned long booted = ticks();
	stub = getauxval(AT_SYSINFO);
	unsigned short cs;
	__asm__("mov %%cs, %0" : "=r"(cs));
	printf("LAT cpl %d, %lu from reset to here\n", cs & 3, booted);

	static char buffer[64];
	static struct stat status;
	int null = open("/dev/null", O_RDWR);
	CHECK(null >= 0);
	report("getppid", SYS_getppid, 0, 0, 0);
	report("beyond-table", 1000, 0, 0, 0);
	report("unimplemented", 300 + 36, 0, 0, 0);
	report("read-null", SYS_read, null, (long)buffer, 1);
	report("write-null", SYS_write, null, (long)buffer, 1);
	report("fstat", SYS_fstat, null, (long)&status, 0);
	report("stat", SYS_stat, (long)"/dev/null", (long)&status, 0);
	report("sched_yield", SYS_sched_yield, 0, 0, 0);

	CHECK(!pipe(ping) && !pipe(pong));
	for (int i = 0; i < 10; i++)
		CHECK(dup2(ping[0], 20 + i) == 20 + i);
	unsigned long cost[2][ROWS] = { 0 };
	sys = by_instruction;
	measure(cost[0]);
	sys = by_call;
	if (stub)
		measure(cost[1]);
	for (int i = 0; i < ROWS; i++) {
		printf("LAT %-14s syscall %5lu", rows[i], cost[0][i]);
		if (stub)
			printf(" call %5lu", cost[1][i]);
		printf("\n");
	}
	/* There and back are two switches, and two writes and reads as one process makes. */
	printf("LAT %-14s syscall %5lu", "context-switch", (cost[0][3] - 2 * cost[0][2]) / 2);
	if (stub)
		printf(" call %5lu", (cost[1][3] - 2 * cost[1][2]) / 2);
	printf("\nLAT %-14s syscall %5lu\n", "64-page-faults", least_of(page_faults));
	fflush(stdout);
	return 0;
}
