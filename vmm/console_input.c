/* SPDX-License-Identifier: Apache-2.0 */
#include "console_input.h"

#include <stdbool.h>
#include <sys/epoll.h>
#include <unistd.h>

/* Once: a source that stays readable while the UART is full would keep the loop busy. */
#define EVENTS (EPOLLIN | EPOLLONESHOT)

/* On the thread of the vCPU that reads, as soon as a UART that was full is not. */
static void drained(void *context)
{
	struct console_input *input = context;

	(void)event_loop_change(input->loop, &input->source, EVENTS);
}

static void ready(struct event_source *source, uint32_t events)
{
	struct console_input *input = (struct console_input *)source;
	uint8_t bytes[64];
	size_t room = serial_room(input->serial);
	ssize_t n;

	if (room > sizeof(bytes))
		room = sizeof(bytes);
	if (room > 0) {
		n = read(source->fd, bytes, room);
		if (n > 0)
			serial_receive(input->serial, bytes, (size_t)n);
		else if (n == 0 || (events & (EPOLLHUP | EPOLLERR))) {
			(void)event_loop_remove(input->loop, source);
			return;
		}
	}
	/* While it is full this is drained()'s to do; had it been before now, there would be room.
	 */
	if (serial_room(input->serial) > 0)
		(void)event_loop_change(input->loop, source, EVENTS);
}

int console_input_start(struct console_input *input, int fd, struct event_loop *loop,
			struct serial *serial)
{
	*input = (struct console_input){ { fd, ready }, loop, serial };
	serial_set_drained(serial, drained, input);
	return event_loop_add(loop, &input->source, EVENTS);
}
