/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel MultiProcessor Specification 1.4: the table by which a kernel without ACPI finds its CPUs
 * and how interrupts reach the IOAPIC. One ISA bus whose interrupt n is pin n, up to 23: Linux
 * takes them by number (virtio_mmio.device=...:20) without asking whether an ISA bus had so many.
 * Only what there is has an entry: Linux programs a pin for each, an exit or two a time.
 */
#include <errno.h>
#include <string.h>

#include "low_memory.h"
#include "tables.h"

#define APIC_VERSION   0x14u
#define IOAPIC_VERSION 0x11u
#define ALL_APICS      0xffu
#define TIMER_IRQ      0u /* nothing is there, but Linux looks for its pin */
#define COM1_IRQ       4u

enum entry_type { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_INTERRUPT, ENTRY_LINT };
enum interrupt_type { INTERRUPT_INT, INTERRUPT_NMI, INTERRUPT_SMI, INTERRUPT_EXTINT };

struct mp_pointer { /* 4.1: the floating pointer structure */
	char signature[4];
	uint32_t table;
	uint8_t length; /* in 16 bytes */
	uint8_t revision;
	uint8_t checksum;
	uint8_t features[5];
} __attribute__((packed));

struct mp_header { /* 4.2 */
	char signature[4];
	uint16_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[8];
	char product[12];
	uint32_t oem_table;
	uint16_t oem_size;
	uint16_t entries;
	uint32_t lapic;
	uint32_t extended;
} __attribute__((packed));

struct mp_cpu { /* 4.3.1 */
	uint8_t type, apic_id, apic_version, flags;
	uint32_t signature, features, reserved[2];
} __attribute__((packed));

struct mp_bus { /* 4.3.2 */
	uint8_t type, id;
	char name[6];
} __attribute__((packed));

struct mp_ioapic { /* 4.3.3 */
	uint8_t type, id, version, flags;
	uint32_t gpa;
} __attribute__((packed));

struct mp_interrupt { /* 4.3.4, 4.3.5; polarity and trigger "as the bus has it": edge, high */
	uint8_t type, kind;
	uint16_t flags;
	uint8_t bus, bus_irq, apic, pin;
} __attribute__((packed));

/* The entries in the order of their types, as 4.3 wants it: CPUs, then these. */
struct mp_rest {
	struct mp_bus bus;
	struct mp_ioapic ioapic;
	struct mp_interrupt interrupt[]; /* timer, COM1, the devices, two local ones */
} __attribute__((packed));

struct mp_table {
	struct mp_pointer pointer;
	struct mp_header header;
	struct mp_cpu cpu[]; /* as many as there are, then struct mp_rest */
} __attribute__((packed));

#define TABLE_SIZE(cpus, devices)                                                                  \
	(sizeof(struct mp_table) + (cpus) * sizeof(struct mp_cpu) + sizeof(struct mp_rest) +       \
	 ((devices) + 4) * sizeof(struct mp_interrupt))
_Static_assert(LOW_MPTABLE + TABLE_SIZE(BOOT_MAX_CPUS, BOOT_MAX_DEVICES) <= LOW_MPTABLE_END,
	       "the table outgrows its KiB");

static struct mp_interrupt io_interrupt(uint8_t irq, uint8_t ioapic_id)
{
	return (struct mp_interrupt){ .type = ENTRY_INTERRUPT,
				      .kind = INTERRUPT_INT,
				      .bus_irq = irq,
				      .apic = ioapic_id,
				      .pin = irq };
}

static void fill_rest(struct mp_rest *rest, uint8_t ioapic_id, const struct boot_config *config)
{
	struct mp_interrupt *next = rest->interrupt;

	rest->bus = (struct mp_bus){ .type = ENTRY_BUS, .name = "ISA   " };
	rest->ioapic = (struct mp_ioapic){ .type = ENTRY_IOAPIC,
					   .id = ioapic_id,
					   .version = IOAPIC_VERSION,
					   .flags = 1 /* usable */,
					   .gpa = TABLES_IOAPIC_GPA };
	*next++ = io_interrupt(TIMER_IRQ, ioapic_id);
	*next++ = io_interrupt(COM1_IRQ, ioapic_id);
	for (unsigned int i = 0; i < config->nr_devices; i++)
		*next++ = io_interrupt((uint8_t)config->devices[i].gsi, ioapic_id);
	*next++ = (struct mp_interrupt){ .type = ENTRY_LINT, .kind = INTERRUPT_EXTINT };
	*next++ = (struct mp_interrupt){
		.type = ENTRY_LINT, .kind = INTERRUPT_NMI, .apic = ALL_APICS, .pin = 1
	};
}

int mptable_write(const struct guest_mem *mem, const struct boot_config *config)
{
	const unsigned int cpus = config->cpus;
	const size_t size = TABLE_SIZE(cpus, config->nr_devices);

	if (cpus < 1 || cpus > BOOT_MAX_CPUS || config->nr_devices > BOOT_MAX_DEVICES)
		return -EINVAL;
	struct mp_table *t = mem_at(mem, LOW_MPTABLE, size);
	if (!t)
		return -EFAULT;

	t->pointer = (struct mp_pointer){ .signature = "_MP_",
					  .table = LOW_MPTABLE + sizeof(t->pointer),
					  .length = 1,
					  .revision = 4 };
	t->pointer.checksum = tables_checksum(&t->pointer, sizeof(t->pointer));
	for (unsigned int i = 0; i < cpus; i++)
		t->cpu[i] = (struct mp_cpu){ .type = ENTRY_CPU,
					     .apic_id = (uint8_t)i,
					     .apic_version = APIC_VERSION,
					     .flags = i ? 1 : 3, /* enabled, boot processor */
					     .signature = 0x600,
					     .features = 0x201 /* FPU, APIC */ };
	/* The IOAPIC's id is the first that no CPU has. */
	fill_rest((struct mp_rest *)&t->cpu[cpus], (uint8_t)cpus, config);

	const size_t len = size - sizeof(t->pointer);
	t->header = (struct mp_header){ .signature = "PCMP",
					.length = (uint16_t)len,
					.revision = 4,
					.oem = "LUPINE  ",
					.product = "LUPINE-VMM  ",
					.entries = (uint16_t)(cpus + 2 + config->nr_devices + 4),
					.lapic = TABLES_LAPIC_GPA };
	t->header.checksum = tables_checksum(&t->header, len);
	return 0;
}
