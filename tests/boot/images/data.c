// SPDX-License-Identifier: Apache-2.0
/* Adds one to the number in /data/boots and says it. */
#include <stdio.h>

int main(void)
{
	unsigned boots = 0;
	FILE *file = fopen("/data/boots", "r");
	if (file && fscanf(file, "%u", &boots) != 1)
		return 1;
	if (file)
		fclose(file);
	file = fopen("/data/boots", "w");
	if (!file || fprintf(file, "%u\n", ++boots) < 0 || fclose(file) != 0) {
		perror("/data/boots");
		return 1;
	}
	printf("boot %u\n", boots);
	return 0;
}
