/* SPDX-License-Identifier: Apache-2.0 */
/* What is typed on the host reaches the guest's UART, and waits on the host while that is full. */
#ifndef LUPINE_CONSOLE_INPUT_H
#define LUPINE_CONSOLE_INPUT_H

#include "event_loop.h"
#include "serial.h"

struct console_input {
	struct event_source source; /* first: the handler is handed this */
	struct event_loop *loop;
	struct serial *serial;
};

/* @fd stays the caller's. -errno; -EPERM for what cannot be waited for, as a regular file. */
int console_input_start(struct console_input *input, int fd, struct event_loop *loop,
			struct serial *serial);

#endif
