/* SPDX-License-Identifier: Apache-2.0 */
#include "print_report.h"

#include <errno.h>
#include <json-c/json.h>
#include <json-c/linkhash.h>

static const struct {
	const char *name, *text;
} steps[LUPINE_STEPS] = {
	[LUPINE_STEP_CREATE] = { "create", "monitor started" },
	[LUPINE_STEP_VM] = { "vm", "KVM VM and memory" },
	[LUPINE_STEP_DEVICES] = { "devices", "devices attached" },
	[LUPINE_STEP_VCPUS] = { "vcpus", "vCPUs made" },
	[LUPINE_STEP_KERNEL] = { "kernel", "kernel loaded meanwhile" },
	[LUPINE_STEP_RUN] = { "run", "first KVM_RUN, kernel entry" },
	[LUPINE_STEP_INIT] = { "init", "init started" },
	[LUPINE_STEP_APPLICATION] = { "application", "application executed" },
	[LUPINE_STEP_READY] = { "ready", "application ready" },
	[LUPINE_STEP_EXIT] = { "exit", "VM stopped" },
};

static const char *const kinds[LUPINE_KINDS] = {
	[LUPINE_KIND_IO_SERIAL] = "io_serial",	   [LUPINE_KIND_IO_OTHER] = "io_other",
	[LUPINE_KIND_MMIO_VIRTIO] = "mmio_virtio", [LUPINE_KIND_MMIO_OTHER] = "mmio_other",
	[LUPINE_KIND_SIGNAL] = "signal",	   [LUPINE_KIND_OTHER] = "other",
};

/* How a VM ended, in one word. */
static const char *reason_name(enum lupine_exit_reason reason)
{
	switch (reason) {
	case LUPINE_EXIT_STATUS:
		return "status";
	case LUPINE_EXIT_RESET:
		return "reset";
	case LUPINE_EXIT_TRIPLE_FAULT:
		return "triple_fault";
	case LUPINE_EXIT_PANIC:
		return "panic";
	case LUPINE_EXIT_TIMEOUT:
		return "timeout";
	case LUPINE_EXIT_STOPPED:
		return "stopped";
	}
	return "unknown";
}

int print_report_text(FILE *file, const struct lupine_report *report, const struct lupine_exit *end)
{
	uint64_t before = 0;

	fprintf(file, "boot report (kernel: %s)\n", report->kernel_format);
	fprintf(file, "  %12s %12s\n", "at, us", "step, us");
	for (int i = 0; i < LUPINE_STEPS; i++) {
		const uint64_t at = report->step[i];

		if (at == UINT64_MAX)
			continue;
		fprintf(file, "  %12.1f %12.1f  %s\n", (double)at / 1e3,
			(double)(at - before) / 1e3, steps[i].text);
		before = at;
	}
	fprintf(file, "exits to the monitor:");
	for (int i = 0; i < LUPINE_KINDS; i++)
		if (report->exits[i])
			fprintf(file, " %s %llu", kinds[i], (unsigned long long)report->exits[i]);
	fprintf(file, "\nexits counted by KVM:");
	for (unsigned int i = 0; i < report->nr_counters; i++)
		if (report->counters[i].value)
			fprintf(file, " %s %llu", report->counters[i].name,
				(unsigned long long)report->counters[i].value);
	fprintf(file,
		"\nmemory: monitor %llu KiB (%llu of them its own), guest %llu KiB\n"
		"end: %s, status %u\n",
		(unsigned long long)report->rss >> 10, (unsigned long long)report->anonymous >> 10,
		(unsigned long long)report->guest_rss >> 10, reason_name(end->reason), end->status);
	return fflush(file) || ferror(file) ? -EIO : 0;
}

static json_object *number(uint64_t value)
{
	return json_object_new_uint64(value);
}

int print_report_json(FILE *file, const struct lupine_report *report, const struct lupine_exit *end)
{
	/* Keys are ours, so their hash needs no random seed, for which the sandbox has no call. */
	json_global_set_string_hash(JSON_C_STR_HASH_PERLLIKE);
	json_object *root = json_object_new_object();
	json_object *at = json_object_new_object();
	json_object *exits = json_object_new_object();
	json_object *counters = json_object_new_object();
	const char *text = NULL;
	int err = -ENOMEM;

	if (!root || !at || !exits || !counters)
		return err; /* the process is about to end */
	for (int i = 0; i < LUPINE_STEPS; i++)
		if (report->step[i] != UINT64_MAX)
			json_object_object_add(at, steps[i].name, number(report->step[i]));
	for (int i = 0; i < LUPINE_KINDS; i++)
		json_object_object_add(exits, kinds[i], number(report->exits[i]));
	for (unsigned int i = 0; i < report->nr_counters; i++)
		json_object_object_add(counters, report->counters[i].name,
				       number(report->counters[i].value));
	json_object_object_add(root, "version", json_object_new_string(lupine_version()));
	json_object_object_add(root, "kernel_format",
			       json_object_new_string(report->kernel_format));
	json_object_object_add(root, "step_ns", at);
	json_object_object_add(root, "exits", exits);
	json_object_object_add(root, "kvm", counters);
	json_object_object_add(root, "monitor_rss", number(report->rss));
	json_object_object_add(root, "monitor_anonymous", number(report->anonymous));
	json_object_object_add(root, "guest_rss", number(report->guest_rss));
	json_object_object_add(root, "end", json_object_new_string(reason_name(end->reason)));
	json_object_object_add(root, "status", json_object_new_int(end->status));
	text = json_object_to_json_string_ext(root, JSON_C_TO_STRING_PRETTY);
	if (text)
		err = fprintf(file, "%s\n", text) < 0 || fflush(file) ? -EIO : 0;
	json_object_put(root);
	return err;
}
