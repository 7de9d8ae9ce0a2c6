/* SPDX-License-Identifier: Apache-2.0 */
/* An application that ends by a fault: init reports it, and the guest does not panic. */
#include <stdio.h>
#include <string.h>

int main(void)
{
	unsigned short cs;
	__asm__("mov %%cs, %0" : "=r"(cs));
	printf("crashing at CPL %d\n", cs & 3);
	fflush(stdout);
	*(volatile int *)NULL = 1;
	return 0;
}
