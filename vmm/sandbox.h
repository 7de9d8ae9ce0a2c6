/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement of the monitor. Today: seccomp, compiled by libseccomp when the monitor is built
 * (seccomp_gen.c holds the rules with their reasons), so that a start pays for nothing but the
 * kernel's check of it. Whatever else confines (namespaces, a chroot) belongs here.
 *
 * A system call that is not allowed kills the process (SIGSYS). Both return -errno.
 */
#ifndef LUPINE_SANDBOX_H
#define LUPINE_SANDBOX_H

/* Confines the calling thread to what vCPUs and devices need. */
int sandbox_enter_thread(void);

/*
 * Confines all threads of the process to that and to what waiting and reporting need. One filter
 * for all: they share their memory, so what one may do another can be made to do, and the kernel
 * takes as long to accept each filter as to create a VM. -EBUSY: a thread has a filter of its own.
 */
int sandbox_enter_process(void);

#endif
