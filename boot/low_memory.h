/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the monitor's own words to the kernel lie in the first MiB of guest memory.
 * Nothing of a kernel file is ever loaded there. Pages 0 and 7 to 11 are all that is touched when
 * a kernel does not look for ACPI.
 */
#ifndef LUPINE_LOW_MEMORY_H
#define LUPINE_LOW_MEMORY_H

#define LOW_MPTABLE	0x10u /* in the first KiB: the first place where Linux looks */
#define LOW_MPTABLE_END 0x400u
#define LOW_GDT		0x500u
#define LOW_ZERO_PAGE	0x7000u
#define LOW_SETUP_DATA	0x8000u
#define LOW_CMDLINE	0x8800u
#define LOW_CMDLINE_END 0x9000u
#define LOW_PML4	0x9000u
#define LOW_PDPT	0xa000u
#define LOW_PD		0xb000u
#define LOW_EBDA	0x9fc00u /* from here to 1 MiB: reserved, as on a PC */
#define LOW_ACPI	0xe0000u /* where a scan for the RSDP looks, too */
#define LOW_KERNEL_MIN	0x100000u /* kernels lie above 1 MiB */
#define LOW_KERNEL_MAX	0x40000000u /* and below what the page tables map: 1 GiB */

#endif
