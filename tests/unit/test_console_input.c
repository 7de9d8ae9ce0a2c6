/* SPDX-License-Identifier: Apache-2.0 */
/* Console input that is more than the UART holds: none is lost, and none is waited for in vain. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/serial_reg.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "console_input.h"

struct fixture {
	struct event_loop loop;
	struct serial *serial;
	struct console_input input;
	int host[2]; /* a pipe */
	int irq_fd;
};

static int setup(void **state)
{
	static struct fixture f;

	*state = &f;
	assert_int_equal(event_loop_init(&f.loop), 0);
	assert_int_equal(pipe(f.host), 0);
	f.irq_fd = eventfd(0, EFD_NONBLOCK);
	assert_int_equal(serial_create(-1, f.irq_fd, &f.serial), 0);
	return console_input_start(&f.input, f.host[0], &f.loop, f.serial);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	serial_destroy(f->serial);
	event_loop_fini(&f->loop);
	close(f->host[0]);
	close(f->irq_fd);
	return 0;
}

/* What the loop does until it has nothing to do; how often it was woken. */
static unsigned int run(struct fixture *f)
{
	struct epoll_event event;
	unsigned int woken = 0;

	while (epoll_wait(f->loop.epoll_fd, &event, 1, 0) > 0 && woken++ < 100)
		f->input.source.ready(event.data.ptr, event.events);
	return woken;
}

static unsigned int guest_reads(struct fixture *f, unsigned int max, unsigned int count)
{
	while (max-- > 0 && (serial_read(f->serial, UART_LSR) & UART_LSR_DR))
		assert_int_equal(serial_read(f->serial, UART_RX), (uint8_t)count++);
	return count;
}

static void more_than_fits(void **state)
{
	struct fixture *f = *state;
	uint8_t bytes[500];
	unsigned int count = 0;

	for (unsigned int i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	assert_int_equal(write(f->host[1], bytes, sizeof(bytes)), sizeof(bytes));
	close(f->host[1]);
	for (unsigned int max = 1; count < sizeof(bytes); max = max % 70 + 9) {
		assert_in_range(run(f), 1, 3);
		assert_int_equal(serial_room(f->serial),
				 count + 64 > sizeof(bytes) ? 64 - (sizeof(bytes) - count) : 0);
		assert_int_equal(run(f), 0); /* while the UART is full the loop sleeps */
		count = guest_reads(f, max, count);
	}
	run(f);
	assert_int_equal(event_loop_remove(&f->loop, &f->input.source), -ENOENT); /* it is over */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(more_than_fits, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
