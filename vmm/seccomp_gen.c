/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs while the monitor is built: turns the rules below into BPF with libseccomp and prints them
 * as C. A system call that is not named here kills the process.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/vhost.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

struct rule {
	int call;
	const char *reason;
	/* With has_argument: only where argument @index, of it the bits of @mask (0: all), is
	 * @value. */
	int has_argument;
	unsigned int index;
	unsigned long value, mask;
	int own; /* and only of the calling thread: argument 0, a thread's identifier, is 0 */
};

/* The threads of a VM: vCPUs, which may serve their own queues, and the event loop. */
static const struct rule thread[] = {
	{ SCMP_SYS(ioctl), "run guest code", 1, 1, KVM_RUN },
	{ SCMP_SYS(epoll_wait), "the event loop" },
	{ SCMP_SYS(epoll_ctl), "a queue or back end becomes ready, or waits for room" },
	{ SCMP_SYS(sched_setscheduler), "the event loop's patience", 1, 1, SCHED_BATCH, .own = 1 },
	{ SCMP_SYS(sched_setscheduler), "and its end", 1, 1, SCHED_OTHER, .own = 1 },
	{ SCMP_SYS(futex), "locks, and threads waiting for each other" },
	{ SCMP_SYS(write), "eventfds (interrupts, wake-ups), console, log lines" },
	{ SCMP_SYS(clock_gettime), "time stamps where the vDSO cannot answer" },
	{ SCMP_SYS(set_robust_list), "glibc, at a thread's start" },
	{ SCMP_SYS(rseq), "the same" },
	{ SCMP_SYS(exit), "a thread's end" },
	{ SCMP_SYS(exit_group), "the process's end" },
	{ SCMP_SYS(madvise), "glibc gives back a thread's stack" },
	{ SCMP_SYS(munmap), "glibc frees memory" },
	{ SCMP_SYS(rt_sigprocmask), "glibc, at a thread's end" },
	{ SCMP_SYS(rt_sigreturn), "return from the embedder's signal handlers" },
	{ SCMP_SYS(read), "eventfds, console input" },
	{ SCMP_SYS(readv), "frames from a tap" },
	{ SCMP_SYS(writev), "frames to a tap" },
	{ SCMP_SYS(sendmsg), "frames to a stream socket" },
	{ SCMP_SYS(sendto), "the rest of such a frame" },
	{ SCMP_SYS(ioctl), "which of a tap's queues are in use", 1, 1, TUNSETQUEUE },
	{ SCMP_SYS(ioctl), "a cable in and out, with vhost", 1, 1, VHOST_NET_SET_BACKEND },
	{ SCMP_SYS(preadv2), "disk reads" },
	{ SCMP_SYS(pwritev2), "disk writes, durable or not" },
	{ SCMP_SYS(fdatasync), "disk flushes" },
	{ SCMP_SYS(fallocate), "discard and write-zeroes" },
	{ SCMP_SYS(io_uring_enter), "requests of a disk that are under way at once" },
	{ SCMP_SYS(ioctl), "a tap's offloads, as the driver negotiated them", 1, 1, TUNSETOFFLOAD },
	{ SCMP_SYS(ioctl), "vhost starts with the driver", 1, 1, VHOST_SET_FEATURES },
	{ SCMP_SYS(ioctl), "the same", 1, 1, VHOST_SET_VRING_NUM },
	{ SCMP_SYS(ioctl), "the same", 1, 1, VHOST_SET_VRING_BASE },
	{ SCMP_SYS(ioctl), "the same", 1, 1, VHOST_SET_VRING_ADDR },
	{ SCMP_SYS(ioctl), "the same", 1, 1, VHOST_SET_VRING_KICK },
	{ SCMP_SYS(ioctl), "the same", 1, 1, VHOST_SET_VRING_CALL },
	{ SCMP_SYS(ioctl), "the same", 1, 1, VHOST_SET_VRING_ERR },
	{ SCMP_SYS(timerfd_settime), "a rate limit's wait" },
	{ SCMP_SYS(fstat), "a disk's size, when it may have changed" },
	{ SCMP_SYS(newfstatat), "the same, as newer glibcs do it" },
	{ SCMP_SYS(ioctl), "the same of a block device", 1, 1, BLKGETSIZE64 },
	{ SCMP_SYS(ioctl), "whether a tap is up: its name", 1, 1, TUNGETIFF },
	{ SCMP_SYS(socket), "a socket to ask by", 1, 0, AF_UNIX },
	{ SCMP_SYS(ioctl), "its flags", 1, 1, SIOCGIFFLAGS },
	{ SCMP_SYS(close), "that socket" },
};

/* The thread that called lupine_vm_run(), from then on. */
static const struct rule caller[] = {
	{ SCMP_SYS(poll), "wait for the VM's end or the time-out" },
	{ SCMP_SYS(restart_syscall), "the same, after a stop and continue" },
	{ SCMP_SYS(alarm), "how long a guest that was asked to end may take" },
	{ SCMP_SYS(tgkill), "interrupt the vCPUs at the end" },
	{ SCMP_SYS(getpid), "the same: glibc's pthread_kill" },
	{ SCMP_SYS(gettid), "the same" },
	{ SCMP_SYS(pread64), "KVM's statistics for the report" },
	{ SCMP_SYS(dup), "/proc/self/smaps for the report" },
	{ SCMP_SYS(fcntl), "the same: fdopen looks at the file's mode" },
	{ SCMP_SYS(lseek), "stdio looks at the file it writes to" },
	{ SCMP_SYS(brk), "memory for the report" },
	{ SCMP_SYS(mmap), "the same: never for code", 1, 2, 0, PROT_EXEC },
	{ SCMP_SYS(mremap), "the same" },
	{ SCMP_SYS(rename), "a report file takes its name once it is whole" },
	{ SCMP_SYS(unlink), "a report file that could not be written goes" },
	{ SCMP_SYS(ioctl), "stdio asks whether it writes to a terminal", 1, 1,
	  0x5401 /* TCGETS */ },
	{ SCMP_SYS(ioctl), "the terminal gets its settings back", 1, 1, 0x5404 /* TCSETSF */ },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void fail(const char *what, int err)
{
	fprintf(stderr, "seccomp_gen: %s: %s\n", what, strerror(err < 0 ? -err : err));
	exit(1);
}

static void allow(scmp_filter_ctx filter, const struct rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct rule *r = &rules[i];
		const struct scmp_arg_cmp compare[] = {
			r->mask ? SCMP_CMP64(r->index, SCMP_CMP_MASKED_EQ, r->mask, r->value)
				: SCMP_CMP64(r->index, SCMP_CMP_EQ, r->value, 0),
			SCMP_CMP64(0, SCMP_CMP_EQ, 0, 0),
		};
		const unsigned int compared = r->has_argument ? 1 + (r->own != 0) : 0;
		const int err =
			seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, r->call, compared, compare);
		if (err)
			fail(r->reason, err);
	}
}

static void print(scmp_filter_ctx filter, const char *name)
{
	struct sock_filter code[1024];
	const int fd = memfd_create(name, 0);
	const int err = seccomp_export_bpf(filter, fd);

	if (fd < 0 || err)
		fail("export", err ? err : errno);
	const ssize_t size = pread(fd, code, sizeof(code), 0);
	if (size <= 0 || size == (ssize_t)sizeof(code))
		fail("filter too large", EFBIG);
	printf("static const struct sock_filter %s[] = {\n", name);
	for (size_t i = 0; i < (size_t)size / sizeof(code[0]); i++)
		printf("\t{ 0x%x, %u, %u, 0x%x },\n", code[i].code, code[i].jt, code[i].jf,
		       code[i].k);
	printf("};\n");
	close(fd);
}

static void generate(const char *name, int with_caller)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (!filter)
		fail("seccomp_init", ENOMEM);
	/* A tree of comparisons instead of a list: KVM_RUN and writes are frequent. */
	seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	allow(filter, thread, COUNT(thread));
	if (with_caller)
		allow(filter, caller, COUNT(caller));
	print(filter, name);
	seccomp_release(filter);
}

int main(void)
{
	printf("/* Made by seccomp_gen; the rules and their reasons are in seccomp_gen.c. */\n");
	generate("filter_thread", 0);
	generate("filter_process", 1);
	return 0;
}
