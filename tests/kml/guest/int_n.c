/* SPDX-License-Identifier: Apache-2.0 */
/* `int $n` ends in a signal for every n, and the machine is none the worse. */
#include "test.h"
#include <sys/time.h>

static unsigned char *code;

static void execute(void *unused)
{
	(void)unused;
	((void (*)(void))code)();
	_exit(42); /* came back */
}

/* At CPL 0 the table of gates can be read: none leads to what early boot has left. */
static void gates(void)
{
	struct __attribute__((packed)) {
		unsigned short limit;
		unsigned long *base;
	} idt;
	unsigned long start = kernel_symbol("_sinittext"), end = kernel_symbol("_einittext");
	CHECK(start && end > start);
	__asm__ volatile("sidt %0" : "=m"(idt));
	for (int n = 0; n < 256; n++) {
		unsigned long low = idt.base[2 * n], high = idt.base[2 * n + 1];
		unsigned long handler = (low & 0xffff) | (low >> 32 & 0xffff0000) | high << 32;
		bool present = low >> 47 & 1;
		if (present && handler >= start && handler < end)
			printf("# int $%d: its gate leads to the code of early boot\n", n);
		CHECK(!present || handler < start || handler >= end);
	}
}

/* What only looks like one is none. */
static void lookalikes(void)
{
	struct itimerval fast = { { 0, 1000 }, { 0, 1000 } }, none = { 0 };
	on_signal(SIGALRM, count_tick, SA_RESTART);
	CHECK(!setitimer(ITIMER_REAL, &fast, NULL));
	for (double end = now() + test_seconds(); now() < end;)
		run_lookalikes(100000);
	CHECK(!setitimer(ITIMER_REAL, &none, NULL));
	CHECK(ticks_seen > 10);
}

int main(void)
{
	if (kml_on())
		gates();
	lookalikes();
	code = map_pages(1, PROT_READ | PROT_WRITE | PROT_EXEC);
	memset(code, 0x90, 4096);
	int bad = 0;
	for (int round = 0; round < 2; round++) {
		for (int n = 0; n < 256; n++) {
			code[64] = 0xcd;
			code[65] = (unsigned char)n;
			code[66] = 0xc3;
			int expected = n == 3 ? SIGTRAP : SIGSEGV;
			if (kml_on()) { /* docs/kml.md lists these */
				if (n == 0)
					expected = SIGFPE;
				if (n == 1)
					expected = SIGTRAP;
				if (n == 6)
					expected = SIGILL;
			}
			int status = in_child(execute, NULL);
			if (!WIFSIGNALED(status) || WTERMSIG(status) != expected) {
				printf("# int $%d: status 0x%x, expected signal %d\n", n, status,
				       expected);
				bad++;
			}
		}
	}
	return bad != 0;
}
