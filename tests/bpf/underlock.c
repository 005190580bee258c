// SPDX-License-Identifier: GPL-2.0
/*
 * H34: the last reference to a program is dropped with interrupts on, under a
 * lock that putting it takes: while another program is being loaded, when the
 * kernel gives it its number.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "regress.h"
#include "underlock.skel.h"

#define LOADS	80	/* more than the slots of a node of the idr: one is allocated meanwhile */
#define CPU	1

/* The same in underlock.bpf.c. */
enum { MODE_OFF, TIMER_SET, TIMER_CANCEL, WORK_SET, DELETE };

static const struct {
	u32 op;
	int want;
	const char *name;
} ways[] = {
	{ TIMER_SET, 0, "set_callback of a timer" },
	{ WORK_SET, 0, "set_callback of a work item" },
	{ TIMER_CANCEL, 1, "cancel" },
	{ DELETE, 0, "delete" },
};

struct loader {
	struct underlock_bpf *sk;
	pthread_t thread;
	u32 op;
	int failed;
	volatile bool over;
};

static bool hangs;

/* Small programs, of which each has a number of its own. */
static void *load_many(void *arg)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct loader *l = arg;
	int i, fds[LOADS];

	l->sk->bss->task = syscall(SYS_gettid);
	l->sk->bss->on = l->op;
	for (i = 0; i < LOADS; i++) {
		fds[i] = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", insns, 2, NULL);
		l->failed += fds[i] < 0;
	}
	l->sk->bss->on = MODE_OFF;
	for (i = 0; i < LOADS; i++)
		close(fds[i]);
	l->over = true;
	return NULL;
}

/* A program that only the callback in the element keeps; its number. */
static u32 owner(struct underlock_bpf *sk, bool wq)
{
	struct underlock_bpf *o = underlock_bpf__open();
	u32 id = 0;

	if (!o)
		return 0;
	bpf_program__set_autoload(o->progs.on_alloc, false);
	if (!bpf_map__reuse_fd(o->maps.kept, bpf_map__fd(sk->maps.kept)) &&
	    !underlock_bpf__load(o) && !run_prog(bpf_program__fd(o->progs.own), wq))
		id = prog_id(bpf_program__fd(o->progs.own));
	underlock_bpf__destroy(o);
	rcu_wait();
	return id;
}

static const char *drop(struct underlock_bpf *sk, int way)
{
	static struct loader l;	/* stays, when the thread does */
	const char *what = ways[way].name;
	u32 id = owner(sk, ways[way].op == WORK_SET);

	l = (struct loader){ .sk = sk, .op = ways[way].op };
	if (!id || !prog_exists(id))
		return fail("%s: no program that a callback alone keeps", what);
	sk->bss->hits = 0;
	sk->bss->ret = -1;
	l.thread = thread_on(CPU, load_many, &l);
	hangs = !WAIT_UNTIL(l.over, 20);
	if (hangs)
		return lost("%s under prog_idr_lock: the load that has it does not go on", what);
	pthread_join(l.thread, NULL);
	if (l.failed)
		return fail("%s: %d programs were not loaded", what, l.failed);
	if (sk->bss->hits != 1 || sk->bss->ret != ways[way].want)
		return fail("%s: done %llu times under the lock, answered %d", what,
			    sk->bss->hits, sk->bss->ret);
	if (!WAIT_UNTIL((rcu_wait(), !prog_exists(id)), 20))
		return fail("%s: the program stayed", what);
	return NULL;
}

static const char *h34(int seconds)
{
	struct underlock_bpf *sk = underlock_bpf__open_and_load();
	const char *err = NULL;
	int i;

	if (!sk)
		return fail("cannot load underlock.bpf.o");
	pin_cpu(0);
	sk->links.on_alloc = bpf_program__attach(sk->progs.on_alloc);
	if (!sk->links.on_alloc)
		err = fail("cannot trace allocations");
	for (i = 0; i < (int)(sizeof(ways) / sizeof(ways[0])) && !err; i++)
		err = drop(sk, i);
	if (!hangs)
		underlock_bpf__destroy(sk);
	return err;
}

const struct test underlock_tests[] = {
	{ "H34", h34, "a program's last reference dropped under a lock that the put takes",
	  .own_boot = true, .one_thread = true,
	  .c_says = "does not go on|hard LOCKUP|soft lockup|stall|time limit" },
	{}
};
