/* SPDX-License-Identifier: Apache-2.0 */
#include "machine.h"

#include <string.h>

#include "address_map.h"
#include "boot_params.h"
#include "error.h"

static void marker(struct machine *machine, uint8_t value)
{
	switch (value) {
	case MARKER_INIT:
		report_stamp(machine->report, LUPINE_STEP_INIT);
		break;
	case MARKER_APPLICATION:
		report_stamp(machine->report, LUPINE_STEP_APPLICATION);
		break;
	case MARKER_READY:
		report_stamp(machine->report, LUPINE_STEP_READY);
		break;
	default: /* reserved */
		break;
	}
}

static void port_write(struct machine *machine, uint16_t port, uint8_t value)
{
	switch (port) {
	case PORT_EXIT:
		if (machine->exit_port)
			stop_request(machine->stop, LUPINE_EXIT_STATUS, value);
		break;
	case PORT_MARKER:
		marker(machine, value);
		break;
	case PORT_KBD_COMMAND:
		if (value == PORT_KBD_RESET)
			stop_request(machine->stop, LUPINE_EXIT_RESET, 0);
		break;
	case BOOT_SLEEP_PORT: /* a stock kernel's `poweroff`: all is well */
		if (value == BOOT_SLEEP_OFF)
			stop_request(machine->stop, LUPINE_EXIT_STATUS, 0);
		break;
	default:
		break;
	}
}

/* Linux waits for the keyboard controller's input buffer (bit 1) to be empty before a reset. */
static uint8_t port_read(uint16_t port)
{
	return port == PORT_KBD_COMMAND || port == BOOT_SLEEP_PORT ? 0 : 0xff;
}

static bool is_serial(uint16_t port)
{
	return port >= SERIAL_COM1_PORT && port < SERIAL_COM1_PORT + SERIAL_PORTS;
}

static void serial_access(struct machine *machine, bool out, uint32_t offset, uint8_t *value)
{
	if (out)
		serial_write(machine->serial, offset, *value);
	else
		*value = serial_read(machine->serial, offset);
}

enum lupine_exit_kind machine_io(struct machine *machine, struct kvm_run *run)
{
	const uint16_t port = run->io.port;
	const bool out = run->io.direction == KVM_EXIT_IO_OUT;
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	/* count > 1: a string instruction, the same port again and again. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (is_serial(port)) {
			serial_access(machine, out, port - SERIAL_COM1_PORT, data);
			memset(data + 1, 0xff, out ? 0 : run->io.size - 1u);
		} else if (out) {
			port_write(machine, port, data[0]);
		} else {
			memset(data, port_read(port), run->io.size);
		}
	}
	return is_serial(port) ? LUPINE_KIND_IO_SERIAL : LUPINE_KIND_IO_OTHER;
}

enum lupine_exit_kind machine_mmio(struct machine *machine, struct kvm_run *run)
{
	const uint64_t gpa = run->mmio.phys_addr;
	const uint64_t index = (gpa - ADDR_VIRTIO) / VIRTIO_MMIO_WINDOW;
	const uint32_t offset = (uint32_t)(gpa % VIRTIO_MMIO_WINDOW);
	const uint32_t len = run->mmio.len;

	if (gpa >= ADDR_VIRTIO && index < machine->nr_devices &&
	    len <= VIRTIO_MMIO_WINDOW - offset) {
		struct virtio_mmio *device = machine->devices[index];

		if (run->mmio.is_write)
			virtio_mmio_write(device, offset, run->mmio.data, len);
		else
			virtio_mmio_read(device, offset, run->mmio.data, len);
		return LUPINE_KIND_MMIO_VIRTIO;
	}
	if (!run->mmio.is_write)
		memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
	else if (gpa == ADDR_BOOT_TIMER && run->mmio.data[0] == ADDR_BOOT_TIMER_VALUE)
		marker(machine, MARKER_INIT);
	return LUPINE_KIND_MMIO_OTHER;
}

int machine_quiesce(const struct machine *machine, struct lupine_error *error)
{
	int first = 0;

	for (unsigned int i = 0; i < machine->nr_devices; i++) {
		const int err = virtio_mmio_quiesce(machine->devices[i]);

		if (err && !first)
			first = error_set(error, LUPINE_ERROR_RUN, err,
					  "%s: its last writes are not on the disk: %s",
					  virtio_mmio_name(machine->devices[i]), strerror(-err));
	}
	return first;
}
