/* SPDX-License-Identifier: Apache-2.0 */
/* The tables by which a kernel finds CPUs, interrupts and devices; written by boot_params.c. */
#ifndef LUPINE_TABLES_H
#define LUPINE_TABLES_H

#include <stddef.h>
#include <stdint.h>

#include "boot_params.h"
#include "mem.h"

#define TABLES_LAPIC_GPA  0xfee00000u
#define TABLES_IOAPIC_GPA 0xfec00000u

/* What a table's checksum byte must be (it is 0 yet): all bytes together are 0 then. */
static inline uint8_t tables_checksum(const void *table, size_t len)
{
	const uint8_t *p = table;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return (uint8_t)-sum;
}

/* For kernels without ACPI: Intel MultiProcessor Specification 1.4. */
int mptable_write(const struct guest_mem *mem, const struct boot_config *config);

/* For stock kernels: ACPI 6.3, hardware-reduced. *rsdp is for the zero page. */
int acpi_write(const struct guest_mem *mem, const struct boot_config *config, uint64_t *rsdp);

#endif
