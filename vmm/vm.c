/* SPDX-License-Identifier: Apache-2.0 */
/* Making a VM and taking it down; running it is vm_run.c's. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "address_map.h"
#include "boot_params.h"
#include "cmdline.h"
#include "cpu_state.h"
#include "error.h"
#include "kernel_loader.h"
#include "virtio_blk.h"
#include "virtio_net.h"

static int memory_error(const struct lupine_vm *vm, int err, struct lupine_error *error)
{
	if (vm->config.hugetlb)
		return error_set(
			error, LUPINE_ERROR_MEMORY, err,
			"memory of %llu huge pages of 2 MiB: the host has too few free: %s: "
			"reserve more by sysctl vm.nr_hugepages, or go without hugetlb",
			(unsigned long long)(vm->config.memory / MEM_HUGE_PAGE), strerror(-err));
	return error_set(error, LUPINE_ERROR_MEMORY, err,
			 "memory of %llu bytes: the host does not give it: %s",
			 (unsigned long long)vm->config.memory, strerror(-err));
}

static int create_kvm(struct lupine_vm *vm, struct lupine_error *error)
{
	int err = kvm_open(&vm->kvm, error);

	if (!err)
		err = kvm_create_vm(&vm->kvm, error);
	if (err)
		return err;
	err = kvm_set_memory(&vm->kvm, &vm->mem);
	return err ? memory_error(vm, err, error) : 0;
}

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
	const struct virtio_blk_options options = { .path = disk->path,
						    .read_only = disk->read_only,
						    .direct = disk->direct,
						    .writethrough = disk->writethrough,
						    .uring = disk->uring,
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

/* Console bytes wait in the host's pipe or terminal while the guest's UART is full. */
static void console_ready(struct event_source *source, uint32_t events)
{
	struct console_input *input = (struct console_input *)source;
	uint8_t bytes[64];
	size_t room = serial_room(input->serial);
	ssize_t n = 0;

	if (room > sizeof(bytes))
		room = sizeof(bytes);
	if (room)
		n = read(source->fd, bytes, room);
	if (n > 0)
		serial_receive(input->serial, bytes, (size_t)n);
	else if ((room && n == 0) || (events & (EPOLLHUP | EPOLLERR)))
		event_loop_remove(input->loop, source);
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
	if (!err && vm->config.console)
		err = create_interrupt(vm);
	if (err || vm->config.console_in < 0)
		return err;
	vm->input = (struct console_input){
		.source = { .fd = vm->config.console_in, .ready = console_ready },
		.loop = &vm->loop,
		.serial = vm->machine.serial,
	};
	err = event_loop_add(&vm->loop, &vm->input.source, EPOLLIN);
	return err == -EPERM ? 0 : err; /* a regular file or /dev/null: no input */
}

/* On the event loop's thread. */
static void refresh_devices(void *context)
{
	struct machine *machine = context;

	for (unsigned int i = 0; i < machine->nr_devices; i++)
		virtio_mmio_refresh(machine->devices[i]);
}

static int attach_devices(struct lupine_vm *vm, struct lupine_error *error)
{
	int err = event_loop_init(&vm->loop);

	vm->loop.woken = refresh_devices;
	vm->loop.woken_context = &vm->machine;
	if (!err)
		err = create_console(vm);
	if (err)
		return error_set(error, LUPINE_ERROR_HOST, err, "console: %s", strerror(-err));
	for (unsigned int i = 0; !err && i < vm->config.nr_disks; i++)
		err = attach_disk(vm, &vm->config.disks[i], error);
	for (unsigned int i = 0; !err && i < vm->config.nr_nets; i++)
		err = attach_net(vm, &vm->config.nets[i], i, error);
	return err;
}

static int write_boot_params(struct lupine_vm *vm, const struct kernel_image *kernel,
			     uint64_t *zero_page, struct lupine_error *error)
{
	struct boot_device devices[LUPINE_MAX_DEVICES];
	struct boot_config boot = { .initrd_fd = -1,
				    .cpus = vm->config.cpus,
				    .nr_devices = vm->machine.nr_devices,
				    .devices = devices };
	const char *initrd = vm->config.initrd, *why = NULL;
	char cmdline[CMDLINE_SIZE];
	int err;

	for (unsigned int i = 0; i < boot.nr_devices; i++)
		devices[i] = (struct boot_device){
			.gpa = ADDR_VIRTIO + (uint64_t)i * VIRTIO_MMIO_WINDOW,
			.size = VIRTIO_MMIO_WINDOW,
			.gsi = ADDR_VIRTIO_GSI + i,
		};
	err = cmdline_write(&vm->config, cmdline);
	if (err)
		return error_set(error, LUPINE_ERROR_BOOT, err,
				 "command line: longer than Linux takes (2047 bytes)");
	boot.cmdline = cmdline;
	/* Fewer bytes than asked for only before the host's own CRNG is ready: then none. */
	if (getrandom(boot.rng_seed, sizeof(boot.rng_seed), GRND_NONBLOCK) < 0)
		memset(boot.rng_seed, 0, sizeof(boot.rng_seed));
	if (initrd) {
		boot.initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC);
		if (boot.initrd_fd < 0)
			return error_set(error, LUPINE_ERROR_BOOT, -errno, "initrd %s: %s", initrd,
					 strerror(errno));
	}
	err = boot_params_write(&vm->mem, kernel, &boot, zero_page, &why);
	if (boot.initrd_fd >= 0)
		close(boot.initrd_fd);
	explicit_bzero(boot.rng_seed, sizeof(boot.rng_seed));
	if (err)
		return error_set(error, err == -ENOSPC ? LUPINE_ERROR_MEMORY : LUPINE_ERROR_BOOT,
				 err, "%s%s%s", initrd ? initrd : "boot", ": ",
				 why ? why : strerror(-err));
	return 0;
}

static int create_vcpus(struct lupine_vm *vm, struct lupine_error *error)
{
	struct guest_cpuid *cpuid = malloc(sizeof(*cpuid));
	int err = cpuid ? guest_cpuid_supported(vm->kvm.fd, cpuid) : -ENOMEM;

	while (!err && vm->nr_vcpus < vm->config.cpus) {
		struct vcpu *vcpu = &vm->vcpus[vm->nr_vcpus];

		err = vcpu_create(vcpu, &vm->kvm, vm->nr_vcpus, vm->config.cpus, cpuid,
				  &vm->machine);
		if (err)
			break;
		vm->nr_vcpus++;
		if (vm->config.measure)
			vcpu->stats_fd = kvm_stats_open(vcpu->fd);
	}
	free(cpuid);
	if (err)
		return error_set(error, LUPINE_ERROR_HOST, err, "KVM: vCPU %u of %u: %s",
				 vm->nr_vcpus, vm->config.cpus, strerror(-err));
	return 0;
}

/* What needs no kernel. */
static int create_machine(struct lupine_vm *vm, struct lupine_error *error)
{
	int err = create_kvm(vm, error);

	if (err)
		return err;
	report_stamp(&vm->report, LUPINE_STEP_VM);
	err = attach_devices(vm, error);
	if (err)
		return err;
	report_stamp(&vm->report, LUPINE_STEP_DEVICES);
	err = create_vcpus(vm, error);
	if (err)
		return err;
	report_stamp(&vm->report, LUPINE_STEP_VCPUS);
	return 0;
}

static int enter_kernel(struct lupine_vm *vm, const struct kernel_image *kernel,
			struct lupine_error *error)
{
	uint64_t zero_page;
	int err = write_boot_params(vm, kernel, &zero_page, error);

	if (err)
		return err;
	err = cpu_state_write_tables(&vm->mem);
	if (!err)
		err = vcpu_set_boot_state(&vm->vcpus[0], kernel->entry, zero_page);
	if (err)
		return error_set(error, LUPINE_ERROR_HOST, err, "KVM: state of vCPU 0: %s",
				 strerror(-err));
	vm->kernel_format = kernel->format;
	report_stamp(&vm->report, LUPINE_STEP_KERNEL);
	return 0;
}

/* All ordering of a VM's making is here; lupine_vm_destroy() is its reverse. */
static int create(struct lupine_vm *vm, struct lupine_error *error)
{
	struct kernel_loader loader;
	struct kernel_image kernel;
	int err;

	err = stop_init(&vm->stop);
	if (err)
		return error_set(error, LUPINE_ERROR_HOST, err, "eventfd: %s", strerror(-err));
	if (vm->config.measure)
		(void)report_open_memory(&vm->report); /* without /proc the report has no memory */
	err = vm->config.hugetlb ? mem_create_hugetlb(&vm->mem, vm->config.memory)
				 : mem_create(&vm->mem, vm->config.memory);
	if (err)
		return memory_error(vm, err, error);
	err = kernel_loader_start(&loader, vm->config.kernel, !vm->config.enter_bzimage, &vm->mem,
				  error);
	if (err)
		return err;
	err = create_machine(vm, error);
	if (err) {
		(void)kernel_loader_finish(&loader, NULL, NULL);
		return err;
	}
	err = kernel_loader_finish(&loader, &kernel, error);
	return err ? err : enter_kernel(vm, &kernel, error);
}

int lupine_vm_create(const struct lupine_config *given, struct lupine_vm **out,
		     struct lupine_error *error)
{
	struct lupine_config config;
	int err = config_validate(given, &config, error);

	*out = NULL;
	if (err)
		return err;
	struct lupine_vm *vm = calloc(1, sizeof(*vm));
	if (!vm)
		return error_set(error, LUPINE_ERROR_MEMORY, -ENOMEM, "out of memory");
	vm->config = config;
	vm->kvm.fd = vm->kvm.vm_fd = -1;
	vm->stop.fd = vm->serial_irq_fd = vm->interrupt.source.fd = -1;
	vm->loop.epoll_fd = vm->loop.stop_fd = -1;
	vm->machine.exit_port = !config.no_exit_port;
	vm->machine.report = &vm->report;
	vm->machine.stop = &vm->stop;
	report_init(&vm->report, config.start);
	err = create(vm, error);
	/* They were the caller's, and are not promised to live on. */
	vm->config.kernel = vm->config.initrd = vm->config.cmdline = NULL;
	vm->config.disks = NULL;
	vm->config.nets = NULL;
	if (err) {
		lupine_vm_destroy(vm);
		return err;
	}
	*out = vm;
	return 0;
}

void lupine_vm_destroy(struct lupine_vm *vm)
{
	if (!vm)
		return;
	while (vm->nr_vcpus)
		vcpu_destroy(&vm->vcpus[--vm->nr_vcpus]);
	while (vm->machine.nr_devices) {
		const unsigned int last = --vm->machine.nr_devices;

		virtio_mmio_destroy(vm->machine.devices[last]);
		close(vm->machine.irq_fds[last]);
	}
	if (vm->machine.serial)
		serial_destroy(vm->machine.serial);
	if (vm->interrupt.source.fd >= 0)
		close(vm->interrupt.source.fd);
	if (vm->serial_irq_fd >= 0)
		close(vm->serial_irq_fd);
	event_loop_fini(&vm->loop);
	kvm_close(&vm->kvm);
	mem_destroy(&vm->mem);
	report_fini(&vm->report);
	stop_fini(&vm->stop);
	free(vm);
}

void lupine_vm_stop(struct lupine_vm *vm)
{
	stop_request(&vm->stop, LUPINE_EXIT_STOPPED, 0);
}

bool lupine_vm_ask(struct lupine_vm *vm)
{
	const uint64_t one = 1;

	if (vm->interrupt.source.fd < 0 || !atomic_load(&vm->report.step[LUPINE_STEP_INIT]))
		return false;
	return write(vm->interrupt.source.fd, &one, sizeof(one)) == sizeof(one);
}

void lupine_vm_refresh(struct lupine_vm *vm)
{
	event_loop_wake(&vm->loop);
}

const char *lupine_version(void)
{
	return LUPINE_VERSION;
}
