// SPDX-License-Identifier: Apache-2.0
// An application that waits for ever: a guest that costs what it must, for bench/density.
#include <unistd.h>

int main(void)
{
	for (;;)
		pause();
}
