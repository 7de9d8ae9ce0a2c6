/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmlinux: a statically linked x86-64 ELF whose program headers give physical addresses and whose
 * entry is the physical address of startup_64 (arch/x86/kernel/vmlinux.lds.S).
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "formats.h"
#include "low_memory.h"

#define ELF_MAX_PHDRS 64 /* vmlinux has five */

static int check_header(const Elf64_Ehdr *eh, const char **why)
{
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG) != 0)
		return source_refuse(why, -ENOEXEC, "holds no ELF kernel");
	if (eh->e_ident[EI_CLASS] == ELFCLASS32)
		return source_refuse(why, -ENOEXEC, "is a 32-bit ELF, a 64-bit kernel is needed");
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB ||
	    eh->e_machine != EM_X86_64)
		return source_refuse(why, -ENOEXEC, "is an ELF for another machine than x86-64");
	if (eh->e_type != ET_EXEC)
		return source_refuse(why, -ENOEXEC,
				     "is an ELF, but not an executable at fixed addresses "
				     "(a module, library or PIE; wanted: vmlinux)");
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || eh->e_phnum == 0 ||
	    eh->e_phnum > ELF_MAX_PHDRS)
		return source_refuse(why, -ENOEXEC,
				     "is an ELF with missing or too many program headers");
	return 0;
}

/* Everything about one PT_LOAD segment that does not depend on the others. */
static int check_segment(const Elf64_Phdr *ph, const struct source *src,
			 const struct guest_mem *mem, const char **why)
{
	uint64_t file_end, end;

	if (ph->p_filesz > ph->p_memsz)
		return source_refuse(why, -ENOEXEC,
				     "is an ELF with more bytes than memory in a "
				     "segment");
	if (__builtin_add_overflow(ph->p_offset, ph->p_filesz, &file_end) ||
	    __builtin_add_overflow(ph->p_paddr, ph->p_memsz, &end))
		return source_refuse(why, -ENOEXEC, "is an ELF with a segment that wraps around");
	if (file_end > src->size)
		return source_refuse(why, -ENOEXEC,
				     "is an ELF cut short: a segment lies beyond its end");
	if (ph->p_paddr < LOW_KERNEL_MIN)
		return source_refuse(why, -ENOEXEC, "is an ELF with a segment below 1 MiB");
	if (end > LOW_KERNEL_MAX)
		return source_refuse(why, -ENOEXEC, "is an ELF with a segment above 1 GiB");
	if (!mem_at(mem, ph->p_paddr, ph->p_memsz))
		return source_refuse(why, -ENOSPC, "does not fit into the guest's memory");
	return 0;
}

static bool overlap(const Elf64_Phdr *a, const Elf64_Phdr *b)
{
	return a->p_paddr < b->p_paddr + b->p_memsz && b->p_paddr < a->p_paddr + a->p_memsz;
}

int elf_load(const struct source *src, const struct guest_mem *mem, struct kernel_image *kernel,
	     const char **why)
{
	Elf64_Ehdr eh;
	Elf64_Phdr ph[ELF_MAX_PHDRS];
	unsigned int nr = 0;
	bool entry_found = false;

	if (source_read(src, 0, &eh, sizeof(eh)))
		return source_refuse(why, -ENOEXEC, "is an ELF cut short in its header");
	int err = check_header(&eh, why);
	if (err)
		return err;
	if (source_read(src, eh.e_phoff, ph, eh.e_phnum * sizeof(ph[0])))
		return source_refuse(why, -ENOEXEC, "is an ELF cut short in its program headers");

	kernel->start = UINT64_MAX;
	kernel->end = 0;
	for (unsigned int i = 0; i < eh.e_phnum; i++) {
		const Elf64_Phdr seg = ph[i];

		if (seg.p_type != PT_LOAD || seg.p_memsz == 0)
			continue;
		err = check_segment(&seg, src, mem, why);
		if (err)
			return err;
		for (unsigned int j = 0; j < nr; j++)
			if (overlap(&seg, &ph[j]))
				return source_refuse(why, -ENOEXEC,
						     "is an ELF with overlapping segments");
		if (seg.p_paddr < kernel->start)
			kernel->start = seg.p_paddr;
		if (seg.p_paddr + seg.p_memsz > kernel->end)
			kernel->end = seg.p_paddr + seg.p_memsz;
		if (eh.e_entry - seg.p_paddr < seg.p_filesz)
			entry_found = true;
		ph[nr++] = seg; /* nr <= i: the segments to load gather at the front */
	}
	if (!entry_found)
		return source_refuse(why, -ENOEXEC, "is an ELF whose entry lies in no segment");

	/* What follows a segment's bytes up to p_memsz (bss) is zero already: memory is fresh. */
	for (unsigned int i = 0; i < nr; i++) {
		err = source_place(src, ph[i].p_offset, mem, ph[i].p_paddr, ph[i].p_filesz);
		if (err)
			return source_refuse(why, err, "cannot be read into the guest's memory");
	}
	kernel->entry = eh.e_entry;
	return 0;
}
