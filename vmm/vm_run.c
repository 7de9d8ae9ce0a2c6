/* SPDX-License-Identifier: Apache-2.0 */
/* Running a VM: its threads from start to join, and what is told afterwards. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "error.h"
#include "sandbox.h"
#include "thread.h"
#include "vm.h"

/* No guest code runs before all threads are confined, by themselves or with their process. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int ready;
	bool open;
};

struct worker {
	pthread_t thread;
	struct lupine_vm *vm;
	struct gate *gate;
	struct vcpu *vcpu; /* NULL: the event loop */
};

static void gate_wait(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->ready++;
	pthread_cond_broadcast(&gate->changed);
	while (!gate->open)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

static void gate_wait_ready(struct gate *gate, unsigned int count)
{
	pthread_mutex_lock(&gate->lock);
	while (gate->ready < count)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

static void gate_open(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->changed);
	pthread_mutex_unlock(&gate->lock);
}

static void *work(void *argument)
{
	struct worker *worker = argument;
	struct lupine_vm *vm = worker->vm;
	int err = 0;

	if (vm->config.seccomp == LUPINE_SECCOMP_THREADS)
		err = sandbox_enter_thread();
	if (err)
		stop_fail(&vm->stop, err, "seccomp filter of a thread");
	gate_wait(worker->gate);
	if (worker->vcpu) {
		vcpu_loop(worker->vcpu);
	} else {
		err = event_loop_run(&vm->loop);
		if (err)
			stop_fail(&vm->stop, err, "event loop");
	}
	return NULL;
}

/* Starts the event loop and the vCPUs. Returns how many were started. */
static unsigned int start_workers(struct lupine_vm *vm, struct worker *workers, struct gate *gate)
{
	unsigned int started = 0;
	int err = 0;

	while (!err && started < vm->nr_vcpus + 1) {
		workers[started] = (struct worker){
			.vm = vm,
			.gate = gate,
			.vcpu = started ? &vm->vcpus[started - 1] : NULL,
		};
		err = thread_start(&workers[started].thread, work, &workers[started]);
		if (!err)
			started++;
	}
	if (err)
		stop_fail(&vm->stop, err, "starting a thread");
	return started;
}

static void wait_for_stop(struct lupine_vm *vm)
{
	const uint64_t deadline = vm->config.timeout ? report_now() + vm->config.timeout : 0;
	struct pollfd stopped = { .fd = vm->stop.fd, .events = POLLIN };

	for (;;) {
		int wait_ms = -1;

		if (deadline) {
			const uint64_t now = report_now();
			const uint64_t left =
				deadline > now ? (deadline - now + 999999) / 1000000 : 0;

			wait_ms = left > INT32_MAX ? INT32_MAX : (int)left;
		}
		const int n = poll(&stopped, 1, wait_ms);
		if (n > 0)
			return;
		if (n == 0 && deadline && report_now() >= deadline)
			stop_request(&vm->stop, LUPINE_EXIT_TIMEOUT, 0);
		else if (n < 0 && errno != EINTR)
			stop_fail(&vm->stop, -errno, "poll");
	}
}

/* vCPUs first: the event loop must not end under a device that still has a driver. */
static void join_workers(struct lupine_vm *vm, const struct worker *workers, unsigned int started)
{
	for (unsigned int i = 1; i < started; i++)
		pthread_kill(workers[i].thread, VCPU_KICK_SIGNAL);
	for (unsigned int i = 1; i < started; i++)
		pthread_join(workers[i].thread, NULL);
	if (started) {
		event_loop_stop(&vm->loop);
		pthread_join(workers[0].thread, NULL);
	}
}

static void describe_end(struct lupine_vm *vm, struct lupine_exit *end)
{
	static const char panic[] = "Kernel panic";

	memset(end, 0, sizeof(*end));
	end->reason = (enum lupine_exit_reason)vm->stop.decided;
	end->status = vm->stop.status;
	end->console_length = serial_tail(vm->machine.serial, end->console, sizeof(end->console));
	if ((end->reason == LUPINE_EXIT_RESET || end->reason == LUPINE_EXIT_TRIPLE_FAULT) &&
	    memmem(end->console, end->console_length, panic, sizeof(panic) - 1))
		end->reason = LUPINE_EXIT_PANIC;
}

int lupine_vm_run(struct lupine_vm *vm, struct lupine_exit *end, struct lupine_error *error)
{
	struct gate gate = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, false };
	struct worker workers[1 + LUPINE_MAX_CPUS];

	if (vm->ran)
		return error_set(error, LUPINE_ERROR_CONFIG, -EBUSY, "this VM has run already");
	vm->ran = true;
	const unsigned int started = start_workers(vm, workers, &gate);
	if (vm->config.seccomp == LUPINE_SECCOMP_ALL) {
		const int err = sandbox_enter_process();

		if (err)
			stop_fail(&vm->stop, err, "seccomp filter of the process");
	}
	if (vm->config.seccomp == LUPINE_SECCOMP_THREADS)
		gate_wait_ready(&gate, started);
	report_stamp(&vm->report, LUPINE_STEP_RUN);
	gate_open(&gate);
	wait_for_stop(vm);
	report_stamp(&vm->report, LUPINE_STEP_EXIT);
	join_workers(vm, workers, started);
	const int err = machine_quiesce(&vm->machine, error);
	if (err)
		return err;
	if (vm->stop.decided == STOP_FAILED) {
		if (error)
			*error = vm->stop.error;
		return vm->stop.error.number;
	}
	describe_end(vm, end);
	return 0;
}

int lupine_vm_report(const struct lupine_vm *vm, struct lupine_report *out)
{
	struct lupine_report report = { .size = out->size, .kernel_format = vm->kernel_format };

	if (out->size < sizeof(out->size) || out->size > sizeof(report))
		return -EINVAL;
	report_steps(&vm->report, &report);
	for (unsigned int i = 0; i < vm->nr_vcpus; i++) {
		for (int kind = 0; kind < LUPINE_KINDS; kind++)
			report.exits[kind] += vm->vcpus[i].exits[kind];
		if (vm->vcpus[i].stats_fd >= 0)
			kvm_stats_add(vm->vcpus[i].stats_fd, &report);
	}
	if (vm->config.measure)
		report_memory(&vm->report, &vm->mem, &report);
	memcpy(out, &report, out->size);
	return 0;
}
