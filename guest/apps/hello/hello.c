// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

int main(void)
{
	static const char text[] = "Hello from a Lupine guest\n";
	return write(STDOUT_FILENO, text, sizeof(text) - 1) != sizeof(text) - 1;
}
