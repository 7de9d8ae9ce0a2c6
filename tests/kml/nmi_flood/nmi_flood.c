// SPDX-License-Identifier: GPL-2.0
/*
 * For the KML tests: CPU 1 floods CPU 0 with NMIs, and each takes a page fault in its handler.
 *
 * With KML all vectors but NMI, #DB and #MC share one IST stack, and the first instructions of an
 * entry run on it. An NMI that hits these is "in the window": the page fault of its handler would
 * overwrite the interrupted frame, if the NMI's entry had not moved the stack out of the way. With
 * control=1 the handler takes that move back for its page fault; then the guest must break.
 */
#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/nmi.h>
#include <linux/sched.h>

#include <asm/apic.h>
#include <asm/asm.h>
#include <asm/nmi.h>
#include <asm/processor.h>

#define TARGET 0
#define SENDER 1

static bool control;
module_param(control, bool, 0444);
static unsigned int interval = 20; /* us */
module_param(interval, uint, 0444);
static ulong handled, in_window;
module_param(handled, ulong, 0444);
module_param(in_window, ulong, 0444);

static unsigned long top; /* of TARGET's KML stack */
static struct task_struct *sender;

static unsigned long *kml_ist(void)
{
	return (unsigned long *)this_cpu_ptr(&cpu_tss_rw.x86_tss.ist[IST_INDEX_KML]);
}

/* A #PF of the kernel: nothing is ever mapped there. */
static void fault(void)
{
	asm volatile("1: movb (%0), %%al\n2:\n" _ASM_EXTABLE(1b, 2b)
		     :
		     : "r"(0xffff800000001000)
		     : "al", "memory");
}

static int handler(unsigned int type, struct pt_regs *regs)
{
	unsigned long shifted = *kml_ist();

	if (smp_processor_id() != TARGET)
		return NMI_DONE;

	handled++;
	in_window += top - regs->sp < PAGE_SIZE;
	if (control)
		*kml_ist() = top;
	fault();
	if (control)
		*kml_ist() = shifted;

	return NMI_HANDLED;
}

static int flood(void *unused)
{
	while (!kthread_should_stop()) {
		apic->send_IPI(TARGET, NMI_VECTOR);
		udelay(interval);
		cond_resched();
	}

	return 0;
}

static void find_top(void *unused)
{
	top = *kml_ist();
}

static int __init nmi_flood_init(void)
{
	int ret = smp_call_function_single(TARGET, find_top, NULL, true);

	if (ret)
		return ret;

	ret = register_nmi_handler(NMI_LOCAL, handler, 0, "nmi_flood");
	if (ret)
		return ret;

	sender = kthread_create_on_cpu(flood, NULL, SENDER, "nmi_flood/%u");
	if (IS_ERR(sender)) {
		unregister_nmi_handler(NMI_LOCAL, "nmi_flood");
		return PTR_ERR(sender);
	}
	wake_up_process(sender);

	return 0;
}
module_init(nmi_flood_init);

/* Stops the flood; it stays loaded. */
static int stop(const char *value, const struct kernel_param *param)
{
	struct task_struct *task = xchg(&sender, NULL);

	return task ? kthread_stop(task) : -EINVAL;
}
static const struct kernel_param_ops stop_ops = { .set = stop };
module_param_cb(stop, &stop_ops, NULL, 0200);

MODULE_DESCRIPTION("A flood of NMIs with page faults in their handler");
MODULE_LICENSE("GPL");
