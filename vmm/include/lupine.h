/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lupine.h - run a Linux kernel and its disk images in a KVM virtual machine.
 *
 *	struct lupine_config config = { .size = sizeof(config), .kernel = "bzImage", ... };
 *	struct lupine_vm *vm;
 *	struct lupine_exit end;
 *	struct lupine_error error;
 *
 *	if (lupine_vm_create(&config, &vm, &error) < 0 || lupine_vm_run(vm, &end, &error) < 0)
 *		... error.text says what, where and what to do ...
 *	lupine_vm_destroy(vm);
 *
 * The library returns, always: it never exits, prints or keeps global state; any number of VMs may
 * live in one process. Sizes are bytes, times nanoseconds of CLOCK_MONOTONIC unless said otherwise.
 *
 * Structures begin with their size: a program built against an older header works with a newer
 * library (what it does not know is zero, which always means the default), and a newer program with
 * an older library fails with -E2BIG if it sets what that library does not know.
 *
 * Signals: the library's threads block all signals; it uses SIGRTMIN between its own threads, never
 * installs a handler, and never changes the calling thread's mask.
 */
#ifndef LUPINE_H
#define LUPINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LUPINE_MAX_CPUS	   16
#define LUPINE_MAX_DEVICES 19 /* disks and nets together: GSI 5 to 23 of the one IOAPIC */

struct lupine_vm;

/* How requests that come several at once are done; one that comes alone is waited for in any case.
 */
enum lupine_io {
	LUPINE_IO_AUTO, /* what is faster: URING with direct, where the host allows it; else SYNC */
	LUPINE_IO_SYNC, /* one by one */
	LUPINE_IO_URING, /* at once, by io_uring */
};

struct lupine_disk {
	const char *path; /* raw image or block device; a multiple of 512 bytes */
	bool read_only;
	bool direct; /* past the host's page cache */
	bool writethrough; /* a completed write is on stable storage; else after a flush */
	enum lupine_io io;
	bool serve_on_vcpu; /* by the thread that made the request; else by the event loop's */
	unsigned int queues; /* 0: 1 */
	uint64_t bytes_per_second, operations_per_second; /* 0: no limit */
	uint64_t without; /* features (virtio 1.2, 2.2), a bit each, that are not offered */
};

struct lupine_net {
	/* One of: */
	const char *tap; /* an existing tap interface of the host */
	const char *socket; /* the path of passt's socket */
	bool use_fd;
	int fd; /* with use_fd: an open tap or stream socket; it stays the caller's */

	uint8_t mac[6]; /* the guest's address; all zero: 52:54:00:4c:50:NN by position */
	uint16_t mtu; /* 68 or more; 0: the guest's choice */
	unsigned int queues; /* pairs, of a tap made for several; 0: 1 */
	bool vhost; /* on a tap: by the host's kernel, where it has vhost-net */
	bool serve_on_vcpu; /* what the guest sends, by the thread that sends it */
	uint64_t bytes_per_second, packets_per_second; /* each way; 0: no limit */
	uint64_t without; /* features that are not offered, nor what needs them */
};

/* How much of the process is confined by seccomp once the guest may run. */
enum lupine_seccomp {
	LUPINE_SECCOMP_ALL, /* every thread of the process: for one that only runs this VM */
	LUPINE_SECCOMP_THREADS, /* the library's threads only: for a process that goes on with other
				   work */
	LUPINE_SECCOMP_OFF,
};

struct lupine_config {
	size_t size; /* sizeof(struct lupine_config) */
	const char *kernel; /* ELF vmlinux or bzImage */
	const char *initrd; /* NULL: none */
	/* Added to what the monitor gives (console=, root=, panic=, devices); NULL: nothing. */
	const char *cmdline;
	uint64_t memory; /* guest RAM, a multiple of 4096; 0: 128 MiB */
	/* All of it, a multiple of 2 MiB, from the host's reserved huge pages (vm.nr_hugepages). */
	bool hugetlb;
	unsigned int cpus; /* 1 to LUPINE_MAX_CPUS; 0: 1 */

	/* Arrays, whose elements' sizes are said here instead of in each. */
	const struct lupine_disk *disks; /* vda, vdb, ... */
	unsigned int nr_disks;
	unsigned int disk_size; /* with disks: sizeof(struct lupine_disk) */
	const struct lupine_net *nets; /* eth0, eth1, ... */
	unsigned int nr_nets;
	unsigned int net_size; /* with nets: sizeof(struct lupine_net) */

	/* Console (COM1) on file descriptors of the caller, open until lupine_vm_destroy(). */
	bool console; /* false: the guest has no console= and its output goes nowhere */
	int console_out; /* with console; -1: nowhere */
	int console_in; /* with console; -1: no input */

	bool enter_bzimage; /* enter a bzImage as it is; the default unpacks its ELF here */
	bool no_exit_port; /* I/O port 0xf4 is not there: an application's status stays in the guest
			    */
	enum lupine_seccomp seccomp;
	uint64_t timeout; /* ns from lupine_vm_run() until the VM is stopped; 0: none */
	bool measure; /* lupine_vm_report() is wanted in full: memory and KVM's own counters */
	uint64_t start; /* when the program started, the report's time 0; 0: lupine_vm_create() */

	/*
	 * One line of text (no newline) about a device the guest drove into an error, at most a few
	 * a device. Called on any of the library's threads, under the sandbox: write(2) it or keep
	 * it. NULL: dropped.
	 */
	void (*log)(void *log_context, const char *line);
	void *log_context;
};

/* What went wrong, by what must be mended. */
enum lupine_error_code {
	LUPINE_ERROR_CONFIG = 1, /* a setting's value */
	LUPINE_ERROR_HOST, /* no usable /dev/kvm, a limit of this host */
	LUPINE_ERROR_KERNEL, /* the kernel file */
	LUPINE_ERROR_MEMORY, /* guest memory: too small for what is loaded, or not to be had */
	LUPINE_ERROR_DISK,
	LUPINE_ERROR_NET,
	LUPINE_ERROR_BOOT, /* initrd or command line */
	LUPINE_ERROR_RUN, /* KVM or the host failed a running VM */
};

struct lupine_error {
	enum lupine_error_code code;
	int number; /* -errno of what failed */
	char text[512]; /* one line: what, where, what to do */
};

/* Why the VM stopped. */
enum lupine_exit_reason {
	LUPINE_EXIT_STATUS = 1, /* the guest handed over an exit status by the exit port */
	LUPINE_EXIT_RESET, /* the guest reset the machine (port 0x64) without a status */
	LUPINE_EXIT_TRIPLE_FAULT, /* a vCPU shut down */
	LUPINE_EXIT_PANIC, /* reset or triple fault after "Kernel panic" on the console */
	LUPINE_EXIT_TIMEOUT,
	LUPINE_EXIT_STOPPED, /* lupine_vm_stop() */
};

struct lupine_exit {
	enum lupine_exit_reason reason;
	uint8_t status; /* with LUPINE_EXIT_STATUS */
	size_t console_length; /* last output of the console, for a message about a panic */
	char console[4096];
};

/* The steps of a boot, in order. */
enum lupine_step {
	LUPINE_STEP_CREATE, /* lupine_vm_create() entered */
	LUPINE_STEP_VM, /* KVM's VM and the guest's memory exist */
	LUPINE_STEP_DEVICES, /* disks and nets are open and attached */
	LUPINE_STEP_VCPUS, /* vCPUs are made */
	LUPINE_STEP_KERNEL, /* the kernel, loaded meanwhile, and its boot parameters are in place */
	LUPINE_STEP_RUN, /* threads are up and sandboxed: first KVM_RUN, the kernel's entry */
	LUPINE_STEP_INIT, /* init's first instructions (marker 1) */
	LUPINE_STEP_APPLICATION, /* init is about to execute the application (marker 2) */
	LUPINE_STEP_READY, /* the application says that it answers (marker 3) */
	LUPINE_STEP_EXIT, /* the VM stopped */
	LUPINE_STEPS
};

/* Exits to the monitor, all vCPUs together. */
enum lupine_exit_kind {
	LUPINE_KIND_IO_SERIAL,
	LUPINE_KIND_IO_OTHER,
	LUPINE_KIND_MMIO_VIRTIO,
	LUPINE_KIND_MMIO_OTHER,
	LUPINE_KIND_SIGNAL, /* KVM_RUN interrupted */
	LUPINE_KIND_OTHER,
	LUPINE_KINDS
};

/* A counter of KVM's own, summed over vCPUs: "exits", "io_exits", "halt_exits", ... */
struct lupine_kvm_counter {
	char name[48];
	uint64_t value;
};

struct lupine_report {
	size_t size; /* sizeof(struct lupine_report) */
	uint64_t step[LUPINE_STEPS]; /* ns since config.start; UINT64_MAX: not reached */
	uint64_t exits[LUPINE_KINDS];
	const char *kernel_format; /* "ELF", "bzImage (zstd payload)", ...; static */
	/* With config.measure, else 0: */
	uint64_t rss; /* resident now of the process, guest memory not counted */
	uint64_t anonymous; /* of that, what is this process's own: not pages of its program's file
			     */
	uint64_t guest_rss; /* guest memory the host has given */
	unsigned int nr_counters;
	struct lupine_kvm_counter counters[64];
};

/*
 * Makes a VM ready to run: everything that can fail for a reason of the configuration or the host
 * fails here, leaving nothing behind. Strings and arrays of @config are not kept.
 * 0 and *vm, the caller's to destroy; or -errno and *error.
 */
int lupine_vm_create(const struct lupine_config *config, struct lupine_vm **vm,
		     struct lupine_error *error);

/*
 * Starts the vCPUs and waits until the VM has stopped; once a VM. On return disks are flushed and
 * no guest instruction runs any more. 0 and *end, or -errno and *error.
 */
int lupine_vm_run(struct lupine_vm *vm, struct lupine_exit *end, struct lupine_error *error);

/*
 * Asks the guest to end, by a Ctrl-C on its console: our init then stops the application, syncs and
 * hands over its status. Returns false, and does nothing, while no init has said that it runs
 * (marker 1) or when the guest has no console. Any thread, and signal handlers.
 */
bool lupine_vm_ask(struct lupine_vm *vm);

/*
 * The host made a disk's image larger or smaller, or took a tap down or up: the devices look again
 * and tell the guest. Any thread, and signal handlers.
 */
void lupine_vm_refresh(struct lupine_vm *vm);

/* Asks a running VM to stop, as if its power were cut; any thread, and signal handlers. */
void lupine_vm_stop(struct lupine_vm *vm);

/* After lupine_vm_run(). Sets what @report->size has room for. 0 or -EINVAL. */
int lupine_vm_report(const struct lupine_vm *vm, struct lupine_report *report);

/* Not while another thread uses @vm. NULL is allowed. Closing the VM can take KVM some
 * milliseconds. */
void lupine_vm_destroy(struct lupine_vm *vm);

/*
 * Examines the host; calls @found once for each finding: one line that says what and what to do.
 * @fatal: nothing can run. Returns the number of fatal findings. Opens /dev/kvm, changes nothing.
 */
int lupine_host_check(void (*found)(void *context, bool fatal, const char *line), void *context);

const char *lupine_version(void);

#ifdef __cplusplus
}
#endif

#endif
