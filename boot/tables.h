/* SPDX-License-Identifier: Apache-2.0 */
/* The tables by which a kernel finds CPUs, interrupts and devices; written by boot_params.c. */
#ifndef LUPINE_TABLES_H
#define LUPINE_TABLES_H

#include <stdint.h>

#include "boot_params.h"
#include "mem.h"

#define TABLES_LAPIC_GPA   0xfee00000u
#define TABLES_IOAPIC_GPA  0xfec00000u
#define TABLES_IOAPIC_PINS 24u /* GSI n is pin n */

/* For kernels without ACPI: Intel MultiProcessor Specification 1.4. */
int mptable_write(const struct guest_mem *mem, const struct boot_config *config);

/* For stock kernels: ACPI 6.3, hardware-reduced. *rsdp is for the zero page. */
int acpi_write(const struct guest_mem *mem, const struct boot_config *config, uint64_t *rsdp);

#endif
