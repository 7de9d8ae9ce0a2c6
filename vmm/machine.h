/* SPDX-License-Identifier: Apache-2.0 */
/* The machine a guest sees: which device answers at which port and address. */
#ifndef LUPINE_MACHINE_H
#define LUPINE_MACHINE_H

#include <linux/kvm.h>
#include <stdbool.h>

#include "lupine.h"
#include "report.h"
#include "serial.h"
#include "stop.h"
#include "virtio_mmio.h"

struct machine {
	struct serial *serial;
	unsigned int nr_devices;
	struct virtio_mmio *devices[LUPINE_MAX_DEVICES];
	int irq_fds[LUPINE_MAX_DEVICES]; /* eventfds bound to the devices' GSIs */
	bool exit_port;
	struct report *report;
	struct stop *stop;
};

/*
 * Carries out the port or memory access that @run describes; vCPU threads. What nothing answers
 * reads as ones and swallows writes, as an ISA bus does. Returns how to count it.
 */
enum lupine_exit_kind machine_io(struct machine *machine, struct kvm_run *run);
enum lupine_exit_kind machine_mmio(struct machine *machine, struct kvm_run *run);

/* virtio_mmio_quiesce() of every device, whatever becomes of one; the first that failed is told. */
int machine_quiesce(const struct machine *machine, struct lupine_error *error);

#endif
