/* SPDX-License-Identifier: Apache-2.0 */
/* Out of memory, the kernel kills the process that takes it all, wherever that happens to be: in a
 * page fault of user code, in one of the kernel, in a system call. The others go on. */
#include "test.h"
#include <fcntl.h>
#include <sys/time.h>

static void take_memory(void *by_kernel)
{
	alarm(0);
	int fd = open("/proc/self/oom_score_adj", O_WRONLY);
	CHECK(fd >= 0 && write(fd, "1000", 4) == 4);
	close(fd);
	for (;;) {
		char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);
		if (p == MAP_FAILED)
			continue;
		for (int i = 0; i < 256; i++)
			if (!by_kernel)
				p[i * 4096] = 1;
			else if (kml_on())
				direct_call(SYS_getcwd, (long)p + i * 4096, 4096, 0, 0, 0, 0);
			else
				syscall(SYS_getcwd, p + i * 4096, 4096);
	}
}

int main(void)
{
	int status;
	/* A bystander, preempted and faulting all the time. */
	pid_t other = fork();
	if (!other) {
		on_signal(SIGALRM, count_tick, SA_RESTART);
		struct itimerval fast = { { 0, 2000 }, { 0, 2000 } };
		CHECK(!setitimer(ITIMER_REAL, &fast, NULL));
		char *p = map_pages(4, PROT_READ | PROT_WRITE);
		for (long n = 0;; n++) {
			p[0] = (char)n;
			CHECK(getppid() > 1 && p[0] == (char)n);
			CHECK(!madvise(p, 4096, MADV_DONTNEED) && p[0] == 0);
		}
	}
	for (long by_kernel = 0; by_kernel < 2; by_kernel++) {
		status = in_child(take_memory, (void *)by_kernel);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	}
	CHECK(waitpid(other, &status, WNOHANG) == 0);
	kill(other, SIGKILL);
	CHECK(waitpid(other, &status, 0) == other);
	return 0;
}
