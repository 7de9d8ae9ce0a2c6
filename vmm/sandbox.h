/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Confinement of the monitor's threads. Today: a seccomp filter each, compiled by libseccomp when
 * the monitor is built (seccomp_gen.c holds the rules with their reasons), so that a start pays for
 * nothing but the kernel's check of it. Whatever else confines (namespaces, a chroot) belongs here.
 */
#ifndef LUPINE_SANDBOX_H
#define LUPINE_SANDBOX_H

enum sandbox_role {
	SANDBOX_MAIN, /* waits for the end, reports */
	SANDBOX_VCPU, /* runs guest code and its register accesses */
	SANDBOX_DEVICE, /* the event loop: queues and back ends */
	SANDBOX_ROLES
};

/*
 * Confines the calling thread for the rest of its life: any system call its role does not need
 * kills the process (SIGSYS). -errno.
 */
int sandbox_enter(enum sandbox_role role);

#endif
