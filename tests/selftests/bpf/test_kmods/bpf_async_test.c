// SPDX-License-Identifier: GPL-2.0
/*
 * Test module: what the regression tests of bpf_timer and bpf_wq cannot
 * provoke from BPF or user space. Never part of the product, x86-64 and arm64.
 *
 *  - A true NMI at a chosen point. The kfunc bpf_async_test_nmi(arg) raises
 *    one on this CPU; fentry programs on bpf_async_test_nmi_hook(arg) run
 *    inside it. One CPU is enough and no PMU is needed. arm64 has none to raise:
 *    there the programs run where it would, with the preemption count of one.
 *  - Allocation failure. Writing N to fail_alloc makes the next N calls of
 *    bpf_map_kmalloc_nolock() return NULL, in any context. fail_nolock does
 *    the same one level lower (kmalloc_nolock()), and only for calls made
 *    while the task that wrote N is current.
 *  - A delay at a chosen point. "SYMBOL[+OFFSET] [CPU [BITS]]" written to stall
 *    makes the next that gets there wait until "go" or "release" is written, or
 *    for STALL_LIMIT_NS; on that CPU only, and only when the function's fourth
 *    argument has all BITS. It spins, in the context it came in: where that
 *    can be preempted or interrupted, so can it. Reading says idle, armed,
 *    stalled or released. stall1 and stall2 are two more of it. "release" also
 *    takes the probe away. That, and a new place, can wait for RCU readers,
 *    held ones too; "again", for the same place once more, does not.
 *    With "nmi=ARG " before it, it does not wait but has an NMI there, as that
 *    of bpf_async_test_nmi(ARG), and goes on.
 *    Arming patches the function's text: where other CPUs may be running it,
 *    QEMU's multi-threaded TCG is not to be trusted (vm.py --one-thread).
 *  - Writing 0 to grace returns after a grace period of RCU, writing 1 after one of
 *    RCU Tasks Trace as well.
 *
 * The files are in /sys/kernel/debug/bpf_async_test/. The module cannot be
 * removed: something may be on its way out of a delay.
 */
#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/btf_ids.h>
#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/objtool.h>
#include <linux/rcupdate_trace.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>
#ifdef CONFIG_X86_64
#include <asm/nmi.h>
#endif

#define STALL_LIMIT_NS (120ULL * NSEC_PER_SEC)	/* of a hold, at most */

static struct dentry *dir;

/* NMI */

__bpf_hook_start();

/* fentry programs attach here. The barrier keeps the call from being dropped. */
noinline void bpf_async_test_nmi_hook(u64 arg)
{
	barrier_data(&arg);
}

__bpf_hook_end();

#ifdef CONFIG_X86_64
static DEFINE_PER_CPU(bool, nmi_wanted);
static DEFINE_PER_CPU(u64, nmi_arg);

static int nmi_handler(unsigned int type, struct pt_regs *regs)
{
	if (!this_cpu_read(nmi_wanted))
		return NMI_DONE;
	this_cpu_write(nmi_wanted, false);
	bpf_async_test_nmi_hook(this_cpu_read(nmi_arg));
	return NMI_HANDLED;
}

static void raise_nmi(u64 arg)
{
	unsigned long flags;

	local_irq_save(flags);
	this_cpu_write(nmi_arg, arg);
	this_cpu_write(nmi_wanted, true);
	asm volatile("int $2" ::: "memory");
	local_irq_restore(flags);
}

static int __init nmi_init(void)
{
	return register_nmi_handler(NMI_LOCAL, nmi_handler, 0, "bpf_async_test");
}

static void __init nmi_end(void)
{
	unregister_nmi_handler(NMI_LOCAL, "bpf_async_test");
}
#else
static void raise_nmi(u64 arg)
{
	unsigned long flags;

	local_irq_save(flags);
	/* nmi_enter() is not for modules. RCU is watching already. */
	__preempt_count_add(NMI_OFFSET + HARDIRQ_OFFSET);
	bpf_async_test_nmi_hook(arg);
	__preempt_count_sub(NMI_OFFSET + HARDIRQ_OFFSET);
	local_irq_restore(flags);
}

static int __init nmi_init(void)
{
	return 0;
}

static void __init nmi_end(void)
{
}
#endif

__bpf_kfunc_start_defs();

/* Run the programs attached to the hook in an NMI on this CPU, now. */
__bpf_kfunc void bpf_async_test_nmi(u64 arg)
{
	raise_nmi(arg);
}

/* 1: NMI, 2: hard IRQ (NMI counts), 4: IRQs off, 8: softirq. A test proves its context. */
__bpf_kfunc u32 bpf_async_test_context(void)
{
	return (in_nmi() ? 1 : 0) | (in_hardirq() ? 2 : 0) | (irqs_disabled() ? 4 : 0) |
	       (in_serving_softirq() ? 8 : 0);
}

/* Sleep, in a callback that may. */
__bpf_kfunc void bpf_async_test_sleep(u32 usecs)
{
	fsleep(usecs);
}

/* On PREEMPT_RT, look like a writer that waits for the readers of an rwlock_t, or stop it. */
__bpf_kfunc void bpf_async_test_lock_waits(bool yes)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT))
		__set_current_state(yes ? TASK_RTLOCK_WAIT : TASK_RUNNING);
}

__bpf_kfunc_end_defs();

BTF_KFUNCS_START(kfunc_ids)
BTF_ID_FLAGS(func, bpf_async_test_nmi)
BTF_ID_FLAGS(func, bpf_async_test_context)
BTF_ID_FLAGS(func, bpf_async_test_sleep, KF_SLEEPABLE)
BTF_ID_FLAGS(func, bpf_async_test_lock_waits)
BTF_KFUNCS_END(kfunc_ids)

static const struct btf_kfunc_id_set kfunc_set = {
	.owner = THIS_MODULE,
	.set = &kfunc_ids,
};

/* Allocation failure */

#ifdef CONFIG_X86_64
#define RETURN ASM_RET
#else
#define RETURN "ret\n"
#endif

void bpf_async_test_ret(void);
asm(".pushsection .text\n"
    ".type bpf_async_test_ret, @function\n"
    "bpf_async_test_ret:\n"
    ANNOTATE_NOENDBR "\n"
    RETURN
    ".size bpf_async_test_ret, .-bpf_async_test_ret\n"
    ".popsection\n");

struct fail_point {
	const char *file;
	const char *symbols[3];	/* the first that the kernel has */
	bool only_writer;
	struct kprobe probe;
	struct task_struct *task;	/* compared, never followed */
	atomic_t left;
};

static int fail_pre(struct kprobe *kp, struct pt_regs *regs)
{
	struct fail_point *f = container_of(kp, struct fail_point, probe);

	if (f->only_writer && READ_ONCE(f->task) != current)
		return 0;
	if (atomic_dec_if_positive(&f->left) < 0)
		return 0;
	/* At the entry the return address is where a return takes it from: return NULL. */
	regs_set_return_value(regs, 0);
	instruction_pointer_set(regs, (unsigned long)bpf_async_test_ret);
	return 1;
}
NOKPROBE_SYMBOL(fail_pre);

/* A post_handler keeps the probe from being optimised into a jump. */
static void no_jump(struct kprobe *kp, struct pt_regs *regs, unsigned long flags)
{
}

static struct fail_point fail_points[] = {
	{
		.file = "fail_alloc",
		.symbols = { "bpf_map_kmalloc_nolock" },
	},
	{
		.file = "fail_nolock",
		.symbols = { "_kmalloc_nolock_noprof", "kmalloc_nolock_noprof" },
		.only_writer = true,
	},
};

static int fail_set(void *data, u64 val)
{
	struct fail_point *f = data;

	WRITE_ONCE(f->task, current);
	atomic_set(&f->left, (int)val);
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(fail_fops, NULL, fail_set, "%llu\n");

static int fail_init(struct fail_point *f)
{
	int i, err = -ENOENT;

	f->probe.pre_handler = fail_pre;
	f->probe.post_handler = no_jump;
	for (i = 0; err == -ENOENT && f->symbols[i]; i++) {
		f->probe.symbol_name = f->symbols[i];
		err = register_kprobe(&f->probe);
	}
	if (err) {
		pr_err("no kprobe on %s: %d\n", f->symbols[0], err);
		f->probe.symbol_name = NULL;
		return err;
	}
	debugfs_create_file(f->file, 0200, dir, f, &fail_fops);
	return 0;
}

/* Delay */

enum { STALL_IDLE, STALL_ARMED, STALL_STALLED, STALL_RELEASED };
static const char * const stall_names[] = { "idle", "armed", "stalled", "released" };

struct stall {
	const char *file;
	void (*detour)(void);
	struct kprobe probe;
	char symbol[KSYM_NAME_LEN];
	int cpu;
	unsigned long bits;	/* of the fourth argument */
	bool nmi;		/* instead of waiting */
	u64 nmi_arg;
	int state;
	bool registered;
#ifdef CONFIG_ARM64
	struct kprobe back;
#endif
};

static DEFINE_MUTEX(stall_lock);	/* writers of the files */

/*
 * A probe's handler has interrupts disabled, and nothing that waits for this
 * CPU would get on. So it only sends its context on a detour: all registers
 * are saved, the time is spent, and the context goes back to the probe.
 */
#ifdef CONFIG_X86_64
#define DETOUR(n)							\
void bpf_async_test_detour##n(void);					\
asm(".pushsection .text\n"						\
    ".type bpf_async_test_detour" #n ", @function\n"			\
    "bpf_async_test_detour" #n ":\n"					\
    ANNOTATE_NOENDBR "\n"						\
    "pushq $0\n"	/* where to go then */				\
    "pushfq\n"								\
    "pushq %rax\npushq %rcx\npushq %rdx\npushq %rsi\npushq %rdi\n"	\
    "pushq %r8\npushq %r9\npushq %r10\npushq %r11\n"		\
    "movl $" #n ", %edi\ncall bpf_async_test_spin\n"			\
    "movq %rax, 80(%rsp)\npopq %r11\npopq %r10\npopq %r9\npopq %r8\n"	\
    "popq %rdi\npopq %rsi\npopq %rdx\npopq %rcx\npopq %rax\n"	\
    "popfq\n" ASM_RET							\
    ".size bpf_async_test_detour" #n ", .-bpf_async_test_detour" #n "\n"	\
    ".popsection\n");							\
STACK_FRAME_NON_STANDARD(bpf_async_test_detour##n)
#define BACK(n)
#else
/* No register is free for the way back: another probe, on its last instruction, goes there. */
#define DETOUR(n)							\
void bpf_async_test_detour##n(void);					\
void bpf_async_test_back##n(void);					\
asm(".pushsection .text\n"						\
    ".type bpf_async_test_detour" #n ", @function\n"			\
    "bpf_async_test_detour" #n ":\n"					\
    "sub sp, sp, #192\n"						\
    "stp x0, x1, [sp]\nstp x2, x3, [sp, #16]\nstp x4, x5, [sp, #32]\n"	\
    "stp x6, x7, [sp, #48]\nstp x8, x9, [sp, #64]\n"			\
    "stp x10, x11, [sp, #80]\nstp x12, x13, [sp, #96]\n"		\
    "stp x14, x15, [sp, #112]\nstp x16, x17, [sp, #128]\n"		\
    "stp x18, x29, [sp, #144]\nmrs x0, nzcv\nstp x30, x0, [sp, #160]\n"	\
    "mov w0, #" #n "\nbl bpf_async_test_spin\n"			\
    "ldp x30, x0, [sp, #160]\nmsr nzcv, x0\nldp x18, x29, [sp, #144]\n"	\
    "ldp x16, x17, [sp, #128]\nldp x14, x15, [sp, #112]\n"		\
    "ldp x12, x13, [sp, #96]\nldp x10, x11, [sp, #80]\n"		\
    "ldp x8, x9, [sp, #64]\nldp x6, x7, [sp, #48]\n"			\
    "ldp x4, x5, [sp, #32]\nldp x2, x3, [sp, #16]\nldp x0, x1, [sp]\n"	\
    "add sp, sp, #192\n"						\
    ".size bpf_async_test_detour" #n ", .-bpf_async_test_detour" #n "\n"	\
    ".type bpf_async_test_back" #n ", @function\n"			\
    "bpf_async_test_back" #n ":\n"					\
    "nop\nbrk #0\n"							\
    ".size bpf_async_test_back" #n ", .-bpf_async_test_back" #n "\n"	\
    ".popsection\n")
#define BACK(n) .back.addr = (kprobe_opcode_t *)bpf_async_test_back##n
#endif

DETOUR(0); DETOUR(1); DETOUR(2);

static struct stall stalls[] = {
	{ .file = "stall", .detour = bpf_async_test_detour0, BACK(0) },
	{ .file = "stall1", .detour = bpf_async_test_detour1, BACK(1) },
	{ .file = "stall2", .detour = bpf_async_test_detour2, BACK(2) },
};

static atomic_t expired;	/* holds that ended by themselves */

/* Called by a detour, in any context. Returns where to go on. */
void *bpf_async_test_spin(unsigned int n);
__visible void *bpf_async_test_spin(unsigned int n)
{
	struct stall *s = &stalls[n];
	void *back = s->probe.addr;
	u64 end = ktime_get_mono_fast_ns() + STALL_LIMIT_NS;

	if (s->nmi) {
		raise_nmi(s->nmi_arg);
		WRITE_ONCE(s->state, STALL_RELEASED);
		return back;
	}
	while (READ_ONCE(s->state) == STALL_STALLED && ktime_get_mono_fast_ns() < end)
		cpu_relax();
	if (cmpxchg(&s->state, STALL_STALLED, STALL_RELEASED) == STALL_STALLED)
		atomic_inc(&expired);
	return back;
}

static int stall_pre(struct kprobe *kp, struct pt_regs *regs)
{
	struct stall *s = container_of(kp, struct stall, probe);

	if (s->cpu >= 0 && smp_processor_id() != s->cpu)
		return 0;
	if ((regs_get_kernel_argument(regs, 3) & s->bits) != s->bits)
		return 0;
	if (cmpxchg(&s->state, STALL_ARMED, STALL_STALLED) != STALL_ARMED)
		return 0;
	instruction_pointer_set(regs, (unsigned long)s->detour);
	return 1;
}
NOKPROBE_SYMBOL(stall_pre);

#ifdef CONFIG_ARM64
static int back_pre(struct kprobe *kp, struct pt_regs *regs)
{
	struct stall *s = container_of(kp, struct stall, back);

	instruction_pointer_set(regs, (unsigned long)s->probe.addr);
	return 1;
}
NOKPROBE_SYMBOL(back_pre);

static int __init back_init(void)
{
	int err = 0, i;

	for (i = 0; !err && i < ARRAY_SIZE(stalls); i++) {
		stalls[i].back.pre_handler = back_pre;
		err = register_kprobe(&stalls[i].back);
	}
	while (err && i--)
		unregister_kprobe(&stalls[i].back);
	return err;
}
#else
static int __init back_init(void)
{
	return 0;
}
#endif

/*
 * On x86 a probe with a post handler executes the instruction in a slot of
 * MAX_INSN_SIZE bytes, with an int3 behind it. If that is the slot's last byte,
 * kprobe_int3_handler() takes it for an int3 of the kernel's own: no place then.
 */
static bool fits(const struct kprobe *kp)
{
#ifdef CONFIG_X86_64
	return kp->ainsn.size + INT3_INSN_SIZE < MAX_INSN_SIZE;
#else
	return true;
#endif
}

static void stall_off(struct stall *s)
{
	WRITE_ONCE(s->state, STALL_RELEASED);
	if (s->registered)
		unregister_kprobe(&s->probe);
	s->registered = false;
}

static int stall_on(struct stall *s, const char *text)
{
	char *plus;
	int err;

	stall_off(s);
	s->cpu = -1;
	s->bits = 0;
	s->nmi = sscanf(text, "nmi=%llu", &s->nmi_arg) == 1;
	if (s->nmi)
		text += strcspn(text, " ");
	memset(&s->probe, 0, sizeof(s->probe));
	if (sscanf(text, "%255s %d %lx", s->symbol, &s->cpu, &s->bits) < 1)
		return -EINVAL;
	plus = strchr(s->symbol, '+');
	if (plus) {
		*plus = 0;
		err = kstrtouint(plus + 1, 0, &s->probe.offset);
		if (err)
			return err;
	}
	s->probe.symbol_name = s->symbol;
	s->probe.pre_handler = stall_pre;
	s->probe.post_handler = no_jump;
	s->probe.flags = KPROBE_FLAG_DISABLED;
	WRITE_ONCE(s->state, STALL_ARMED);
	err = register_kprobe(&s->probe);
	s->registered = !err;
	if (!err)
		err = fits(&s->probe) ? enable_kprobe(&s->probe) : -EILSEQ;
	if (err) {
		stall_off(s);
		WRITE_ONCE(s->state, STALL_IDLE);
	}
	return err;
}

static ssize_t stall_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	struct stall *s = file_inode(file)->i_private;
	char text[300];
	int err = 0;

	if (len >= sizeof(text))
		return -EINVAL;
	if (copy_from_user(text, buf, len))
		return -EFAULT;
	text[len] = 0;
	mutex_lock(&stall_lock);
	if (!strncmp(text, "go", 2))
		WRITE_ONCE(s->state, STALL_RELEASED);
	else if (!strncmp(text, "again", 5) && s->registered)
		WRITE_ONCE(s->state, STALL_ARMED);
	else if (!strncmp(text, "release", 7))
		stall_off(s);
	else
		err = stall_on(s, text);
	mutex_unlock(&stall_lock);
	return err ?: len;
}

static int stall_show(struct seq_file *m, void *v)
{
	struct stall *s = m->private;

	seq_printf(m, "%s\n", stall_names[READ_ONCE(s->state)]);
	return 0;
}

DEFINE_SHOW_STORE_ATTRIBUTE(stall);

static int grace_set(void *data, u64 val)
{
	synchronize_rcu();
	if (val)
		synchronize_rcu_tasks_trace();
	return 0;
}
DEFINE_DEBUGFS_ATTRIBUTE(grace_fops, NULL, grace_set, "%llu\n");

/* For a start that failed. */
static void __init stop_all(void)
{
	int i;

	debugfs_remove(dir);
	for (i = 0; i < ARRAY_SIZE(fail_points); i++)
		if (fail_points[i].probe.symbol_name)
			unregister_kprobe(&fail_points[i].probe);
	nmi_end();
}

static int __init bpf_async_test_init(void)
{
	static const enum bpf_prog_type types[] = {
		BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_TRACING, BPF_PROG_TYPE_SYSCALL,
	};
	int err, i;

	err = nmi_init();
	if (err)
		return err;
	dir = debugfs_create_dir("bpf_async_test", NULL);
	for (i = 0; !err && i < ARRAY_SIZE(fail_points); i++)
		err = fail_init(&fail_points[i]);
	for (i = 0; !err && i < ARRAY_SIZE(types); i++)
		err = register_btf_kfunc_id_set(types[i], &kfunc_set);
	if (!err)
		err = back_init();
	if (err) {
		stop_all();
		return err;
	}
	for (i = 0; i < ARRAY_SIZE(stalls); i++)
		debugfs_create_file(stalls[i].file, 0600, dir, &stalls[i], &stall_fops);
	debugfs_create_file("grace", 0200, dir, NULL, &grace_fops);
	debugfs_create_atomic_t("expired", 0400, dir, &expired);
	return 0;
}
module_init(bpf_async_test_init);

MODULE_DESCRIPTION("Test module for bpf_timer and bpf_wq");
MODULE_LICENSE("GPL");
