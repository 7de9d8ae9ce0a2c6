// SPDX-License-Identifier: Apache-2.0
#include "init.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/io.h>
#include <sys/reboot.h>
#include <termios.h>
#include <unistd.h>

enum { PORT_EXIT = 0xf4, PORT_MARKER = 0xf5 };

static bool open_ports;

/* iopl, not ioperm: no bitmap of 8 KiB to allocate and to switch with the task. */
void port_open(void)
{
	open_ports = iopl(3) == 0;
}

/* The application is not to inherit the ports. */
void port_close(void)
{
	if (open_ports)
		iopl(0);
}

void port_mark(enum port_mark mark)
{
	if (open_ports)
		outb((uint8_t)mark, PORT_MARKER);
}

/* A kernel without iopl, or a monitor without the exit port, gets a restart: the VM ends, its
 * status is lost. */
void port_exit(int status)
{
	tcdrain(STDERR_FILENO);
	sync();
	if (open_ports)
		outb((uint8_t)status, PORT_EXIT);
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
