// SPDX-License-Identifier: GPL-2.0
/*
 * A limit that lies in the hash map. When an element is deleted, its timer is; a
 * program that still has the value can make another one, and nothing deletes
 * that later.
 */
#include "async_helpers.h"
#include "timer_stale.skel.h"

#define GRACE_PERIODS	20	/* of RCU and RCU Tasks Trace: what goes has gone by then */
#define KEYS_TRIED	14

static struct timer_stale *lose(void)
{
	struct timer_stale *skel = timer_stale__open_and_load();

	if (!ASSERT_OK_PTR(skel, "open_and_load"))
		return NULL;
	if (ASSERT_OK(async_run(skel->progs.lose, 0), "run") &&
	    ASSERT_OK(skel->bss->ret, "start a timer of a stale value"))
		return skel;
	timer_stale__destroy(skel);
	return NULL;
}

/* Whether program and map stay when only they have each other. */
static bool leaves(bool *stays)
{
	struct timer_stale *skel = lose();
	__u32 prog, map;
	int i;

	if (!skel)
		return false;
	prog = async_prog_id(skel->progs.lose);
	map = async_map_id(skel->maps.stale);
	timer_stale__destroy(skel);
	*stays = true;
	for (i = 0; i < GRACE_PERIODS && *stays; i++) {
		async_write("grace", "1");
		*stays = async_prog_exists(prog) || async_map_exists(map);
	}
	return !*stays || ASSERT_EQ(async_prog_exists(prog), async_map_exists(map),
				    "program and map stay, or neither");
}

/* Whether another key gets the old timer with the memory. */
static bool inherits(bool *inherited)
{
	struct timer_stale *skel;
	bool ok = false;
	int key;

	async_pin(1);	/* memory that is freed is used again on the same CPU */
	skel = lose();
	if (!skel)
		return false;
	for (key = 2; key < 2 + KEYS_TRIED && skel->bss->again != skel->bss->memory; key++) {
		skel->bss->ret = 1;
		if (!ASSERT_OK(async_run(skel->progs.reuse, key), "add a key"))
			goto out;
	}
	if (!ASSERT_EQ(skel->bss->again, skel->bss->memory, "memory of a new key"))
		goto out;
	*inherited = skel->bss->ret;
	ok = !*inherited || (ASSERT_EQ(skel->bss->ret, -EBUSY, "init of the new key") &&
			     ASSERT_TRUE(async_wait(skel->bss->fired), "the old timer fires") &&
			     ASSERT_EQ(skel->bss->fired_key, key - 1, "key of the call"));
out:
	timer_stale__destroy(skel);
	return ok;
}

/* Each of the two alone would be another limit than the one that is known. */
static void stale(void)
{
	bool stays = false, inherited = false;

	if (!inherits(&inherited) || !leaves(&stays))
		return;
	printf("program and map %s; another key %s\n", stays ? "stay" : "go",
	       inherited ? "inherits the timer" : "has a timer of its own");
	if (stays && inherited) {
		PRINT_FAIL("another key inherits the timer of a stale value, and program and map stay\n");
		return;
	}
	ASSERT_FALSE(stays, "program and map stay");
	ASSERT_FALSE(inherited, "another key inherits the timer");
}

void serial_test_timer_stale_value(void)
{
	if (async_needs_cpus(2))
		async_test(stale);
}
