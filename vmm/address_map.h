/* SPDX-License-Identifier: Apache-2.0 */
/* Where things are in the guest's physical address space and on its I/O ports. RAM: mem.h. */
#ifndef LUPINE_ADDRESS_MAP_H
#define LUPINE_ADDRESS_MAP_H

/* Firecracker's boot timer: one byte 123 written here means "init started". */
#define ADDR_BOOT_TIMER	      0xd0000000ull
#define ADDR_BOOT_TIMER_VALUE 123
/* virtio-mmio windows, one after the other, and their interrupt lines. */
#define ADDR_VIRTIO	0xd0001000ull
#define ADDR_VIRTIO_GSI 5u
/* Unused by guests; KVM keeps its real-mode helpers for VMX here. */
#define ADDR_IDENTITY_MAP 0xfffbc000ull
#define ADDR_TSS	  0xfffbd000ull

#define PORT_KBD_COMMAND 0x64u /* 0xfe written here resets the machine */
#define PORT_KBD_RESET	 0xfeu
#define PORT_CH_MARKER	 0x80u /* Cloud Hypervisor's boot marker; also Linux's I/O delay */
#define PORT_EXIT	 0xf4u /* byte written: the exit status, the VM stops */
#define PORT_MARKER	 0xf5u /* byte written: enum below */

#define MARKER_INIT	   1
#define MARKER_APPLICATION 2
#define MARKER_READY	   3

#endif
