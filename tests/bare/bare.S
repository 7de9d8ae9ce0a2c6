/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guests of a few instructions, entered as Linux would be (64-bit, identity mapping, RSI = zero
 * page): one behaviour each, chosen by -DBEHAVIOUR when it is assembled. They run in milliseconds
 * and do on purpose what a kernel never would.
 */
	.globl _start
	.text

.macro print string
	lea	\string(%rip), %rsi
	mov	$0x3f8, %dx
1:	lodsb
	test	%al, %al
	jz	2f
	out	%al, %dx
	jmp	1b
2:
.endm

.macro finish status
	mov	$\status, %al
	out	%al, $0xf4
	hlt
.endm

_start:
	lea	stack_top(%rip), %rsp
#if defined(EXIT_42)
	finish	42
#elif defined(MARKERS)			/* init, application, ready; then status 0 */
	mov	$1, %al
	out	%al, $0xf5
	mov	$2, %al
	out	%al, $0xf5
	mov	$3, %al
	out	%al, $0xf5
	finish	0
#elif defined(BOOT_TIMER)		/* Firecracker's marker */
	mov	$0xd0000000, %edi
	call	map_mmio
	movb	$123, (%rdi)
	finish	0
#elif defined(TRIPLE_FAULT)
	lidt	no_idt(%rip)
	ud2
#elif defined(RESET)
	mov	$0xfe, %al
	out	%al, $0x64
	hlt
#elif defined(PANIC)			/* what the monitor must recognise */
	print	panic_text
	mov	$0xfe, %al
	out	%al, $0x64
	hlt
#elif defined(SPIN)
1:	pause
	jmp	1b
#elif defined(SLEEP)			/* interrupts off: never wakes */
	hlt
	jmp	_start
#elif defined(CHATTER)			/* a guest that fills the console for ever */
1:	print	chatter_text
	jmp	1b
#elif defined(NOWHERE)			/* ports and addresses where nothing is: ones; widths of all kinds */
	mov	$0x1234, %dx
	in	%dx, %eax
	cmp	$-1, %eax
	jne	bad
	out	%eax, %dx
	in	%dx, %ax
	cmp	$-1, %ax
	jne	bad
	mov	$0xd8000000, %edi	/* past the last device */
	call	map_mmio
	mov	(%rdi), %rax
	cmp	$-1, %rax
	jne	bad
	mov	%rax, (%rdi)
	mov	%al, 3(%rdi)
	mov	$0xd0001000, %edi	/* the first device, across its registers, in every width */
	call	map_mmio
	mov	$0, %ecx
1:	mov	(%rdi,%rcx), %al
	mov	(%rdi,%rcx), %ax
	mov	(%rdi,%rcx), %eax
	mov	(%rdi,%rcx), %rax
	add	$3, %ecx
	cmp	$0xff8, %ecx
	jb	1b
	mov	$0, %ecx
2:	mov	%al, (%rdi,%rcx)
	mov	%ax, (%rdi,%rcx)
	mov	%eax, (%rdi,%rcx)
	mov	%rax, (%rdi,%rcx)
	add	$3, %ecx
	cmp	$0xff8, %ecx
	jb	2b
	lea	buffer(%rip), %rdi	/* string instructions on ports */
	mov	$0x3f9, %dx
	mov	$300, %ecx
	rep insb
	lea	buffer(%rip), %rsi
	mov	$0xf5, %dx
	mov	$300, %ecx
	rep outsl
	finish	7
bad:	finish	1
#elif defined(SEED)			/* status 0 when SETUP_RNG_SEED is there and not all zero */
	mov	0x250(%rsi), %rbx	/* hdr.setup_data */
1:	test	%rbx, %rbx
	jz	bad
	cmpl	$9, 8(%rbx)
	je	2f
	mov	(%rbx), %rbx
	jmp	1b
2:	cmpl	$32, 12(%rbx)
	jb	bad
	cmpq	$0, 16(%rbx)
	je	bad
	finish	0
bad:	finish	1
#else
#error "-D one of the behaviours"
#endif

/* Maps the 1 GiB around EDI (3 to 4 GiB: entry 3 of the monitor's page-directory-pointer table). */
map_mmio:
	push	%rdi
	mov	%cr3, %rax
	mov	(%rax), %rax
	and	$~0xfff, %rax
	mov	$0xc0000083, %ecx	/* present, writable, 1 GiB */
	mov	%rcx, 24(%rax)
	mov	%cr3, %rax
	mov	%rax, %cr3
	pop	%rdi
	ret

	.data
no_idt:	.word	0
	.quad	0
panic_text: .asciz "Kernel panic - not syncing: a test\n"
chatter_text: .asciz "The quick brown fox jumps over the lazy dog.\n"
	.bss
	.balign	16
buffer:	.skip	4096
stack:	.skip	256
stack_top:
