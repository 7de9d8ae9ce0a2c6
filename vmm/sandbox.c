/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_filters.h" /* made by seccomp_gen */

#define FILTER(name)                                                                               \
	{                                                                                          \
		sizeof(name) / sizeof((name)[0]), (struct sock_filter *)(name)                     \
	}

int sandbox_enter(enum sandbox_role role)
{
	const struct sock_fprog filters[SANDBOX_ROLES] = {
		[SANDBOX_MAIN] = FILTER(filter_main),
		[SANDBOX_VCPU] = FILTER(filter_vcpu),
		[SANDBOX_DEVICE] = FILTER(filter_device),
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filters[role]) != 0)
		return -errno;
	return 0;
}
