/* SPDX-License-Identifier: Apache-2.0 */
#include "serial.h"

#include <errno.h>
#include <linux/serial_reg.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX 64u

struct serial {
	pthread_mutex_t lock;
	int out_fd, irq_fd;
	uint8_t ier, lcr, mcr, scr, dll, dlm;
	bool thr_empty_pending; /* the transmitter became empty and IIR has not been read since */
	bool line; /* level of the interrupt line; the machine's is edge-triggered */
	uint8_t input[INPUT_MAX]; /* a ring */
	size_t input_at, input_len;
	char tail[SERIAL_TAIL]; /* a ring */
	size_t tail_at, tail_len;
	bool lossy; /* output was lost, and that was said */
	void (*report)(void *context, const char *line);
	void *report_context;
	void (*drained)(void *context);
	void *drained_context;
};

int serial_create(int out_fd, int irq_fd, struct serial **result)
{
	struct serial *serial = calloc(1, sizeof(*serial));

	if (!serial)
		return -ENOMEM;
	pthread_mutex_init(&serial->lock, NULL);
	serial->out_fd = out_fd;
	serial->irq_fd = irq_fd;
	serial->dll = 1; /* 115200 baud, should anyone ask */
	*result = serial;
	return 0;
}

void serial_set_report(struct serial *serial, void (*report)(void *context, const char *line),
		       void *context)
{
	serial->report = report;
	serial->report_context = context;
}

void serial_set_drained(struct serial *serial, void (*drained)(void *context), void *context)
{
	serial->drained = drained;
	serial->drained_context = context;
}

void serial_destroy(struct serial *serial)
{
	pthread_mutex_destroy(&serial->lock);
	free(serial);
}

/* The cause of highest priority. */
static uint8_t cause(const struct serial *serial)
{
	if ((serial->ier & UART_IER_RDI) && serial->input_len > 0)
		return UART_IIR_RDI;
	if ((serial->ier & UART_IER_THRI) && serial->thr_empty_pending)
		return UART_IIR_THRI;
	return UART_IIR_NO_INT;
}

/* After every change: a rising line is an interrupt. */
static void update_line(struct serial *serial)
{
	const bool was = serial->line;
	const uint64_t one = 1;

	serial->line = cause(serial) != UART_IIR_NO_INT;
	if (serial->line && !was)
		(void)!write(serial->irq_fd, &one, sizeof(one));
}

/* Linux's driver handles one cause an interrupt and counts on another edge for what is left. */
static void drop_line(struct serial *serial)
{
	serial->line = false;
	update_line(serial);
}

static bool take_input(struct serial *serial, uint8_t value)
{
	if (serial->input_len == INPUT_MAX)
		return false;
	serial->input[(serial->input_at + serial->input_len++) % INPUT_MAX] = value;
	return true;
}

static void put_out(struct serial *serial, uint8_t value)
{
	char line[128];
	ssize_t n;

	do
		n = write(serial->out_fd, &value, 1);
	while (n < 0 && errno == EINTR);
	if (n == 1 || serial->lossy)
		return;
	serial->lossy = true;
	snprintf(line, sizeof(line), "console: some of its output is lost: %s", strerror(errno));
	if (serial->report)
		serial->report(serial->report_context, line);
}

static void transmit(struct serial *serial, uint8_t value)
{
	if (serial->mcr & UART_MCR_LOOP) {
		take_input(serial, value);
		return;
	}
	serial->tail[serial->tail_at++ % SERIAL_TAIL] = (char)value;
	if (serial->tail_len < SERIAL_TAIL)
		serial->tail_len++;
	if (serial->out_fd >= 0)
		put_out(serial, value);
}

/* The modem's lines: all well; in loopback they are the outputs' (the driver's test for a UART). */
static uint8_t modem_status(const struct serial *serial)
{
	uint8_t msr = 0;

	if (!(serial->mcr & UART_MCR_LOOP))
		return UART_MSR_DCD | UART_MSR_DSR | UART_MSR_CTS;
	if (serial->mcr & UART_MCR_RTS)
		msr |= UART_MSR_CTS;
	if (serial->mcr & UART_MCR_DTR)
		msr |= UART_MSR_DSR;
	if (serial->mcr & UART_MCR_OUT1)
		msr |= UART_MSR_RI;
	if (serial->mcr & UART_MCR_OUT2)
		msr |= UART_MSR_DCD;
	return msr;
}

static uint8_t receive(struct serial *serial)
{
	const bool full = serial->input_len == INPUT_MAX;
	uint8_t value = 0;

	if (serial->input_len > 0) {
		value = serial->input[serial->input_at];
		serial->input_at = (serial->input_at + 1) % INPUT_MAX;
		serial->input_len--;
	}
	drop_line(serial);
	if (full && serial->drained)
		serial->drained(serial->drained_context);
	return value;
}

static uint8_t identify(struct serial *serial)
{
	const uint8_t iir = cause(serial);

	if (iir == UART_IIR_THRI) {
		serial->thr_empty_pending = false;
		drop_line(serial);
	}
	return iir;
}

static uint8_t read_locked(struct serial *serial, uint32_t port_offset)
{
	const bool latch = (serial->lcr & UART_LCR_DLAB) != 0;

	switch (port_offset) {
	case UART_RX:
		return latch ? serial->dll : receive(serial);
	case UART_IER:
		return latch ? serial->dlm : serial->ier;
	case UART_IIR:
		return identify(serial);
	case UART_LCR:
		return serial->lcr;
	case UART_MCR:
		return serial->mcr;
	case UART_LSR: /* output is never waited for */
		return UART_LSR_THRE | UART_LSR_TEMT | (serial->input_len > 0 ? UART_LSR_DR : 0);
	case UART_MSR:
		return modem_status(serial);
	case UART_SCR:
		return serial->scr;
	default:
		return 0xff;
	}
}

static void write_locked(struct serial *serial, uint32_t port_offset, uint8_t value)
{
	const bool latch = (serial->lcr & UART_LCR_DLAB) != 0;

	switch (port_offset) {
	case UART_TX:
		if (latch) {
			serial->dll = value;
			break;
		}
		transmit(serial, value);
		/* An interrupt that waits to be identified speaks for all bytes until then. */
		if (serial->line && serial->thr_empty_pending)
			break;
		serial->thr_empty_pending = true;
		drop_line(serial);
		break;
	case UART_IER:
		if (latch) {
			serial->dlm = value;
			break;
		}
		/* Enabling it while the transmitter is empty interrupts at once. */
		if ((value & UART_IER_THRI) && !(serial->ier & UART_IER_THRI))
			serial->thr_empty_pending = true;
		serial->ier = value & 0x0f;
		update_line(serial);
		break;
	case UART_LCR:
		serial->lcr = value;
		break;
	case UART_MCR:
		serial->mcr = value & 0x1f;
		break;
	case UART_SCR:
		serial->scr = value;
		break;
	default: /* no FIFO control, and status is read-only */
		break;
	}
}

uint8_t serial_read(struct serial *serial, uint32_t port_offset)
{
	pthread_mutex_lock(&serial->lock);
	const uint8_t value = read_locked(serial, port_offset);
	pthread_mutex_unlock(&serial->lock);
	return value;
}

void serial_write(struct serial *serial, uint32_t port_offset, uint8_t value)
{
	pthread_mutex_lock(&serial->lock);
	write_locked(serial, port_offset, value);
	pthread_mutex_unlock(&serial->lock);
}

size_t serial_room(struct serial *serial)
{
	pthread_mutex_lock(&serial->lock);
	const size_t room = INPUT_MAX - serial->input_len;
	pthread_mutex_unlock(&serial->lock);
	return room;
}

size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	pthread_mutex_lock(&serial->lock);
	while (taken < len && take_input(serial, data[taken]))
		taken++;
	update_line(serial);
	pthread_mutex_unlock(&serial->lock);
	return taken;
}

size_t serial_tail(struct serial *serial, char *buf, size_t size)
{
	pthread_mutex_lock(&serial->lock);
	const size_t n = serial->tail_len < size ? serial->tail_len : size;

	for (size_t i = 0; i < n; i++)
		buf[i] = serial->tail[(serial->tail_at - n + i) % SERIAL_TAIL];
	pthread_mutex_unlock(&serial->lock);
	return n;
}
