/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a Linux kernel is told at its 64-bit entry (Documentation/arch/x86/boot.rst, zero-page.rst):
 * zero page, e820, command line, initrd, RNG seed; plus the tables it may look for: ACPI (stock
 * kernels) and the Intel MP table (kernels without ACPI). Written once, before the first vCPU runs.
 */
#ifndef LUPINE_BOOT_PARAMS_H
#define LUPINE_BOOT_PARAMS_H

#include <stdint.h>

#include "kernel.h"
#include "mem.h"

#define BOOT_MAX_CPUS	 16u
#define BOOT_MAX_DEVICES 19u /* GSI 5 to 23 */

/*
 * The ACPI sleep control and status register (ACPI 6.3, 4.8.3.7): a kernel with ACPI powers off by
 * an 8-bit write of BOOT_SLEEP_OFF (SLP_EN, sleep type 5). Other writes mean nothing, it reads as
 * 0.
 */
#define BOOT_SLEEP_PORT 0x600u
#define BOOT_SLEEP_OFF	0x34u

/* A virtio-mmio device for the DSDT: LNRO0005 with this window and GSI. */
struct boot_device {
	uint64_t gpa;
	uint32_t size;
	uint32_t gsi;
};

struct boot_config {
	const char *cmdline; /* NUL terminated, complete */
	int initrd_fd; /* -1: none; the caller's */
	unsigned int cpus; /* 1 to BOOT_MAX_CPUS; APIC ids 0 to cpus - 1 */
	unsigned int nr_devices;
	const struct boot_device *devices;
	uint8_t rng_seed[32]; /* handed to the guest as SETUP_RNG_SEED */
};

/*
 * Writes all of it around the loaded @kernel into memory that is still zero elsewhere; *zero_page
 * is the gpa for RSI. -errno with *why (a static sentence): -E2BIG command line or initrd too
 * large, -ENOSPC memory too small, -EIO and others from reading the initrd.
 */
int boot_params_write(const struct guest_mem *mem, const struct kernel_image *kernel,
		      const struct boot_config *config, uint64_t *zero_page, const char **why);

#endif
