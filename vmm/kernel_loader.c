/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_loader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "thread.h"

static void *load(void *argument)
{
	struct kernel_loader *loader = argument;
	const char *why = NULL;
	const int fd = open(loader->path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		loader->result = error_set(&loader->error, LUPINE_ERROR_KERNEL, -errno,
					   "kernel %s: %s", loader->path, strerror(errno));
		return NULL;
	}
	const int err = kernel_load(fd, loader->unpack, loader->mem, &loader->kernel, &why);
	close(fd);
	if (err)
		error_set(&loader->error,
			  err == -ENOSPC ? LUPINE_ERROR_MEMORY : LUPINE_ERROR_KERNEL, err,
			  "kernel %s: %s", loader->path, why ? why : strerror(-err));
	loader->result = err;
	return NULL;
}

int kernel_loader_start(struct kernel_loader *loader, const char *path, bool unpack,
			const struct guest_mem *mem, struct lupine_error *error)
{
	*loader = (struct kernel_loader){ .path = path, .mem = mem, .unpack = unpack };
	const int err = thread_start(&loader->thread, load, loader);

	return err ? error_set(error, LUPINE_ERROR_HOST, err, "starting a thread: %s",
			       strerror(-err))
		   : 0;
}

int kernel_loader_finish(struct kernel_loader *loader, struct kernel_image *kernel,
			 struct lupine_error *error)
{
	pthread_join(loader->thread, NULL);
	if (loader->result && error)
		*error = loader->error;
	else if (!loader->result && kernel)
		*kernel = loader->kernel;
	return loader->result;
}
