// SPDX-License-Identifier: GPL-2.0
/*
 * One CPU, with and without an interrupt for what is deferred: H41. The answers
 * are those of the other tests, run here; without the interrupt, what was
 * deferred is performed by the next tick.
 */
#include "async_script_helpers.h"
#include "timer_ticks.skel.h"

#define ROUNDS	100

static bool has_interrupt;

static void within_a_tick(void)
{
	struct timer_ticks *skel = timer_ticks__open_and_load();
	struct timer_ticks__bss *g;
	__u64 most = 0, took;
	int i;

	if (!ASSERT_OK_PTR(skel, "open_and_load") ||
	    !ASSERT_OK(timer_ticks__attach(skel), "attach"))
		goto out;
	g = skel->bss;
	for (i = 0; i < ROUNDS; i++) {
		if (!ASSERT_OK(async_run(skel->progs.start, 0), "start") ||
		    !ASSERT_TRUE(async_wait(g->done), "a deferred start is performed"))
			goto out;
		took = g->performed - g->asked;
		most = took > most ? took : most;
	}
	printf("%d deferred starts, performed at most %llu ticks later\n", ROUNDS, most);
	ASSERT_GT(g->ticks, 0, "ticks");
	ASSERT_LE(most, 1, "ticks until a deferred start is performed");
	/* Otherwise this kernel has the interrupt, and the test shows nothing. */
	if (!has_interrupt)
		ASSERT_GT(most, 0, "starts that waited for a tick");
out:
	timer_ticks__destroy(skel);
}

/* Those that need one CPU only, and that C passes, too. */
static const struct {
	const char *name;
	void (*test)(void);
	void (*script)(struct async_script *sk);
} tests[] = {
	{ "within_a_tick", within_a_tick },
	{ "own_callback", NULL, own_callback },
	{ "never_started", NULL, never_started },
	{ "last_ref", last_ref },
	{ "nothing_left", NULL, everything },
	{ "start_needs_callback", NULL, start_needs_callback },
	{ "cancel_drops_prog", cancel_drops_prog },
	{ "bad_input", NULL, bad_input },
	{ "trace_counts", NULL, trace_counts },
	{ "deferred", NULL, deferred_on_one_cpu },
};

static void one_cpu(void)
{
	int i;

	if (async_nr_cpus() != 1) {
		printf("SKIP: needs a machine with one CPU\n");
		test__skip();
		return;
	}
	for (i = 0; i < ARRAY_SIZE(tests); i++) {
		if (!test__start_subtest(tests[i].name))
			continue;
		if (tests[i].test)
			async_test(tests[i].test);
		else
			script_test(tests[i].script);
	}
}

void serial_test_async_one_cpu(void)
{
	has_interrupt = true;
	one_cpu();
}

/* On x86, where without a local APIC there is no interrupt for an irq_work. */
void serial_test_async_one_cpu_no_irq_work(void)
{
	has_interrupt = false;
	if (async_needs_cmdline("nolapic"))
		one_cpu();
}
