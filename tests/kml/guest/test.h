/* SPDX-License-Identifier: Apache-2.0 */
/* What the guest programs share. Each tests one behaviour and exits 0 if it holds. */
#ifndef KML_TEST_H
#define KML_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef AT_SYSINFO
#define AT_SYSINFO 32
#endif

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			printf("# %s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
			fflush(stdout);                                                            \
			_exit(1);                                                                  \
		}                                                                                  \
	} while (0)

/* Set by the guest's init from the kernel command line. */
static inline bool kml_on(void)
{
	const char *kml = getenv("KML");
	return kml && !strcmp(kml, "on");
}

/* Run @f in a child: its wait status. */
static inline int in_child(void (*f)(void *), void *argument)
{
	int status;
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (!pid) {
		alarm(10);
		f(argument);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	return status;
}

static inline void *map_pages(size_t pages, int protection)
{
	void *p = mmap(NULL, pages * 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static inline void on_signal(int number, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };
	CHECK(!sigaction(number, &action, NULL));
}

/* Instructions whose last two bytes look like `int $2`, `int $32` and `int $236`, the timer's: an
 * interrupt that comes after one has to be taken for what it is.
 */
static inline void run_lookalikes(long rounds)
{
	__asm__ volatile("1:\tor $0x02, %%r13\n\tor $0x20, %%r13\n\tor $-0x14, %%r13\n\t"
			 "dec %0\n\tjnz 1b"
			 : "+r"(rounds)
			 :
			 : "r13", "cc");
}

/* A handler that counts. */
static volatile long ticks_seen;

static inline void count_tick(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)info;
	(void)context;
	ticks_seen++;
}

static inline void use_alternate_stack(void)
{
	stack_t stack = { .ss_sp = map_pages(256, PROT_READ | PROT_WRITE), .ss_size = 256 * 4096 };
	CHECK(!sigaltstack(&stack, NULL));
}

static inline double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds a test that looks for rare events runs. */
static inline double test_seconds(void)
{
	const char *seconds = getenv("KML_SECONDS");
	return seconds ? atof(seconds) : 5;
}

/* The address of a function of the kernel, 0 if it does not say. */
static inline unsigned long kernel_symbol(const char *name)
{
	char line[256];
	unsigned long address = 0;
	FILE *f = fopen("/proc/kallsyms", "r");
	while (f && !address && fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n\t")] = 0;
		char *last = strrchr(line, ' ');
		if (last && !strcmp(last + 1, name))
			address = strtoul(line, NULL, 16);
	}
	if (f)
		fclose(f);
	return address;
}

/* A system call by the function at AT_SYSINFO; only where there is one. */
static inline long direct_call(long number, long a, long b, long c, long d, long e, long f)
{
	long result;
	unsigned long function = getauxval(AT_SYSINFO);
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
			 "call *%[function]\n\t"
			 "lea 128(%%rsp), %%rsp"
			 : "=a"(result), "+D"(a), "+S"(b), "+d"(c), "+r"(r10), "+r"(r8), "+r"(r9)
			 : "a"(number), [function] "r"(function)
			 : "rcx", "r11", "memory", "cc");
	return result;
}

#endif
