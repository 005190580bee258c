// SPDX-License-Identifier: GPL-2.0
/*
 * Starts that cause starts, each of a timer that did not exist before: H37. On
 * PREEMPT_RT no such start can cause another one, as its init is refused.
 */
#include "async_helpers.h"
#include "timer_renew.skel.h"

#define CPU		1
#define CHAIN_LIMIT	1000
#define ROUNDS		50

static void renew(void)
{
	static const char *const names[] = { "hrtimer_start_range_ns", NULL };
	struct timer_renew *skel = timer_renew__open_and_load();
	bool atomic = async_can_init_atomic();
	struct timer_renew__bss *g;
	struct async_function f;
	struct bpf_program *p[2];
	int i;

	if (!ASSERT_OK_PTR(skel, "open_and_load"))
		return;
	g = skel->bss;
	g->limit = CHAIN_LIMIT;
	p[0] = skel->progs.start;
	p[1] = skel->progs.start_inline;
	async_pin(CPU);
	if (!ASSERT_EQ(async_run(skel->progs.start, 0), atomic ? 0 : -ENOMEM, "start") ||
	    !ASSERT_GT(async_find_functions(names, &f, 1), 0, names[0]))
		goto out;
	skel->links.on_start = async_can_init_in_nmi() ?
			       async_break_at(skel->progs.on_start, f.addr, CPU) :
			       bpf_program__attach(skel->progs.on_start_debug);
	if (!ASSERT_OK_PTR(skel->links.on_start, "attach"))
		goto out;
	for (i = 0; i < ROUNDS && g->longest < CHAIN_LIMIT; i++)
		if (!ASSERT_EQ(async_run(p[i & 1], 0), atomic || i & 1 ? 0 : -ENOMEM, "start"))
			goto out;
	g->on = 0;
	printf("%lu starts seen in %d rounds, the longest chain %lu, %lu refused, at last %d\n",
	       g->hits, i, g->longest, g->refused, g->last_ret);
	if (!atomic) {
		if (ASSERT_GE(g->hits, ROUNDS / 2, "starts are seen"))
			ASSERT_EQ(g->refused, g->hits, "refused in them");
		goto out;
	}
	if (!ASSERT_TRUE(g->hits >= ROUNDS || g->longest >= CHAIN_LIMIT, "starts are seen") ||
	    !ASSERT_GT(g->longest, 0, "starts that caused another one") ||
	    !ASSERT_LT(g->longest, CHAIN_LIMIT, "starts that other starts caused, each of a new object"))
		goto out;
	bpf_link__destroy(skel->links.on_start);
	skel->links.on_start = NULL;
	if (ASSERT_OK(async_run(skel->progs.start, 0), "start again"))
		ASSERT_EQ(async_run(skel->progs.is_armed, 0), 1, "the timer is armed");
out:
	timer_renew__destroy(skel);
}

void serial_test_timer_start_renewed(void)
{
	if (async_needs_cpus(2))
		async_test(renew);
}
