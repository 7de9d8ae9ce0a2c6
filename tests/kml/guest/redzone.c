/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing ever writes below RSP: canaries in the red zone, under timers, in many processes. */
#include "test.h"
#include <sys/time.h>

/* Fills the 128 bytes below RSP, waits a little, and compares: the number of changed words. */
static long corrupted(unsigned long seed)
{
	long bad = 0;
	__asm__ volatile("mov $-128, %%rcx\n"
			 "1:\tlea (%[seed],%%rcx), %%rax\n\tmov %%rax, (%%rsp,%%rcx)\n\tadd $8, "
			 "%%rcx\n\tjnz 1b\n\t"
			 "mov $300, %%rdx\n2:\tdec %%rdx\n\tjnz 2b\n\t"
			 "mov $-128, %%rcx\n"
			 "3:\tlea (%[seed],%%rcx), %%rax\n\tcmp %%rax, (%%rsp,%%rcx)\n\tje "
			 "4f\n\tinc %[bad]\n"
			 "4:\tadd $8, %%rcx\n\tjnz 3b"
			 : [bad] "+r"(bad)
			 : [seed] "r"(seed)
			 : "rax", "rcx", "rdx", "memory", "cc");
	return bad;
}

static void canary(bool signals)
{
	if (signals) {
		use_alternate_stack();
		on_signal(SIGALRM, count_tick, SA_ONSTACK | SA_RESTART);
		struct itimerval fast = { { 0, 700 }, { 0, 700 } };
		CHECK(!setitimer(ITIMER_REAL, &fast, NULL));
	}
	unsigned long rounds = 0;
	double end = now() + test_seconds();
	while (now() < end)
		for (int i = 0; i < 1000; i++)
			CHECK(!corrupted(++rounds * 0x9e3779b97f4a7c15));
	printf("# %lu rounds, %ld signals\n", rounds, ticks_seen);
	fflush(stdout);
	_exit(0);
}

int main(void)
{
	for (int i = 0; i < 3; i++)
		if (!fork())
			canary(i != 1);
	int status;
	for (int i = 0; i < 3; i++)
		CHECK(wait(&status) > 0 && status == 0);
	return 0;
}
