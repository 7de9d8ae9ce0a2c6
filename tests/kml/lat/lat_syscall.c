/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cost of system calls, by instruction and by direct call. Under QEMU with -icount shift=0 an
 * instruction takes a nanosecond of virtual time, and RDTSC, which ticks every nanosecond there,
 * counts instructions. The cost of the measuring loop is taken off.
 */
#include "guest/test.h"
#include <fcntl.h>
#include <sched.h>
#include <sys/io.h>
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

/* These are library functions: they cost what an application pays. */
static void open_close(void)
{
	close(open("/dev/null", O_RDONLY));
}

static void fork_exit(void)
{
	pid_t pid = fork();
	if (!pid)
		_exit(0);
	waitpid(pid, NULL, 0);
}

static int ping[2], pong[2];

static void ping_pong(void)
{
	char byte = 0;
	CHECK(write(ping[1], &byte, 1) == 1 && read(pong[0], &byte, 1) == 1);
}

static void page_faults(void)
{
	volatile char *p = map_pages(64, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 64; i++)
		p[i * 4096] = 1;
	munmap((void *)p, 64 * 4096);
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
	report("unimplemented", 1000, 0, 0, 0);
	report("ni_syscall", 300 + 36, 0, 0, 0);
	report("read-null", SYS_read, null, (long)buffer, 1);
	report("write-null", SYS_write, null, (long)buffer, 1);
	report("fstat", SYS_fstat, null, (long)&status, 0);
	report("stat", SYS_stat, (long)"/dev/null", (long)&status, 0);
	report("sched_yield", SYS_sched_yield, 0, 0, 0);

	CHECK(!pipe(ping) && !pipe(pong));
	pid_t echo = fork();
	if (!echo) {
		char byte;
		while (read(ping[0], &byte, 1) == 1)
			CHECK(write(pong[1], &byte, 1) == 1);
		_exit(0);
	}
	printf("LAT %-14s libc    %5lu\n", "open-close", least_of(open_close));
	printf("LAT %-14s libc    %5lu\n", "pipe-ping-pong", least_of(ping_pong));
	printf("LAT %-14s libc    %5lu\n", "fork-exit-wait", least_of(fork_exit));
	printf("LAT %-14s libc    %5lu\n", "64-page-faults", least_of(page_faults));
	fflush(stdout);
	kill(echo, SIGKILL);
	usleep(100000);
	ioperm(0xf4, 1, 1);
	__asm__ volatile("outb %0, %1" ::"a"((char)0), "Nd"((unsigned short)0xf4));
	for (;;)
		pause();
}
