// SPDX-License-Identifier: Apache-2.0
// Asks a guest's application over the network until it answers, from the moment the application is
// about to be executed (a write of 2 to port 0xf5), stamps the answer's first byte, and ends the
// guest. A process of its own, which sleeps until then: the guest's boot is as without it.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <x86intrin.h>

#include "launch.h"
#include "tracefs.h"

// A trace of its own: reading one takes the lines out of it.
#define INSTANCE "instances/ask"

// An attempt costs the guest some 40,000 instructions, so they are not many; the answer is seen up
// to this much late.
enum { RETRY_US = 2000, TRIES = 5000, WAIT_MS = 100 };

static pid_t asker;
static int results[2] = { -1, -1 }, victims[2] = { -1, -1 };

// One attempt; 0 when there was no answer. A refusal comes at once: the guest's kernel is there,
// its application not yet.
static uint64_t attempt(const struct ask *ask)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)ask->port) };
	struct pollfd one = { .events = POLLOUT };
	uint64_t answered = 0;
	char byte;

	inet_aton(ask->address, &to.sin_addr);
	one.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (one.fd < 0 ||
	    setsockopt(one.fd, SOL_SOCKET, SO_BINDTODEVICE, ask->tap, strlen(ask->tap)) < 0)
		die(ask->tap);
	if ((connect(one.fd, (struct sockaddr *)&to, sizeof(to)) == 0 || errno == EINPROGRESS) &&
	    poll(&one, 1, WAIT_MS) == 1 && !(one.revents & (POLLERR | POLLHUP)) &&
	    write(one.fd, ask->text, ask->length) == (ssize_t)ask->length) {
		one.events = POLLIN;
		if (poll(&one, 1, 10 * WAIT_MS) == 1 && read(one.fd, &byte, 1) == 1)
			answered = __rdtsc();
	}
	close(one.fd);
	return answered;
}

static void be_the_asker(const struct ask *ask)
{
	static char line[1024];
	FILE *trace = fopen(TRACEFS "/" INSTANCE "/trace_pipe", "re");
	uint64_t answered = 0;
	pid_t victim;

	if (!trace || read(victims[0], &victim, sizeof(victim)) != sizeof(victim))
		_exit(1);
	while (fgets(line, sizeof(line), trace))
		if (strstr(line, "val 0x2"))
			break;
	for (int i = 0; i < TRIES && !answered; i++) {
		answered = attempt(ask);
		if (!answered)
			usleep(RETRY_US);
	}
	kill(victim, SIGKILL);
	_exit(write(results[1], &answered, sizeof(answered)) != sizeof(answered));
}

void ask_begin(const struct ask *ask)
{
	if (access(TRACEFS "/" INSTANCE, F_OK) && mkdir(TRACEFS "/" INSTANCE, 0700))
		die(INSTANCE);
	tracefs_set(INSTANCE "/tracing_on", "0");
	tracefs_set(INSTANCE "/trace", "");
	tracefs_set(INSTANCE "/events/kvm/kvm_pio/filter", "port==0xf5");
	tracefs_set(INSTANCE "/events/kvm/kvm_pio/enable", "1");
	if (pipe2(results, O_CLOEXEC) || pipe2(victims, O_CLOEXEC))
		die("pipe");
	tracefs_set(INSTANCE "/tracing_on", "1");
	asker = fork();
	if (asker < 0)
		die("fork");
	if (!asker)
		be_the_asker(ask);
}

void ask_about(pid_t monitor)
{
	if (write(victims[1], &monitor, sizeof(monitor)) != sizeof(monitor))
		die("asker");
}

bool ask_is(pid_t pid)
{
	return asker > 0 && pid == asker;
}

uint64_t ask_end(void)
{
	uint64_t answered = 0;

	// Usually it has ended by itself; it has not if the guest died before.
	kill(asker, SIGKILL);
	close(results[1]);
	if (read(results[0], &answered, sizeof(answered)) != sizeof(answered))
		answered = 0;
	close(results[0]);
	close(victims[0]);
	close(victims[1]);
	tracefs_set(INSTANCE "/tracing_on", "0");
	tracefs_set(INSTANCE "/events/kvm/kvm_pio/enable", "0");
	asker = 0;
	return answered;
}
