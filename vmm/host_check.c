/* SPDX-License-Identifier: Apache-2.0 */
/* What of this host stops a VM, or makes its start slow. */
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm.h"
#include "report.h"

#define SLOW_CREATE_VM 2000000u /* ns; 0.3 ms is usual */

struct findings {
	void (*found)(void *context, bool fatal, const char *line);
	void *context;
};

/* The first bytes of a small file of /proc or /sys; false when it is not there. */
static bool read_text(const char *path, char *text, size_t size)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	const ssize_t n = read(fd, text, size - 1);
	close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

/* Creating a VM is quick, or waits for an RCU grace period of the host: told by trying. */
static void check_create_vm(const struct findings *to, struct kvm *kvm)
{
	const unsigned int tries = 5;
	uint64_t slowest = 0, quickest = UINT64_MAX;
	char line[160];

	for (unsigned int i = 0; i < tries; i++) {
		const uint64_t before = report_now();
		const int vm_fd = ioctl(kvm->fd, KVM_CREATE_VM, 0);
		const uint64_t took = report_now() - before;

		if (vm_fd < 0)
			return; /* said already, by the first one */
		close(vm_fd);
		slowest = took > slowest ? took : slowest;
		quickest = took < quickest ? took : quickest;
	}
	if (slowest < SLOW_CREATE_VM)
		return;
	snprintf(
		line, sizeof(line),
		"KVM_CREATE_VM takes %.1f to %.1f ms here, of which a start could save all but 0.5",
		(double)quickest / 1e6, (double)slowest / 1e6);
	to->found(to->context, false, line);
}

static void check_nx_huge_pages(const struct findings *to)
{
	char text[16];

	if (read_text("/sys/module/kvm/parameters/nx_huge_pages", text, sizeof(text)) &&
	    text[0] == 'Y')
		to->found(
			to->context, false,
			"kvm.nx_huge_pages is on: every VM starts a recovery thread and maps code "
			"in 4 KiB pages: on a CPU without the iTLB multihit bug set it to never");
}

/* KVM_CREATE_VM starts threads, and moving one into a cgroup waits for an RCU grace period. */
static void check_favordynmods(const struct findings *to)
{
	char line[512];
	FILE *mounts = fopen("/proc/self/mounts", "re");

	if (!mounts)
		return;
	while (fgets(line, sizeof(line), mounts))
		if (strstr(line, " cgroup2 ") && !strstr(line, "favordynmods"))
			to->found(to->context, false,
				  "cgroup2 is mounted without favordynmods: KVM_CREATE_VM can wait "
				  "milliseconds: mount -o remount,favordynmods /sys/fs/cgroup");
	fclose(mounts);
}

static void check_huge_pages(const struct findings *to)
{
	char text[64];

	if (!read_text("/sys/kernel/mm/transparent_hugepage/enabled", text, sizeof(text)) ||
	    strstr(text, "[never]"))
		to->found(to->context, false,
			  "transparent huge pages are off: a guest's memory faults in 4 KiB at a "
			  "time: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
	if (read_text("/proc/sys/vm/nr_hugepages", text, sizeof(text)) && text[0] == '0')
		to->found(to->context, false,
			  "no huge pages are reserved: --mem SIZE,hugetlb would clear a guest's "
			  "memory once where init_on_alloc has it cleared twice, and never find it "
			  "fragmented: sysctl vm.nr_hugepages=N, of 2 MiB each");
}

int lupine_host_check(void (*found)(void *context, bool fatal, const char *line), void *context)
{
	const struct findings to = { found, context };
	struct lupine_error error;
	struct kvm kvm;
	int fatal = 0;

	if (kvm_open(&kvm, &error) < 0 || kvm_create_vm(&kvm, &error) < 0) {
		found(context, true, error.text);
		fatal++;
	} else {
		check_create_vm(&to, &kvm);
	}
	kvm_close(&kvm);
	check_nx_huge_pages(&to);
	check_favordynmods(&to);
	check_huge_pages(&to);
	return fatal;
}
