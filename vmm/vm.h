/* SPDX-License-Identifier: Apache-2.0 */
/* A VM as a whole: what lupine.h's opaque handle is. Only vm*.c know it. */
#ifndef LUPINE_VM_H
#define LUPINE_VM_H

#include "config.h"
#include "console_input.h"
#include "event_loop.h"
#include "kvm.h"
#include "machine.h"
#include "mem.h"
#include "report.h"
#include "stop.h"
#include "vcpu.h"

/* An eventfd that a signal handler can write to; its handler presses Ctrl-C on the console. */
struct console_break {
	struct event_source source;
	struct serial *serial;
};

struct lupine_vm {
	struct lupine_config config; /* strings and arrays are gone after lupine_vm_create() */
	struct kvm kvm;
	struct guest_mem mem;
	struct event_loop loop;
	struct machine machine;
	struct stop stop;
	struct report report;
	struct console_input input;
	struct console_break interrupt;
	int serial_irq_fd;
	const char *kernel_format;
	unsigned int nr_vcpus; /* created so far */
	struct vcpu vcpus[LUPINE_MAX_CPUS];
	bool ran;
};

/* vm_devices.c: the event loop and what it serves. lupine_vm_destroy() undoes it, also in part. */
int vm_attach_devices(struct lupine_vm *vm, struct lupine_error *error);

#endif
