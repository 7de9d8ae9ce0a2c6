/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 16450-like UART (8250 without FIFO trouble): what Linux's 8250 driver and earlyprintk expect of
 * COM1. Output is written to a file descriptor; input is fed by serial_receive() and kept in a
 * small bounded buffer until the guest reads it.
 */
#ifndef LUPINE_SERIAL_H
#define LUPINE_SERIAL_H

#include <stddef.h>
#include <stdint.h>

#define SERIAL_COM1_PORT 0x3f8u
#define SERIAL_COM1_IRQ	 4u
#define SERIAL_PORTS	 8u
#define SERIAL_TAIL	 4096u /* last bytes of output kept for a panic's report */

struct serial;

/*
 * @out_fd: where output goes, -1 for nowhere; @irq_fd: eventfd of the interrupt line. Both are the
 * caller's. Thread-safe: vCPU threads and the event loop may call at once.
 */
int serial_create(int out_fd, int irq_fd, struct serial **serial);
void serial_destroy(struct serial *serial);

/* @report is told once when output cannot be written, on the thread that writes it. */
void serial_set_report(struct serial *serial, void (*report)(void *context, const char *line),
		       void *context);

/* @drained is told when input that was full has room again, on the thread that read it. */
void serial_set_drained(struct serial *serial, void (*drained)(void *context), void *context);

uint8_t serial_read(struct serial *serial, uint32_t port_offset);
void serial_write(struct serial *serial, uint32_t port_offset, uint8_t value);

/* How many bytes serial_receive() would take now; and giving them. Returns the number taken. */
size_t serial_room(struct serial *serial);
size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len);

/* Copies the last output (at most SERIAL_TAIL bytes) into @buf; returns how many. */
size_t serial_tail(struct serial *serial, char *buf, size_t size);

#endif
