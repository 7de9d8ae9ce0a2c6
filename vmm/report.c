/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
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
 * What smaps shows inside of the guest's mappings, and outside of them. getrusage(2) would give a
 * peak, but counts what the program that executed this one had.
 */
void report_memory(const struct report *report, const struct guest_mem *mem,
		   struct lupine_report *out)
{
	char line[256];
	bool guest = false;
	FILE *smaps = report->smaps_fd < 0 ? NULL : fdopen(dup(report->smaps_fd), "r");

	if (!smaps)
		return;
	while (fgets(line, sizeof(line), smaps)) {
		unsigned long long from, to, kib;

		if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
			guest = within_guest(mem, from);
		else if (sscanf(line, "Rss: %llu kB", &kib) == 1)
			*(guest ? &out->guest_rss : &out->rss) += kib << 10;
		else if (!guest && sscanf(line, "Anonymous: %llu kB", &kib) == 1)
			out->anonymous += kib << 10;
		else if (guest && sscanf(line, "Private_Hugetlb: %llu kB", &kib) == 1)
			out->guest_rss += kib << 10; /* Rss leaves these out */
	}
	fclose(smaps);
}

void report_steps(const struct report *report, struct lupine_report *out)
{
	for (int i = 0; i < LUPINE_STEPS; i++) {
		const uint64_t at = report->step[i];

		out->step[i] = at ? at - report->start : UINT64_MAX;
	}
}
