/* SPDX-License-Identifier: Apache-2.0 */
/* The 16450 as Linux's 8250 driver uses it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <linux/serial_reg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "serial.h"

struct fixture {
	struct serial *serial;
	int out[2]; /* a pipe */
	int irq_fd;
};

static int setup(void **state)
{
	struct fixture *f = malloc(sizeof(*f));

	*state = f;
	assert_int_equal(pipe(f->out), 0);
	f->irq_fd = eventfd(0, EFD_NONBLOCK);
	return serial_create(f->out[1], f->irq_fd, &f->serial);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	serial_destroy(f->serial);
	close(f->out[0]);
	close(f->out[1]);
	close(f->irq_fd);
	free(f);
	return 0;
}

static uint64_t interrupts(struct fixture *f)
{
	uint64_t count = 0;

	if (read(f->irq_fd, &count, sizeof(count)) < 0)
		assert_int_equal(errno, EAGAIN);
	return count;
}

static void output(void **state)
{
	struct fixture *f = *state;
	char text[8] = "";

	for (const char *c = "hello"; *c; c++) {
		assert_int_equal(serial_read(f->serial, UART_LSR), UART_LSR_THRE | UART_LSR_TEMT);
		serial_write(f->serial, UART_TX, (uint8_t)*c);
	}
	assert_int_equal(read(f->out[0], text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	assert_int_equal(interrupts(f), 0); /* none was asked for */
}

static void transmitter_interrupts(void **state)
{
	struct fixture *f = *state;

	serial_write(f->serial, UART_IER, UART_IER_THRI);
	assert_int_equal(interrupts(f), 1); /* it is empty already */
	assert_int_equal(serial_read(f->serial, UART_IIR), UART_IIR_THRI);
	assert_int_equal(serial_read(f->serial, UART_IIR), UART_IIR_NO_INT);
	for (int i = 0; i < 3; i++) {
		serial_write(f->serial, UART_TX, 'x');
		assert_int_equal(interrupts(f), 1);
		serial_write(f->serial, UART_TX, 'y'); /* the one that waits is for this, too */
		assert_int_equal(interrupts(f), 0);
		assert_int_equal(serial_read(f->serial, UART_IIR), UART_IIR_THRI);
	}
	serial_write(f->serial, UART_TX, 'z');
	assert_int_equal(interrupts(f), 1);
	serial_write(f->serial, UART_IER, 0);
	assert_int_equal(serial_read(f->serial, UART_IIR), UART_IIR_NO_INT);
}

static void input(void **state)
{
	struct fixture *f = *state;
	uint8_t many[100];

	memset(many, 'm', sizeof(many));
	assert_int_equal(serial_read(f->serial, UART_RX), 0);
	serial_write(f->serial, UART_IER, UART_IER_RDI);
	assert_int_equal(serial_receive(f->serial, (const uint8_t *)"ab", 2), 2);
	assert_int_equal(interrupts(f), 1);
	assert_int_equal(serial_read(f->serial, UART_IIR), UART_IIR_RDI);
	assert_true(serial_read(f->serial, UART_LSR) & UART_LSR_DR);
	assert_int_equal(serial_read(f->serial, UART_RX), 'a');
	assert_int_equal(interrupts(f), 1); /* there is more */
	assert_int_equal(serial_read(f->serial, UART_RX), 'b');
	assert_int_equal(interrupts(f), 0);
	assert_false(serial_read(f->serial, UART_LSR) & UART_LSR_DR);

	/* Bounded. */
	const size_t room = serial_room(f->serial);
	assert_int_equal(serial_receive(f->serial, many, sizeof(many)), room);
	assert_int_equal(serial_room(f->serial), 0);
	assert_int_equal(serial_receive(f->serial, many, 1), 0);
}

static void both_causes_by_priority(void **state)
{
	struct fixture *f = *state;

	serial_write(f->serial, UART_IER, UART_IER_RDI | UART_IER_THRI);
	serial_receive(f->serial, (const uint8_t *)"a", 1);
	assert_int_equal(serial_read(f->serial, UART_IIR), UART_IIR_RDI);
	interrupts(f);
	serial_read(f->serial, UART_RX);
	assert_int_equal(interrupts(f), 1);
	assert_int_equal(serial_read(f->serial, UART_IIR), UART_IIR_THRI);
}

static void divisor_latch(void **state)
{
	struct fixture *f = *state;
	char c;

	serial_write(f->serial, UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	serial_write(f->serial, UART_DLL, 0x0c);
	serial_write(f->serial, UART_DLM, 0x01);
	assert_int_equal(serial_read(f->serial, UART_DLL), 0x0c);
	assert_int_equal(serial_read(f->serial, UART_DLM), 0x01);
	serial_write(f->serial, UART_LCR, UART_LCR_WLEN8);
	assert_int_equal(serial_read(f->serial, UART_IER), 0);
	serial_write(f->serial, UART_TX, 'y');
	assert_int_equal(read(f->out[0], &c, 1), 1);
	assert_int_equal(c, 'y'); /* and nothing before */
}

/* What autoconfig() in Linux's 8250_port.c looks for. */
static void looks_like_a_16450(void **state)
{
	struct fixture *f = *state;

	serial_write(f->serial, UART_IER, 0);
	assert_int_equal(serial_read(f->serial, UART_IER) & 0x0f, 0);
	serial_write(f->serial, UART_IER, 0x0f);
	assert_int_equal(serial_read(f->serial, UART_IER) & 0x0f, 0x0f);
	serial_write(f->serial, UART_IER, 0);
	serial_write(f->serial, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
	assert_int_equal(serial_read(f->serial, UART_MSR) & 0xf0, UART_MSR_DCD | UART_MSR_CTS);
	serial_write(f->serial, UART_MCR, 0);
	serial_write(f->serial, UART_FCR, UART_FCR_ENABLE_FIFO);
	assert_int_equal(serial_read(f->serial, UART_IIR) >> 6, 0); /* no FIFO */
	serial_write(f->serial, UART_SCR, 0xa5);
	assert_int_equal(serial_read(f->serial, UART_SCR), 0xa5);
	assert_int_equal(serial_read(f->serial, 100), 0xff);
}

static void loopback_does_not_leave(void **state)
{
	struct fixture *f = *state;

	serial_write(f->serial, UART_MCR, UART_MCR_LOOP);
	serial_write(f->serial, UART_TX, 'q');
	assert_int_equal(serial_read(f->serial, UART_RX), 'q');
	assert_int_equal(serial_tail(f->serial, (char[4]){ 0 }, 4), 0);
}

static void keeps_the_tail(void **state)
{
	struct fixture *f = *state;
	struct serial *mute;
	char tail[SERIAL_TAIL + 10];

	assert_int_equal(serial_create(-1, f->irq_fd, &mute), 0);
	assert_int_equal(serial_tail(mute, tail, sizeof(tail)), 0);
	for (unsigned int i = 0; i < SERIAL_TAIL + 3; i++)
		serial_write(mute, UART_TX, (uint8_t)('a' + i % 26));
	assert_int_equal(serial_tail(mute, tail, sizeof(tail)), SERIAL_TAIL);
	for (unsigned int i = 0; i < SERIAL_TAIL; i++)
		assert_int_equal(tail[i], 'a' + (i + 3) % 26);
	assert_int_equal(serial_tail(mute, tail, 2), 2);
	assert_int_equal(tail[1], 'a' + (SERIAL_TAIL + 2) % 26);
	serial_destroy(mute);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(output),
		TEST(transmitter_interrupts),
		TEST(input),
		TEST(both_causes_by_priority),
		TEST(divisor_latch),
		TEST(looks_like_a_16450),
		TEST(loopback_does_not_leave),
		TEST(keeps_the_tail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
