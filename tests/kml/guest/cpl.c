/* SPDX-License-Identifier: Apache-2.0 */
/* The privilege level is what the command line says, and the kernel says so too. */
#include "test.h"

int main(void)
{
	unsigned short cs;
	__asm__("mov %%cs, %0" : "=r"(cs));
	CHECK((cs & 3) == (kml_on() ? 0 : 3));
	CHECK(!!getauxval(AT_SYSINFO) == kml_on());

	char line[8192];
	bool flag = false;
	FILE *f = fopen("/proc/cpuinfo", "r");
	CHECK(f);
	while (fgets(line, sizeof(line), f))
		flag |= !strncmp(line, "flags", 5) && strstr(line, " kml");
	CHECK(flag == kml_on());

	if (kml_on()) { /* what only CPL 0 may do */
		unsigned long cr4;
		__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
		CHECK(!(cr4 & (3UL << 20))); /* neither SMEP nor SMAP */
		__asm__ volatile("hlt"); /* interrupts are on: it returns */
	}
	return 0;
}
