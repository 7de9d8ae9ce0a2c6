/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

uint64_t report_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void report_init(struct report *report, uint64_t start)
{
	memset(report, 0, sizeof(*report));
	report->smaps_fd = -1;
	report_stamp(report, LUPINE_STEP_CREATE);
	report->start = start ? start : report->step[LUPINE_STEP_CREATE];
}

void report_fini(struct report *report)
{
	if (report->smaps_fd >= 0)
		close(report->smaps_fd);
}

void report_stamp(struct report *report, enum lupine_step step)
{
	uint64_t unset = 0;

	if (!atomic_load_explicit(&report->step[step], memory_order_relaxed))
		atomic_compare_exchange_strong(&report->step[step], &unset, report_now());
}

int report_open_memory(struct report *report)
{
	report->smaps_fd = open("/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	return report->smaps_fd < 0 ? -errno : 0;
}

static bool within_guest(const struct guest_mem *mem, uint64_t address)
{
	for (unsigned int i = 0; i < mem->nr; i++) {
		const uint64_t host = (uintptr_t)mem->region[i].host;

		if (address >= host && address - host < mem->region[i].size)
			return true;
	}
	return false;
}

/*
 * The guest's share of the resident set is what smaps shows inside of its mappings; it only grows,
 * so the peak of the rest is at most the process's peak less that.
 */
void report_memory(const struct report *report, const struct guest_mem *mem,
		   struct lupine_report *out)
{
	char line[256];
	bool guest = false;
	struct rusage usage;
	FILE *smaps = report->smaps_fd < 0 ? NULL : fdopen(dup(report->smaps_fd), "r");

	if (!smaps)
		return;
	while (fgets(line, sizeof(line), smaps)) {
		unsigned long long from, to, kib;

		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			guest = within_guest(mem, from);
		else if (guest && sscanf(line, "Rss: %llu kB", &kib) == 1)
			out->guest_rss += kib << 10;
	}
	fclose(smaps);
	if (getrusage(RUSAGE_SELF, &usage) == 0) {
		const uint64_t peak = (uint64_t)usage.ru_maxrss << 10;

		out->peak_rss = peak > out->guest_rss ? peak - out->guest_rss : 0;
	}
}

void report_steps(const struct report *report, struct lupine_report *out)
{
	for (int i = 0; i < LUPINE_STEPS; i++) {
		const uint64_t at = report->step[i];

		out->step[i] = at ? at - report->start : UINT64_MAX;
	}
}
