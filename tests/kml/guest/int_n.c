/* SPDX-License-Identifier: Apache-2.0 */
/* `int $n` ends in a signal for every n, and the machine is none the worse. */
#include "test.h"

static unsigned char *code;

static void execute(void *unused)
{
	(void)unused;
	((void (*)(void))code)();
	_exit(42); /* came back */
}

int main(void)
{
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
