// SPDX-License-Identifier: Apache-2.0
// The argument vector of one of many programs: "%d" in an argument is its index.
#include <stdio.h>
#include <string.h>

#include "launch.h"

void fill_index(char *const *from, char **to, char (*text)[LINE], int index)
{
	int i = 0;

	for (; from[i]; i++) {
		const char *mark = strstr(from[i], "%d");

		to[i] = from[i];
		if (mark) {
			snprintf(text[i], LINE, "%.*s%d%s", (int)(mark - from[i]), from[i], index,
				 mark + 2);
			to[i] = text[i];
		}
	}
	to[i] = NULL;
}
