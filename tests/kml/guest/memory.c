/* SPDX-License-Identifier: Apache-2.0 */
/* mmap, mprotect and munmap from several threads, with faults in between; -EFAULT for bad pointers.
 */
#include "test.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/uio.h>

static void *storm(void *argument)
{
	unsigned seed = (unsigned)(intptr_t)argument;
	for (int i = 0; i < 1500; i++) {
		size_t pages = (size_t)(rand_r(&seed) % 32 + 1);
		volatile char *p = map_pages(pages, PROT_READ | PROT_WRITE);
		for (size_t j = 0; j < pages; j++) {
			CHECK(p[j * 4096] == 0);
			p[j * 4096] = (char)(j + 1);
		}
		CHECK(!mprotect((void *)p, 4096, PROT_READ));
		CHECK(p[0] == 1);
		CHECK(!mprotect((void *)p, 4096, PROT_READ | PROT_WRITE));
		p[0] = 2;
		if (i % 3 == 0)
			CHECK(!madvise((void *)p, pages * 4096, MADV_DONTNEED) && p[0] == 0);
		CHECK(!munmap((void *)p, pages * 4096));
	}
	return NULL;
}

static void efault(long bad)
{
	int fd = open("/proc/version", O_RDONLY);
	struct iovec iov = { (void *)bad, 100 };
	CHECK(fd >= 0);
	CHECK(read(fd, (void *)bad, 10) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_openat, AT_FDCWD, bad, 0) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_newfstatat, AT_FDCWD, "/", bad, 0) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_clock_nanosleep, 0, 0, bad, 0) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_rt_sigprocmask, SIG_BLOCK, bad, 0, 8) == -1 || !bad);
	CHECK(readv(fd, &iov, 1) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_readv, fd, bad, 1) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_pipe2, bad, 0) == -1 && errno == EFAULT);
	CHECK(syscall(SYS_execve, bad, 0, 0) == -1 && errno == EFAULT);
	close(fd);
}

int main(void)
{
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_create(&t[i], NULL, storm, (void *)(intptr_t)(i + 1)));
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(t[i], NULL));

	char *none = map_pages(1, PROT_NONE);
	for (int i = 0; i < 50; i++) {
		efault(0);
		efault((long)none);
		efault(0x10000000);
		efault(0x1234567800000000);
		efault((long)0xffff888000000000); /* the kernel's own memory */
		efault(-4096);
	}
	return 0;
}
