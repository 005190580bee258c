// SPDX-License-Identifier: GPL-2.0
/* What a running callback of a bpf_wq uses must stay: H1, H2. */
#include <sys/mman.h>

#include "async_helpers.h"
#include "wq_uaf.skel.h"

#define GRACE_PERIODS	10

/*
 * After each of some grace periods the callback must be seen to have gone on.
 * The kernel frees a program or map after one, and a work item later.
 */
static bool callback_goes_on(struct wq_uaf__bss *g)
{
	__u64 before;
	int i;

	for (i = 0; i < GRACE_PERIODS; i++) {
		async_sync_rcu();
		before = g->ticks;
		if (!ASSERT_TRUE(async_wait(g->ticks > before + 1000 || g->broken),
				 "the callback goes on") ||
		    !ASSERT_EQ(g->broken, 0, "the value changed under the callback"))
			return false;
	}
	return true;
}

static bool callback_ends(struct wq_uaf__bss *g)
{
	g->stop = 1;
	return ASSERT_TRUE(async_wait(g->ended == g->begun), "the callback ends") &&
	       ASSERT_EQ(g->broken, 0, "the value changed under the callback");
}

static void prog_uaf(void)
{
	/*
	 * A bystander keeps the JIT's page in use, as on any real machine, so
	 * that text which is freed is overwritten with int3, not unmapped.
	 */
	struct wq_uaf *bystander = wq_uaf__open_and_load();
	struct wq_uaf *skel = wq_uaf__open_and_load();
	struct wq_uaf__bss *g = MAP_FAILED;
	__u32 id;

	if (!ASSERT_OK_PTR(skel, "open_and_load") ||
	    !ASSERT_OK_PTR(bystander, "open_and_load"))
		goto out;
	/* The globals are kept alive by a mapping of our own. */
	g = mmap(NULL, sysconf(_SC_PAGESIZE), PROT_READ | PROT_WRITE, MAP_SHARED,
		 bpf_map__fd(skel->maps.bss), 0);
	if (!ASSERT_NEQ(g, MAP_FAILED, "map the globals"))
		goto out;
	id = async_prog_id(skel->progs.arm_plain);
	async_run(skel->progs.arm_plain, 0);
	if (!ASSERT_OK(g->result, "arm the wq") ||
	    !ASSERT_TRUE(async_wait(g->begun), "the callback begins"))
		goto out;

	/* Close the program and the map under it. */
	wq_uaf__destroy(skel);
	skel = NULL;
	if (!callback_goes_on(g) ||
	    !ASSERT_TRUE(async_prog_exists(id), "the program is there while its callback runs") ||
	    !callback_ends(g))
		goto out;
	ASSERT_TRUE(async_wait_rcu(!async_prog_exists(id)), "the program goes after its callback");
out:
	if (g != MAP_FAILED) {
		g->stop = 1;
		munmap(g, sysconf(_SC_PAGESIZE));
	}
	wq_uaf__destroy(skel);
	wq_uaf__destroy(bystander);
}

static void inner_map_uaf(void)
{
	struct wq_uaf *skel = wq_uaf__open_and_load();
	struct wq_uaf__bss *g;
	int key = 0;
	__u32 id;

	if (!ASSERT_OK_PTR(skel, "open_and_load"))
		return;
	g = skel->bss;
	id = async_map_id(skel->maps.inner);
	async_run(skel->progs.arm_inner, 0);
	if (!ASSERT_OK(g->result, "arm the wq") ||
	    !ASSERT_TRUE(async_wait(g->begun), "the callback begins"))
		goto out;

	/* The outer map and the loader held it: both let go, the program stays. */
	if (!ASSERT_OK(bpf_map_delete_elem(bpf_map__fd(skel->maps.outer), &key),
		       "remove the inner map") ||
	    !async_drop_map(skel->maps.inner, skel->maps.bss))
		goto out;
	if (!callback_goes_on(g) ||
	    !ASSERT_TRUE(async_map_exists(id), "the map is there while the callback uses it") ||
	    !callback_ends(g))
		goto out;
	ASSERT_TRUE(async_wait_rcu(!async_map_exists(id)), "the map goes after the callback");
out:
	g->stop = 1;
	wq_uaf__destroy(skel);
}

void serial_test_wq_prog_uaf(void)
{
	async_test(prog_uaf);
}

/* Memory that is freed is seen where it is cleared at once. */
void serial_test_wq_inner_map_uaf(void)
{
	if (async_needs_cmdline("init_on_free=1"))
		async_test(inner_map_uaf);
}
