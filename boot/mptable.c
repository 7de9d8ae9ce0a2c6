/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Intel MultiProcessor Specification 1.4: the table by which a kernel without ACPI finds its CPUs
 * and how GSIs reach the IOAPIC. One ISA bus whose interrupt n is pin n, up to 23: Linux takes
 * them by number (virtio_mmio.device=...:20) without asking whether an ISA bus had so many.
 */
#include <errno.h>
#include <string.h>

#include "low_memory.h"
#include "tables.h"

#define APIC_VERSION   0x14u
#define IOAPIC_VERSION 0x11u
#define ALL_APICS      0xffu

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

/* The entries in the order of their types, as 4.3 wants it: pointer, header, CPUs, these. */
struct mp_rest {
	struct mp_bus bus;
	struct mp_ioapic ioapic;
	struct mp_interrupt interrupt[TABLES_IOAPIC_PINS];
	struct mp_interrupt lint[2];
} __attribute__((packed));

struct mp_table {
	struct mp_pointer pointer;
	struct mp_header header;
	struct mp_cpu cpu[]; /* as many as there are, then struct mp_rest */
} __attribute__((packed));

static size_t table_size(unsigned int cpus)
{
	return sizeof(struct mp_table) + cpus * sizeof(struct mp_cpu) + sizeof(struct mp_rest);
}

static uint8_t checksum(const void *data, size_t len)
{
	const uint8_t *p = data;
	uint8_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum = (uint8_t)(sum + p[i]);
	return (uint8_t)-sum;
}

static void fill_rest(struct mp_rest *rest, uint8_t ioapic_id)
{
	rest->bus = (struct mp_bus){ .type = ENTRY_BUS, .name = "ISA   " };
	rest->ioapic = (struct mp_ioapic){ .type = ENTRY_IOAPIC,
					   .id = ioapic_id,
					   .version = IOAPIC_VERSION,
					   .flags = 1 /* usable */,
					   .gpa = TABLES_IOAPIC_GPA };
	for (uint8_t i = 0; i < TABLES_IOAPIC_PINS; i++)
		rest->interrupt[i] = (struct mp_interrupt){ .type = ENTRY_INTERRUPT,
							    .kind = INTERRUPT_INT,
							    .bus_irq = i,
							    .apic = ioapic_id,
							    .pin = i };
	rest->lint[0] = (struct mp_interrupt){ .type = ENTRY_LINT, .kind = INTERRUPT_EXTINT };
	rest->lint[1] = (struct mp_interrupt){
		.type = ENTRY_LINT, .kind = INTERRUPT_NMI, .apic = ALL_APICS, .pin = 1
	};
}

int mptable_write(const struct guest_mem *mem, const struct boot_config *config)
{
	const unsigned int cpus = config->cpus;

	if (cpus < 1 || cpus > BOOT_MAX_CPUS)
		return -EINVAL;
	_Static_assert(LOW_MPTABLE + sizeof(struct mp_table) +
				       BOOT_MAX_CPUS * sizeof(struct mp_cpu) +
				       sizeof(struct mp_rest) <=
			       LOW_MPTABLE_END,
		       "the table outgrows its KiB");
	struct mp_table *t = mem_at(mem, LOW_MPTABLE, table_size(cpus));
	if (!t)
		return -EFAULT;

	t->pointer = (struct mp_pointer){ .signature = "_MP_",
					  .table = LOW_MPTABLE + sizeof(t->pointer),
					  .length = 1,
					  .revision = 4 };
	t->pointer.checksum = checksum(&t->pointer, sizeof(t->pointer));
	for (uint8_t i = 0; i < cpus; i++)
		t->cpu[i] = (struct mp_cpu){ .type = ENTRY_CPU,
					     .apic_id = i,
					     .apic_version = APIC_VERSION,
					     .flags = i ? 1 : 3, /* enabled, boot processor */
					     .signature = 0x600,
					     .features = 0x201 /* FPU, APIC */ };
	fill_rest((struct mp_rest *)&t->cpu[cpus], (uint8_t)cpus); /* the first id no CPU has */

	const size_t len = table_size(cpus) - sizeof(t->pointer);
	t->header = (struct mp_header){ .signature = "PCMP",
					.length = (uint16_t)len,
					.revision = 4,
					.oem = "LUPINE  ",
					.product = "LUPINE-VMM  ",
					.entries = (uint16_t)(cpus + 2 + TABLES_IOAPIC_PINS + 2),
					.lapic = TABLES_LAPIC_GPA };
	t->header.checksum = checksum(&t->header, len);
	return 0;
}
