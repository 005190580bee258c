// SPDX-License-Identifier: GPL-2.0
/*
 * H41: one CPU, with and without an interrupt for what is deferred. The answers
 * are those of the other cases, run here; without the interrupt, what was
 * deferred is performed by the next tick.
 */
#include <bpf/bpf.h>

#include "regress.h"
#include "small.skel.h"

#define ROUNDS	100

static const char *within_a_tick(bool has_interrupt)
{
	struct small_bpf *sk = small_bpf__open_and_load();
	struct small_bpf__bss *g;
	const char *err = NULL;
	u64 most = 0, took;
	int i, ret;

	CHECK(sk && !small_bpf__attach(sk), "cannot load small.bpf.o");
	g = sk->bss;
	for (i = 0; i < ROUNDS; i++) {
		ret = run_prog(bpf_program__fd(sk->progs.start), 0);
		CHECK(!ret, "start: %d", ret);
		CHECK(WAIT_UNTIL(g->done, 10), "a deferred start is not performed");
		took = g->performed - g->asked;
		most = took > most ? took : most;
	}
	say("%d deferred starts, performed at most %llu ticks later", ROUNDS, most);
	CHECK(g->ticks, "no tick was seen");
	CHECK(most <= 1, "a deferred start is performed %llu ticks later", most);
	/* Otherwise this kernel has the interrupt, and the case shows nothing. */
	CHECK(has_interrupt || most, "no start waited for a tick");
out:
	small_bpf__destroy(sk);
	return err;
}

static const char *answers(bool has_interrupt)
{
	/* Those that need one CPU only, and that C passes, too. */
	static const char *const names[] = { "H7", "H18", "H19", "H21", "H23", "H25", "H28", "H40" };
	struct counts before;
	const char *err;
	size_t i;

	if (cpu_count() != 1)
		return fail("there are %d CPUs", cpu_count());
	TRY(within_a_tick(has_interrupt));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		before = count_all();
		err = find_test(names[i])->run(0) ?: nothing_left(before);
		say("%s on one CPU: %s", names[i], err ?: "the same");
		TRY(err);
	}
	return one_cpu_answers();
}

static const char *h41(int s) { return answers(false); }
static const char *h41_apic(int s) { return answers(true); }

const struct test small_tests[] = {
	{ "H41", h41, "no irq_work interrupt and one CPU: the same answers, within a tick",
	  .append = "nolapic", .cpus = 1, .own_boot = true },
	{ "H41-apic", h41_apic, "one CPU: the same answers", .cpus = 1, .own_boot = true },
	{}
};
