/* SPDX-License-Identifier: Apache-2.0 */
/* Making a VM and taking it down; running it is vm_run.c's. */
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "address_map.h"
#include "boot_params.h"
#include "cmdline.h"
#include "cpu_state.h"
#include "error.h"
#include "kernel_loader.h"

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
	err = vm_attach_devices(vm, error);
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
