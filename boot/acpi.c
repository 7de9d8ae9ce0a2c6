/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least ACPI (6.3) by which a stock kernel finds its CPUs, COM1 and the virtio-mmio devices:
 * RSDP -> XSDT -> { FADT -> DSDT, MADT }, hardware-reduced, so that there is neither PM timer nor
 * SCI nor PIC to emulate. Everything has a fixed size but the CPUs and devices are as many as there
 * are, so tables and AML alike are packed structs filled in place; no writer is needed.
 */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "low_memory.h"
#include "tables.h"

struct acpi_rsdp { /* 5.2.5.3 */
	char signature[8];
	uint8_t checksum; /* of the first 20 bytes */
	char oem[6];
	uint8_t revision;
	uint32_t rsdt;
	uint32_t length;
	uint64_t xsdt;
	uint8_t checksum_all;
	uint8_t reserved[3];
} __attribute__((packed));

struct acpi_header { /* 5.2.6 */
	char signature[4];
	uint32_t length;
	uint8_t revision;
	uint8_t checksum;
	char oem[6];
	char oem_table[8];
	uint32_t oem_revision;
	char creator[4];
	uint32_t creator_revision;
} __attribute__((packed));

struct acpi_gas { /* 5.2.3.2: generic address */
	uint8_t space, width, offset, access;
	uint64_t address;
} __attribute__((packed));
#define GAS_IO 1u
#define IO_PORT(port)                                                                              \
	{                                                                                          \
		.space = GAS_IO, .width = 8, .access = 1 /* byte */, .address = (port)             \
	}

struct acpi_fadt { /* 5.2.9; what a hardware-reduced machine must leave zero is not named */
	struct acpi_header header;
	uint32_t facs, dsdt;
	uint8_t zero1[65]; /* 44: .. day_alarm, month_alarm, century */
	uint16_t boot_arch; /* 109 */
	uint8_t zero2;
	uint32_t flags; /* 112 */
	struct acpi_gas reset_register;
	uint8_t reset_value;
	uint16_t arm_boot_arch;
	uint8_t minor;
	uint64_t x_facs, x_dsdt; /* 132, 140 */
	uint8_t zero3[96]; /* 148: X_PM1a_EVT .. X_GPE1 */
	struct acpi_gas sleep_control, sleep_status; /* 244, 256 */
	char hypervisor[8];
} __attribute__((packed));
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.3, table 5-33");

/* Tables 5-34 and (boot_arch) 5-35. */
enum fadt_flags {
	FADT_WBINVD = 1 << 0,
	FADT_RESET_REGISTER = 1 << 10,
	FADT_HARDWARE_REDUCED = 1 << 20,
	BOOT_ARCH_NO_VGA = 1 << 2,
	BOOT_ARCH_NO_MSI = 1 << 3,
	BOOT_ARCH_NO_ASPM = 1 << 4,
	BOOT_ARCH_NO_CMOS_RTC = 1 << 5,
};

struct madt_lapic { /* 5.2.12.2 */
	uint8_t type, length, uid, apic_id;
	uint32_t flags;
} __attribute__((packed));

struct madt_ioapic { /* 5.2.12.3 */
	uint8_t type, length, id, reserved;
	uint32_t gpa, gsi_base;
} __attribute__((packed));

struct acpi_madt { /* 5.2.12; flags 0: no PIC besides */
	struct acpi_header header;
	uint32_t lapic_gpa, flags;
	struct madt_ioapic ioapic;
	struct madt_lapic lapic[];
} __attribute__((packed));

struct acpi_xsdt { /* 5.2.8 */
	struct acpi_header header;
	uint64_t fadt, madt;
} __attribute__((packed));

/*
 * AML (chapter 20). A package length of two bytes has the low four bits in the first byte, whose
 * bit 6 says that one more follows (20.2.4); it counts from itself to the end.
 */
#define AML_LENGTH(bytes)                                                                          \
	{                                                                                          \
		(uint8_t)(0x40 | ((bytes)&0xf)), (uint8_t)((bytes) >> 4)                           \
	}
#define AML_NAME(s) .op = 0x08, .name = s

struct aml_virtio { /* Device (V000) { _HID "LNRO0005", _UID n, _CRS { memory, interrupt } } */
	uint8_t device_op[2], length[2];
	char device[4];
	struct {
		uint8_t op;
		char name[4];
		uint8_t string_op;
		char value[9];
	} __attribute__((packed)) hid;
	struct {
		uint8_t op;
		char name[4];
		uint8_t byte_op, value;
	} __attribute__((packed)) uid;
	struct {
		uint8_t op;
		char name[4];
		uint8_t buffer_op, length, size_op, size;
		uint8_t memory_tag; /* 6.4.3.4: 32-bit fixed memory */
		uint16_t memory_length;
		uint8_t memory_writable;
		uint32_t gpa, window;
		uint8_t interrupt_tag; /* 6.4.3.6: extended interrupt */
		uint16_t interrupt_length;
		uint8_t interrupt_flags, interrupt_count;
		uint32_t gsi;
		uint8_t end[2];
	} __attribute__((packed)) crs;
} __attribute__((packed));
#define INTERRUPT_EDGE_CONSUMER 0x03u /* active high, exclusive */
#define VIRTIO_RESOURCES	(12 + 9 + 2)

static const struct aml_virtio virtio_template = {
	.device_op = { 0x5b, 0x82 },
	.length = AML_LENGTH(sizeof(struct aml_virtio) - 2),
	.device = "V000",
	.hid = { AML_NAME("_HID"), .string_op = 0x0d, .value = "LNRO0005" },
	.uid = { AML_NAME("_UID"), .byte_op = 0x0a },
	.crs = { AML_NAME("_CRS"), .buffer_op = 0x11, .length = VIRTIO_RESOURCES + 3,
		 .size_op = 0x0a, .size = VIRTIO_RESOURCES, .memory_tag = 0x86, .memory_length = 9,
		 .memory_writable = 1, .interrupt_tag = 0x89, .interrupt_length = 6,
		 .interrupt_flags = INTERRUPT_EDGE_CONSUMER, .interrupt_count = 1,
		 .end = { 0x79, 0 } },
};

/* Device (COM1) { _HID EISAID ("PNP0501"), _UID 0, _CRS { IO 0x3f8..0x3ff, IRQ 4 } } */
static const uint8_t aml_com1[] = {
	0x5b,
	0x82,
	0x41,
	0x03,
	'C',
	'O',
	'M',
	'1', /* 49 bytes: all but the two of the op code */
	0x08,
	'_',
	'H',
	'I',
	'D',
	0x0c,
	0x41,
	0xd0,
	0x05,
	0x01,
	0x08,
	'_',
	'U',
	'I',
	'D',
	0x00,
	0x08,
	'_',
	'C',
	'R',
	'S',
	0x11,
	0x16,
	0x0a,
	0x13,
	0x47,
	0x01,
	0xf8,
	0x03,
	0xf8,
	0x03,
	0x01,
	0x08,
	0x89,
	0x06,
	0x00,
	INTERRUPT_EDGE_CONSUMER,
	0x01,
	0x04,
	0x00,
	0x00,
	0x00,
	0x79,
	0x00,
};

/* Name (_S5, Package { 5, 0 }): the sleep type written to BOOT_SLEEP_PORT to power off. */
static const uint8_t aml_s5[] = { 0x08, '_', 'S', '5', '_', 0x12, 0x05, 0x02, 0x0a, 0x05, 0x00 };

struct acpi_dsdt {
	struct acpi_header header;
	uint8_t s5[sizeof(aml_s5)];
	uint8_t scope_op, scope_length[2]; /* Scope (\_SB) { COM1, V000 .. } */
	char scope[5];
	uint8_t com1[sizeof(aml_com1)];
	struct aml_virtio virtio[];
} __attribute__((packed));

struct tables { /* what has a fixed size; the MADT follows, then the DSDT */
	struct acpi_rsdp rsdp; /* on a 16-byte boundary, for those who scan */
	struct acpi_xsdt xsdt;
	struct acpi_fadt fadt;
} __attribute__((packed));

/* Last of all: it seals the table. */
static void finish(struct acpi_header *header, const char signature[4], uint8_t revision,
		   size_t length)
{
	*header = (struct acpi_header){ .length = (uint32_t)length,
					.revision = revision,
					.oem = "LUPINE",
					.oem_table = "LUPINEVM",
					.oem_revision = 1,
					.creator = "LUPN",
					.creator_revision = 1 };
	memcpy(header->signature, signature, sizeof(header->signature));
	header->checksum = tables_checksum(header, length);
}

static void fill_rsdp(struct acpi_rsdp *rsdp, uint64_t xsdt)
{
	*rsdp = (struct acpi_rsdp){ .signature = "RSD PTR ",
				    .oem = "LUPINE",
				    .revision = 2,
				    .length = sizeof(*rsdp),
				    .xsdt = xsdt };
	rsdp->checksum = tables_checksum(rsdp, 20);
	rsdp->checksum_all = tables_checksum(rsdp, sizeof(*rsdp));
}

static void fill_fadt(struct acpi_fadt *fadt, uint64_t dsdt)
{
	*fadt = (struct acpi_fadt){
		.dsdt = (uint32_t)dsdt,
		.boot_arch = BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_MSI | BOOT_ARCH_NO_ASPM |
			     BOOT_ARCH_NO_CMOS_RTC,
		.flags = FADT_WBINVD | FADT_HARDWARE_REDUCED | FADT_RESET_REGISTER,
		.reset_register = IO_PORT(0x64),
		.reset_value = 0xfe,
		.minor = 3,
		.x_dsdt = dsdt,
		.sleep_control = IO_PORT(BOOT_SLEEP_PORT),
		.sleep_status = IO_PORT(BOOT_SLEEP_PORT),
		.hypervisor = "LUPINE",
	};
	finish(&fadt->header, "FACP", 6, sizeof(*fadt));
}

static void fill_madt(struct acpi_madt *madt, unsigned int cpus, size_t size)
{
	madt->lapic_gpa = TABLES_LAPIC_GPA;
	madt->flags = 0;
	madt->ioapic = (struct madt_ioapic){ .type = 1,
					     .length = sizeof(madt->ioapic),
					     .id = (uint8_t)cpus,
					     .gpa = TABLES_IOAPIC_GPA };
	for (unsigned int i = 0; i < cpus; i++)
		madt->lapic[i] = (struct madt_lapic){ .length = sizeof(madt->lapic[0]),
						      .uid = (uint8_t)i,
						      .apic_id = (uint8_t)i,
						      .flags = 1 /* enabled */ };
	finish(&madt->header, "APIC", 5, size);
}

static void fill_dsdt(struct acpi_dsdt *dsdt, const struct boot_config *config, size_t size)
{
	const size_t scope = size - offsetof(struct acpi_dsdt, scope_length);
	const uint8_t scope_length[2] = AML_LENGTH(scope);

	memcpy(dsdt->s5, aml_s5, sizeof(aml_s5));
	dsdt->scope_op = 0x10;
	memcpy(dsdt->scope_length, scope_length, sizeof(scope_length));
	memcpy(dsdt->scope, "\\_SB_", sizeof(dsdt->scope));
	memcpy(dsdt->com1, aml_com1, sizeof(aml_com1));
	for (unsigned int i = 0; i < config->nr_devices; i++) {
		struct aml_virtio *v = &dsdt->virtio[i];

		*v = virtio_template;
		v->device[2] = (char)('0' + i / 10);
		v->device[3] = (char)('0' + i % 10);
		v->uid.value = (uint8_t)i;
		v->crs.gpa = (uint32_t)config->devices[i].gpa;
		v->crs.window = config->devices[i].size;
		v->crs.gsi = config->devices[i].gsi;
	}
	finish(&dsdt->header, "DSDT", 6, size);
}

int acpi_write(const struct guest_mem *mem, const struct boot_config *config, uint64_t *rsdp)
{
	const size_t madt_size =
		sizeof(struct acpi_madt) + config->cpus * sizeof(struct madt_lapic);
	const size_t dsdt_size =
		sizeof(struct acpi_dsdt) + config->nr_devices * sizeof(struct aml_virtio);
	const uint64_t madt = LOW_ACPI + sizeof(struct tables), dsdt = madt + madt_size;

	if (config->cpus > BOOT_MAX_CPUS || config->nr_devices > BOOT_MAX_DEVICES)
		return -EINVAL;
	struct tables *t = mem_at(mem, LOW_ACPI, sizeof(*t) + madt_size + dsdt_size);
	if (!t)
		return -EFAULT;

	fill_rsdp(&t->rsdp, LOW_ACPI + offsetof(struct tables, xsdt));
	t->xsdt.fadt = LOW_ACPI + offsetof(struct tables, fadt);
	t->xsdt.madt = madt;
	finish(&t->xsdt.header, "XSDT", 1, sizeof(t->xsdt));
	fill_fadt(&t->fadt, dsdt);
	fill_madt(mem_at(mem, madt, madt_size), config->cpus, madt_size);
	fill_dsdt(mem_at(mem, dsdt, dsdt_size), config, dsdt_size);
	*rsdp = LOW_ACPI;
	return 0;
}
