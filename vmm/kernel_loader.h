/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads the kernel on a thread of its own while the caller sets KVM up: both take about as long,
 * and KVM_CREATE_VM may sleep for a grace period of the host's RCU.
 */
#ifndef LUPINE_KERNEL_LOADER_H
#define LUPINE_KERNEL_LOADER_H

#include <pthread.h>

#include "kernel.h"
#include "lupine.h"
#include "mem.h"

struct kernel_loader {
	const char *path;
	const struct guest_mem *mem;
	bool unpack;
	struct kernel_image kernel;
	struct lupine_error error;
	int result;
	pthread_t thread;
};

/* @loader, @path and @mem must stay until kernel_loader_finish(), which follows a 0. -errno. */
int kernel_loader_start(struct kernel_loader *loader, const char *path, bool unpack,
			const struct guest_mem *mem, struct lupine_error *error);

/* Waits for the end. 0 and *kernel; or -errno and *error. Each may be NULL. */
int kernel_loader_finish(struct kernel_loader *loader, struct kernel_image *kernel,
			 struct lupine_error *error);

#endif
