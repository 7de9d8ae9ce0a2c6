/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "seccomp_filters.h" /* made by seccomp_gen */

static int enter(const struct sock_filter *filter, unsigned short count, unsigned int flags)
{
	const struct sock_fprog program = { count, (struct sock_filter *)filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	const long refused = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	if (refused > 0) /* the thread that could not be made to follow */
		return -EBUSY;
	return refused < 0 ? -errno : 0;
}

int sandbox_enter_thread(void)
{
	return enter(filter_thread, sizeof(filter_thread) / sizeof(filter_thread[0]), 0);
}

int sandbox_enter_process(void)
{
	return enter(filter_process, sizeof(filter_process) / sizeof(filter_process[0]),
		     SECCOMP_FILTER_FLAG_TSYNC);
}
