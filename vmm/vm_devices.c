/* SPDX-License-Identifier: Apache-2.0 */
/* A VM's console, disks and network cards: made, and given their place in the machine. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "address_map.h"
#include "config.h"
#include "error.h"
#include "virtio_blk.h"
#include "virtio_net.h"
#include "vm.h"

/*
 * Takes ownership of @device: its window, interrupt and notifications. @serve_on_vcpu: those are
 * left to arrive as register writes.
 */
static int attach(struct lupine_vm *vm, struct virtio_device *device, bool serve_on_vcpu)
{
	struct machine *machine = &vm->machine;
	const unsigned int index = machine->nr_devices;
	const uint64_t window = ADDR_VIRTIO + (uint64_t)index * VIRTIO_MMIO_WINDOW;
	struct virtio_mmio *mmio;
	int err;

	if (vm->config.log)
		virtio_device_set_report(device, vm->config.log, vm->config.log_context);
	const int irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (irq_fd < 0) {
		err = -errno;
		virtio_device_destroy(device);
		return err;
	}
	err = virtio_mmio_create(device, &vm->loop, irq_fd, &mmio);
	if (err) {
		virtio_device_destroy(device);
		close(irq_fd);
		return err;
	}
	machine->irq_fds[index] = irq_fd;
	machine->devices[index] = mmio;
	machine->nr_devices++;
	err = kvm_bind_irq(&vm->kvm, irq_fd, ADDR_VIRTIO_GSI + index);
	for (unsigned int q = 0; !err && !serve_on_vcpu && q < virtio_mmio_nr_queues(mmio); q++)
		err = kvm_bind_notify(&vm->kvm, virtio_mmio_notify_fd(mmio, q),
				      window + VIRTIO_MMIO_NOTIFY, q);
	return err;
}

static int attach_disk(struct lupine_vm *vm, const struct lupine_disk *disk,
		       struct lupine_error *error)
{
	/* In the host's page cache a ring gains nothing, and making one costs each start. */
	const bool by_itself = disk->io == LUPINE_IO_AUTO && disk->direct;
	const struct virtio_blk_options options = { .path = disk->path,
						    .read_only = disk->read_only,
						    .direct = disk->direct,
						    .writethrough = disk->writethrough,
						    .uring = disk->io == LUPINE_IO_URING ||
							     by_itself,
						    .or_sync = by_itself,
						    .report = vm->config.log,
						    .report_context = vm->config.log_context,
						    .queues = disk->queues,
						    .without = disk->without,
						    .limits = {
							    { disk->bytes_per_second, 0 },
							    { disk->operations_per_second, 0 },
						    } };
	struct virtio_device *device;
	const char *why = NULL;
	int err = virtio_blk_create(&options, &vm->mem, &vm->loop, &device, &why);

	if (!err) {
		why = NULL; /* it spoke of the making, which went well */
		err = attach(vm, device, disk->serve_on_vcpu);
	}
	if (err)
		return error_set(error, LUPINE_ERROR_DISK, err, "disk %s: %s", disk->path,
				 why ? why : strerror(-err));
	return 0;
}

static int attach_net(struct lupine_vm *vm, const struct lupine_net *net, unsigned int index,
		      struct lupine_error *error)
{
	static const uint8_t unset[6];
	const uint8_t by_position[6] = { 0x52, 0x54, 0x00, 0x4c, 0x50, (uint8_t)index };
	const struct rate_limits limits = { { net->bytes_per_second, 0 },
					    { net->packets_per_second, 0 } };
	const char *name = net->tap ? net->tap : net->socket ? net->socket : "(file descriptor)";
	struct virtio_net_options options = { .tap = net->tap,
					      .socket = net->socket,
					      .fd = net->fd,
					      .mtu = net->mtu,
					      .queue_pairs = net->queues,
					      .without = net->without,
					      .vhost = net->vhost,
					      .report = vm->config.log,
					      .report_context = vm->config.log_context,
					      .rx = limits,
					      .tx = limits };
	struct virtio_device *device;
	const char *why = NULL;

	memcpy(options.mac, memcmp(net->mac, unset, 6) ? net->mac : by_position, 6);
	int err = virtio_net_create(&options, &vm->mem, &vm->loop, &device, &why);
	if (!err) {
		why = NULL; /* it spoke of the making, which went well */
		err = attach(vm, device, net->serve_on_vcpu);
	}
	if (err)
		return error_set(error, LUPINE_ERROR_NET, err, "net %s: %s", name,
				 why ? why : strerror(-err));
	return 0;
}

static void console_interrupt(struct event_source *source, uint32_t events)
{
	const struct console_break *interrupt = (struct console_break *)source;
	const uint8_t control_c = 3;
	uint64_t count;

	(void)events;
	if (read(source->fd, &count, sizeof(count)) == sizeof(count))
		serial_receive(interrupt->serial, &control_c, 1);
}

static int create_interrupt(struct lupine_vm *vm)
{
	vm->interrupt = (struct console_break){
		.source = { .fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
			    .ready = console_interrupt },
		.serial = vm->machine.serial,
	};
	if (vm->interrupt.source.fd < 0)
		return -errno;
	return event_loop_add(&vm->loop, &vm->interrupt.source, EPOLLIN);
}

static int create_console(struct lupine_vm *vm)
{
	int err;

	vm->serial_irq_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (vm->serial_irq_fd < 0)
		return -errno;
	err = kvm_bind_irq(&vm->kvm, vm->serial_irq_fd, SERIAL_COM1_IRQ);
	if (!err)
		err = serial_create(vm->config.console_out, vm->serial_irq_fd, &vm->machine.serial);
	if (!err)
		serial_set_report(vm->machine.serial, vm->config.log, vm->config.log_context);
	if (!err && vm->config.console)
		err = create_interrupt(vm);
	if (err || vm->config.console_in < 0)
		return err;
	err = console_input_start(&vm->input, vm->config.console_in, &vm->loop, vm->machine.serial);
	return err == -EPERM ? 0 : err; /* a regular file or /dev/null: no input */
}

/* On the event loop's thread. */
static void refresh_devices(void *context)
{
	struct machine *machine = context;

	for (unsigned int i = 0; i < machine->nr_devices; i++)
		virtio_mmio_refresh(machine->devices[i]);
}

int vm_attach_devices(struct lupine_vm *vm, struct lupine_error *error)
{
	int err = event_loop_init(&vm->loop);

	vm->loop.woken = refresh_devices;
	vm->loop.woken_context = &vm->machine;
	if (!err)
		err = create_console(vm);
	if (err)
		return error_set(error, LUPINE_ERROR_HOST, err, "console: %s", strerror(-err));
	for (unsigned int i = 0; !err && i < vm->config.nr_disks; i++) {
		const struct lupine_disk disk = config_disk(&vm->config, i);

		err = attach_disk(vm, &disk, error);
	}
	for (unsigned int i = 0; !err && i < vm->config.nr_nets; i++) {
		const struct lupine_net net = config_net(&vm->config, i);

		err = attach_net(vm, &net, i, error);
	}
	return err;
}
