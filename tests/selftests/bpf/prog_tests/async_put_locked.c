// SPDX-License-Identifier: GPL-2.0
/*
 * The last reference to a program is dropped with interrupts on, under a lock
 * that putting it takes: while another program is being loaded, when the kernel
 * gives it its number: H34.
 */
#include <sys/syscall.h>

#include "async_helpers.h"
#include "async_put_locked.skel.h"

#define LOADS	80	/* more than the slots of a node of the idr: one is allocated meanwhile */
#define CPU	1

/* The same in progs/async_put_locked.c. */
enum { MODE_OFF, TIMER_SET, TIMER_CANCEL, WORK_SET, DELETE };

static const struct {
	__u32 op;
	int want;
	const char *name;
} ways[] = {
	{ TIMER_SET, 0, "set_callback of a timer" },
	{ WORK_SET, 0, "set_callback of a work item" },
	{ TIMER_CANCEL, 1, "cancel" },
	{ DELETE, 0, "delete" },
};

struct loader {
	struct async_put_locked *skel;
	pthread_t thread;
	__u32 op;
	int failed;
	volatile bool over;
};

/* Small programs, of which each has a number of its own. */
static void *load_many(void *arg)
{
	const struct bpf_insn insns[] = { BPF_MOV64_IMM(BPF_REG_0, 0), BPF_EXIT_INSN() };
	struct loader *l = arg;
	int i, fds[LOADS];

	l->skel->bss->task = syscall(SYS_gettid);
	l->skel->bss->on = l->op;
	for (i = 0; i < LOADS; i++) {
		fds[i] = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, NULL, "GPL", insns, 2, NULL);
		l->failed += fds[i] < 0;
	}
	l->skel->bss->on = MODE_OFF;
	for (i = 0; i < LOADS; i++)
		close(fds[i]);
	l->over = true;
	return NULL;
}

/* A program that only the callback in the element keeps; its number. */
static __u32 owner(struct async_put_locked *skel, bool wq)
{
	struct async_put_locked *o = async_put_locked__open();
	__u32 id = 0;

	if (!ASSERT_OK_PTR(o, "open"))
		return 0;
	bpf_program__set_autoload(o->progs.on_alloc, false);
	if (ASSERT_OK(bpf_map__reuse_fd(o->maps.kept, bpf_map__fd(skel->maps.kept)), "reuse_fd") &&
	    ASSERT_OK(async_put_locked__load(o), "load") &&
	    ASSERT_OK(async_run(o->progs.own, wq), "set the callback"))
		id = async_prog_id(o->progs.own);
	async_put_locked__destroy(o);
	async_sync_rcu();
	return id;
}

/* False when it failed; hangs when nothing can be taken down either. */
static bool drop(struct async_put_locked *skel, int way, bool *hangs)
{
	static struct loader l;	/* stays, when the thread does */
	__u32 id = owner(skel, ways[way].op == WORK_SET);

	printf("%s under prog_idr_lock\n", ways[way].name);
	l = (struct loader){ .skel = skel, .op = ways[way].op };
	if (!id || !ASSERT_TRUE(async_prog_exists(id), "a callback alone keeps its program"))
		return false;
	skel->bss->hits = 0;
	skel->bss->ret = -1;
	l.thread = async_thread(CPU, load_many, &l);
	*hangs = !ASSERT_TRUE(async_wait(l.over), "the load that has the lock goes on");
	if (*hangs)
		return false;
	pthread_join(l.thread, NULL);
	return ASSERT_EQ(l.failed, 0, "programs that were not loaded") &&
	       ASSERT_EQ(skel->bss->hits, 1, "operations under the lock") &&
	       ASSERT_EQ(skel->bss->ret, ways[way].want, ways[way].name) &&
	       ASSERT_TRUE(async_wait_rcu(!async_prog_exists(id)), "the program goes");
}

static void put_locked(void)
{
	struct async_put_locked *skel = async_put_locked__open_and_load();
	bool hangs = false;
	int i;

	if (!ASSERT_OK_PTR(skel, "open_and_load"))
		return;
	async_pin(0);
	skel->links.on_alloc = bpf_program__attach(skel->progs.on_alloc);
	if (ASSERT_OK_PTR(skel->links.on_alloc, "attach"))
		for (i = 0; i < ARRAY_SIZE(ways); i++)
			if (!drop(skel, i, &hangs))
				break;
	if (!hangs)
		async_put_locked__destroy(skel);
}

void serial_test_async_put_locked(void)
{
	if (async_needs_cpus(2))
		async_test(put_locked);
}
