/* SPDX-License-Identifier: Apache-2.0 */
/* MP table and ACPI: read back as a kernel does, by bytes and offsets of the specifications. */
#include "boot_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "boot_params.h"
#include "tables.h"

static struct guest_mem mem;
static struct boot_device devices[BOOT_MAX_DEVICES];
static struct boot_config config;

static int make(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < BOOT_MAX_DEVICES; i++)
		devices[i] = (struct boot_device){ .gpa = 0xd0001000 + i * 0x1000,
						   .size = 0x1000,
						   .gsi = 5 + i };
	config = (struct boot_config){ .cpus = BOOT_MAX_CPUS,
				       .nr_devices = BOOT_MAX_DEVICES,
				       .devices = devices };
	return mem_create(&mem, MEM_SIZE);
}

static int destroy(void **state)
{
	(void)state;
	mem_destroy(&mem);
	return 0;
}

static uint8_t sum(const uint8_t *p, size_t len)
{
	uint8_t result = 0;

	while (len--)
		result = (uint8_t)(result + *p++);
	return result;
}

static uint32_t le(const uint8_t *p, unsigned int bytes)
{
	uint32_t v = 0;

	for (unsigned int i = bytes; i-- > 0;)
		v = v << 8 | p[i];
	return v;
}

static const uint8_t *gpa(uint64_t address, uint64_t len)
{
	const uint8_t *p = mem_at(&mem, address, len);

	assert_non_null(p);
	return p;
}

/* As arch/x86/kernel/mpparse.c, smp_scan_config(0, 0x400) and smp_read_mpc(). */
static void check_mptable(unsigned int cpus, unsigned int nr_devices)
{
	const uint8_t *mpf = NULL;
	unsigned int nr[5] = { 0 }, last_type = 0;

	for (uint64_t at = 0; at < 0x400 && !mpf; at += 16)
		if (memcmp(gpa(at, 16), "_MP_", 4) == 0)
			mpf = gpa(at, 16);
	assert_non_null(mpf);
	assert_int_equal(mpf[8], 1);
	assert_int_equal(sum(mpf, 16), 0);
	const uint8_t *mpc = gpa(le(mpf + 4, 4), 44);
	const unsigned int len = le(mpc + 4, 2);
	assert_memory_equal(mpc, "PCMP", 4);
	assert_int_equal(sum(mpc, len), 0);
	assert_int_equal(mpc[6], 4);
	assert_int_equal(le(mpc + 36, 4), 0xfee00000);
	assert_true(le(mpf + 4, 4) + len <= 0x400);

	const uint8_t *e = mpc + 44;
	while (e < mpc + len) {
		const unsigned int type = e[0];

		assert_true(type <= 4 && type >= last_type); /* 4.3: sorted */
		last_type = type;
		switch (type) {
		case 0:
			assert_int_equal(e[1], nr[0]);
			assert_int_equal(e[3], nr[0] == 0 ? 3 : 1);
			break;
		case 1:
			assert_memory_equal(e + 2, "ISA   ", 6);
			break;
		case 2:
			assert_int_equal(e[1], cpus);
			assert_int_equal(le(e + 4, 4), 0xfec00000);
			break;
		case 3:
			assert_int_equal(e[1], 0);
			/* The timer, COM1, and the devices from 5 on. */
			assert_int_equal(e[5], nr[3] == 0 ? 0 : nr[3] + 3);
			assert_int_equal(e[6], cpus);
			assert_int_equal(e[7], e[5]);
			break;
		}
		nr[type]++;
		e += type == 0 ? 20 : 8;
	}
	assert_ptr_equal(e, mpc + len);
	assert_int_equal(nr[0], cpus);
	assert_int_equal(nr[1], 1);
	assert_int_equal(nr[2], 1);
	assert_int_equal(nr[3], 2 + nr_devices);
	assert_int_equal(nr[4], 2);
	assert_int_equal(le(mpc + 34, 2), cpus + 1 + 1 + 2 + nr_devices + 2);
}

static void mptable(void **state)
{
	(void)state;
	assert_int_equal(mptable_write(&mem, &config), 0);
	check_mptable(BOOT_MAX_CPUS, BOOT_MAX_DEVICES);
	destroy(NULL);
	make(NULL);
	config.cpus = 1;
	config.nr_devices = 0;
	assert_int_equal(mptable_write(&mem, &config), 0);
	check_mptable(1, 0);
	config.cpus = BOOT_MAX_CPUS + 1;
	assert_int_equal(mptable_write(&mem, &config), -EINVAL);
	config.cpus = 0;
	assert_int_equal(mptable_write(&mem, &config), -EINVAL);
	config.cpus = 1;
	config.nr_devices = BOOT_MAX_DEVICES + 1;
	assert_int_equal(mptable_write(&mem, &config), -EINVAL);
}

/* A table with this signature and a right checksum at @address. */
static const uint8_t *acpi_table(uint64_t address, const char *signature)
{
	const uint8_t *t = gpa(address, 36);

	assert_memory_equal(t, signature, 4);
	assert_int_equal(sum(gpa(address, le(t + 4, 4)), le(t + 4, 4)), 0);
	return t;
}

static void acpi(void **state)
{
	uint64_t rsdp;

	(void)state;
	assert_int_equal(acpi_write(&mem, &config, &rsdp), 0);
	assert_true(rsdp >= 0xe0000 && rsdp < 0x100000 && rsdp % 16 == 0);
	const uint8_t *r = gpa(rsdp, 36);
	assert_memory_equal(r, "RSD PTR ", 8);
	assert_int_equal(sum(r, 20), 0);
	assert_int_equal(sum(r, 36), 0);

	const uint8_t *xsdt = acpi_table(le(r + 24, 4), "XSDT");
	assert_int_equal(le(xsdt + 4, 4), 36 + 2 * 8);
	const uint8_t *fadt = acpi_table(le(xsdt + 36, 4), "FACP");
	assert_int_equal(le(fadt + 112, 4) & (1u << 20 | 1u << 10), 1u << 20 | 1u << 10);
	assert_int_equal(le(fadt + 120, 4), 0x64);
	assert_int_equal(fadt[128], 0xfe);
	assert_int_equal(le(fadt + 248, 4), BOOT_SLEEP_PORT);

	const uint8_t *madt = acpi_table(le(xsdt + 44, 4), "APIC");
	const uint8_t *e = madt + 44, *end = madt + le(madt + 4, 4);
	unsigned int cpus = 0, ioapics = 0;
	for (; e < end; e += e[1]) {
		if (e[0] == 0) {
			assert_int_equal(e[3], cpus++);
		} else {
			assert_int_equal(e[0], 1);
			assert_int_equal(e[2], BOOT_MAX_CPUS);
			ioapics++;
		}
	}
	assert_ptr_equal(e, end);
	assert_int_equal(cpus, BOOT_MAX_CPUS);
	assert_int_equal(ioapics, 1);

	const uint8_t *dsdt = acpi_table(le(fadt + 140, 4), "DSDT");
	assert_true(le(fadt + 140, 4) + le(dsdt + 4, 4) <= 0x100000);
	config.nr_devices++;
	assert_int_equal(acpi_write(&mem, &config, &rsdp), -EINVAL);
}

/* Writes the DSDT for @nr devices to @dir/dsdt.aml and has ACPICA read it: its text. */
static char *disassembled(const char *dir, unsigned int nr)
{
	char path[256], command[512], *text = calloc(1, 1 << 20);
	uint64_t rsdp;

	config.nr_devices = nr;
	assert_int_equal(acpi_write(&mem, &config, &rsdp), 0);
	const uint8_t *xsdt = gpa(le(gpa(rsdp, 36) + 24, 4), 52);
	const uint8_t *dsdt = gpa(le(gpa(le(xsdt + 36, 4), 276) + 140, 4), 36);
	snprintf(path, sizeof(path), "%s/dsdt.aml", dir);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(dsdt, le(dsdt + 4, 4), 1, f), 1);
	fclose(f);
	/* Back and forth: what the disassembler wrote must compile without a complaint. */
	snprintf(command, sizeof(command),
		 "cd %s && iasl -d dsdt.aml >d.log 2>&1 && iasl -we dsdt.dsl >c.log 2>&1", dir);
	assert_int_equal(system(command), 0);
	snprintf(path, sizeof(path), "%s/dsdt.dsl", dir);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
	fclose(f);
	return text;
}

static unsigned int occurrences(const char *text, const char *what)
{
	unsigned int n = 0;

	while ((text = strstr(text, what))) {
		text += strlen(what);
		n++;
	}
	return n;
}

static void dsdt_by_acpica(void **state)
{
	char dir[] = "/tmp/lupine-dsdt-XXXXXX", command[64];

	(void)state;
	if (system("command -v iasl >/dev/null"))
		skip(); /* package acpica-tools */
	assert_non_null(mkdtemp(dir));
	for (unsigned int nr = 0; nr <= BOOT_MAX_DEVICES; nr++) {
		char *text = disassembled(dir, nr);

		assert_int_equal(occurrences(text, "\"LNRO0005\""), nr);
		assert_int_equal(occurrences(text, "EisaId (\"PNP0501\")"), 1);
		assert_int_equal(occurrences(text, "Name (_S5, Package (0x02)"), 1);
		assert_int_equal(occurrences(text, "Interrupt (ResourceConsumer, Edge, ActiveHigh, "
						   "Exclusive"),
				 nr + 1);
		for (unsigned int i = 0; i < nr; i++) {
			char item[64];

			snprintf(item, sizeof(item), "Device (V%03u)", i);
			assert_int_equal(occurrences(text, item), 1);
			snprintf(item, sizeof(item), "0x%08X,         // Address Base",
				 0xd0001000 + i * 0x1000);
			assert_int_equal(occurrences(text, item), 1);
			snprintf(item, sizeof(item), "0x%08X,\n                }", 5 + i);
			assert_int_equal(occurrences(text, item), 1);
		}
		free(text);
	}
	snprintf(command, sizeof(command), "rm -r %s", dir);
	assert_int_equal(system(command), 0);
}

static void memory_too_small(void **state)
{
	struct guest_mem none = { 0 };
	uint64_t rsdp;

	(void)state;
	assert_int_equal(mptable_write(&none, &config), -EFAULT);
	assert_int_equal(acpi_write(&none, &config, &rsdp), -EFAULT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(mptable, make, destroy),
		cmocka_unit_test_setup_teardown(acpi, make, destroy),
		cmocka_unit_test_setup_teardown(dsdt_by_acpica, make, destroy),
		cmocka_unit_test_setup_teardown(memory_too_small, make, destroy),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
