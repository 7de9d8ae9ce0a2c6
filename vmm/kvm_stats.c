/* SPDX-License-Identifier: Apache-2.0 */
/* KVM's binary statistics (api.rst, 4.133 KVM_GET_STATS_FD). */
#include <errno.h>
#include <linux/kvm.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kvm.h"

#define NAME_MAX_SIZE 256u

int kvm_stats_open(int vcpu_fd)
{
	const int fd = ioctl(vcpu_fd, KVM_GET_STATS_FD, NULL);

	return fd < 0 ? -errno : fd;
}

static void add(struct lupine_report *report, const char *name, uint64_t value)
{
	const unsigned int max = sizeof(report->counters) / sizeof(report->counters[0]);
	unsigned int i = 0;

	while (i < report->nr_counters && strcmp(report->counters[i].name, name))
		i++;
	if (i == max)
		return;
	if (i == report->nr_counters) {
		memcpy(report->counters[i].name, name,
		       strnlen(name, sizeof(report->counters[i].name) - 1));
		report->nr_counters++;
	}
	report->counters[i].value += value;
}

static bool read_whole(int fd, void *buf, size_t size, off_t offset)
{
	return pread(fd, buf, size, offset) == (ssize_t)size;
}

void kvm_stats_add(int stats_fd, struct lupine_report *report)
{
	struct kvm_stats_header header;

	if (!read_whole(stats_fd, &header, sizeof(header), 0) || header.name_size > NAME_MAX_SIZE)
		return;
	const size_t desc_size = sizeof(struct kvm_stats_desc) + header.name_size;
	union {
		struct kvm_stats_desc desc;
		char bytes[sizeof(struct kvm_stats_desc) + NAME_MAX_SIZE + 1];
	} buf;
	for (uint32_t i = 0; i < header.num_desc; i++) {
		uint64_t value;

		memset(&buf, 0, sizeof(buf));
		if (!read_whole(stats_fd, &buf, desc_size,
				(off_t)(header.desc_offset + i * desc_size)))
			return;
		if ((buf.desc.flags & KVM_STATS_TYPE_MASK) != KVM_STATS_TYPE_CUMULATIVE ||
		    buf.desc.size != 1)
			continue;
		if (!read_whole(stats_fd, &value, sizeof(value),
				(off_t)header.data_offset + buf.desc.offset))
			return;
		add(report, buf.bytes + sizeof(buf.desc), value);
	}
}
