/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: thread-local storage, mutexes and conditions on futexes, cancellation, robust mutexes.
 */
#include "test.h"
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>

static _Thread_local long local;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long counter, turn;

static void *count(void *argument)
{
	long id = (long)(intptr_t)argument;
	local = id;
	for (int i = 0; i < 2000; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
		if (i % 100 == 0)
			sched_yield();
		CHECK(local == id);
	}
	return argument;
}

static void *ping(void *argument)
{
	long id = (long)(intptr_t)argument;
	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&mutex);
		while (turn % 2 != id)
			pthread_cond_wait(&condition, &mutex);
		turn++;
		pthread_cond_broadcast(&condition);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static int fds[2];
static volatile int cleaned, reached;

static void cleanup(void *unused)
{
	(void)unused;
	cleaned++;
}

static void *block(void *unused)
{
	char byte;
	pthread_cleanup_push(cleanup, NULL);
	reached = 1;
	CHECK(read(fds[0], &byte, 1) != 1); /* a cancellation point; nothing comes */
	pthread_cleanup_pop(0);
	return unused;
}

static volatile long written;

/* What a cancelled write wrote must have been counted: no side effect is lost. */
static void *write_on(void *unused)
{
	for (;;)
		if (write(fds[1], "x", 1) == 1)
			written++;
	return unused;
}

static void *masked(void *unused)
{
	int old;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
	reached = 1;
	usleep(30000);
	CHECK(getppid() > 0);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	pthread_testcancel();
	CHECK(!"not cancelled");
	return unused;
}

static void *die_holding(void *m)
{
	CHECK(!pthread_mutex_lock(m));
	return NULL;
}

/* A process that is killed with a robust mutex held, by what it was doing: waiting or computing. */
static void robust_across_processes(void)
{
	pthread_mutexattr_t attributes;
	pthread_mutex_t *shared =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(shared != MAP_FAILED);
	pthread_mutexattr_init(&attributes);
	CHECK(!pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
	CHECK(!pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED));
	CHECK(!pthread_mutex_init(shared, &attributes));
	for (int i = 0; i < 20; i++) {
		int pipe_fds[2];
		char byte;
		CHECK(!pipe(pipe_fds));
		pid_t pid = fork();
		if (!pid) {
			CHECK(!pthread_mutex_lock(shared) && write(pipe_fds[1], "x", 1) == 1);
			while (i % 2 || pause())
				;
		}
		CHECK(read(pipe_fds[0], &byte, 1) == 1 && pthread_mutex_trylock(shared) == EBUSY);
		CHECK(!kill(pid, SIGKILL));
		CHECK(pthread_mutex_lock(shared) == EOWNERDEAD);
		CHECK(!pthread_mutex_consistent(shared) && !pthread_mutex_unlock(shared));
		CHECK(waitpid(pid, NULL, 0) == pid);
		close(pipe_fds[0]);
		close(pipe_fds[1]);
	}
}

int main(void)
{
	pthread_t t[8];
	void *result;
	for (int i = 0; i < 8; i++)
		CHECK(!pthread_create(&t[i], NULL, count, (void *)(intptr_t)(i + 1)));
	for (int i = 0; i < 8; i++)
		CHECK(!pthread_join(t[i], &result) && result == (void *)(intptr_t)(i + 1));
	CHECK(counter == 8 * 2000);
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_create(&t[i], NULL, ping, (void *)(intptr_t)i));
	for (int i = 0; i < 2; i++)
		CHECK(!pthread_join(t[i], NULL));
	CHECK(turn == 1000);
	for (int i = 0; i < 300; i++) {
		CHECK(!pthread_create(&t[0], NULL, count, NULL) || i);
		CHECK(!pthread_join(t[0], NULL));
	}

	CHECK(!pipe(fds));
	for (int i = 0; i < 50; i++) {
		reached = 0;
		int before = cleaned;
		CHECK(!pthread_create(&t[0], NULL, block, NULL));
		while (!reached)
			sched_yield();
		if (i % 2)
			usleep(5000); /* let it block; else catch it anywhere */
		CHECK(!pthread_cancel(t[0]));
		CHECK(!pthread_join(t[0], &result) && result == PTHREAD_CANCELED);
		CHECK(cleaned == before + 1);
	}
	for (int i = 0; i < 50; i++) {
		written = 0;
		CHECK(!pthread_create(&t[0], NULL, write_on, NULL));
		usleep(1000 + (unsigned)i * 50);
		CHECK(!pthread_cancel(t[0]));
		CHECK(!pthread_join(t[0], &result) && result == PTHREAD_CANCELED);
		char buffer[4096];
		long got = 0, n;
		CHECK(!fcntl(fds[0], F_SETFL, O_NONBLOCK));
		while ((n = read(fds[0], buffer, sizeof(buffer))) > 0)
			got += n;
		CHECK(n == -1 && errno == EAGAIN);
#ifdef __GLIBC__
		CHECK(got == written || got == written + 1); /* its bug 12683 */
#else
		CHECK(got == written);
#endif
	}
	CHECK(!pthread_create(&t[0], NULL, masked, NULL));
	while (!reached)
		sched_yield();
	CHECK(!pthread_cancel(t[0]));
	CHECK(!pthread_join(t[0], &result) && result == PTHREAD_CANCELED);

	pthread_mutexattr_t attributes;
	pthread_mutex_t robust;
	pthread_mutexattr_init(&attributes);
	CHECK(!pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST));
	CHECK(!pthread_mutex_init(&robust, &attributes));
	CHECK(!pthread_create(&t[0], NULL, die_holding, &robust));
	CHECK(!pthread_join(t[0], NULL));
	CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
	CHECK(!pthread_mutex_consistent(&robust) && !pthread_mutex_unlock(&robust));
	robust_across_processes();
	return 0;
}
