/* SPDX-License-Identifier: Apache-2.0 */
/* Vector registers, x87 and the FS and GS bases stay with their thread across preemption. */
#include "test.h"
#include <sched.h>

#define ARCH_SET_GS 0x1001
#define ARCH_GET_GS 0x1004

/* All of YMM, upper halves too, over a wait that is long enough to be preempted. */
__attribute__((target("avx"))) static void hold_avx(const unsigned long *area, unsigned long *seen)
{
	__asm__ volatile(
		"vmovaps (%0), %%ymm0\n\tvmovaps 32(%0), %%ymm3\n\tvmovaps 64(%0), %%ymm9\n\t"
		"vmovaps 96(%0), %%ymm15\n\t"
		"mov $20000, %%ecx\n1:\tdec %%ecx\n\tjnz 1b\n\t"
		"vmovaps %%ymm0, (%1)\n\tvmovaps %%ymm3, 32(%1)\n\tvmovaps %%ymm9, 64(%1)\n\t"
		"vmovaps %%ymm15, 96(%1)\n\tvzeroupper" ::"r"(area),
		"r"(seen)
		: "ecx", "memory", "cc", "xmm0", "xmm3", "xmm9", "xmm15");
	CHECK(!memcmp(area, seen, 128));
}

static void hold(unsigned long id)
{
	unsigned long *area = aligned_alloc(64, 512), *seen = aligned_alloc(64, 512);
	unsigned long gs = (unsigned long)map_pages(1, PROT_READ | PROT_WRITE);
	*(unsigned long *)gs = id;
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, gs));
	for (int i = 0; i < 64; i++)
		area[i] = id * 0x0101010101010101 + (unsigned long)i;
	double end = now() + test_seconds() / 2;
	unsigned long rounds = 0;
	unsigned short control = (unsigned short)(id & 1 ? 0x37f : 0x27f), seen_control;
	unsigned mxcsr = id & 1 ? 0x1f80 : 0x9fc0, seen_mxcsr;
	__asm__ volatile("fldcw %0\n\tldmxcsr %1" ::"m"(control), "m"(mxcsr));
	while (now() < end) {
		__asm__ volatile(
			"movaps (%0), %%xmm0\n\tmovaps 16(%0), %%xmm1\n\tmovaps 32(%0), %%xmm7\n\t"
			"movaps 48(%0), %%xmm8\n\tmovaps 64(%0), %%xmm14\n\tmovaps 80(%0), "
			"%%xmm15\n\t"
			"mov $20000, %%ecx\n1:\tdec %%ecx\n\tjnz 1b\n\t"
			"movaps %%xmm0, (%1)\n\tmovaps %%xmm1, 16(%1)\n\tmovaps %%xmm7, 32(%1)\n\t"
			"movaps %%xmm8, 48(%1)\n\tmovaps %%xmm14, 64(%1)\n\tmovaps %%xmm15, "
			"80(%1)" ::"r"(area),
			"r"(seen)
			: "ecx", "memory", "cc", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
		CHECK(!memcmp(area, seen, 96));
		if (__builtin_cpu_supports("avx"))
			hold_avx(area, seen);
		unsigned long at_gs, base;
		__asm__ volatile("mov %%gs:0, %0" : "=r"(at_gs));
		CHECK(at_gs == id);
		CHECK(!syscall(SYS_arch_prctl, ARCH_GET_GS, &base) && base == gs);
		__asm__ volatile("fnstcw %0\n\tstmxcsr %1" : "=m"(seen_control), "=m"(seen_mxcsr));
		CHECK(seen_control == control && (seen_mxcsr & ~0x3fU) == (mxcsr & ~0x3fU));
		if (++rounds % 16 == 0)
			sched_yield();
	}
	CHECK(rounds > 10);
	_exit(0);
}

int main(void)
{
	int status;
	for (unsigned long id = 1; id <= 6; id++)
		if (!fork())
			hold(id);
	for (int i = 0; i < 6; i++)
		CHECK(wait(&status) > 0 && status == 0);
	return 0;
}
