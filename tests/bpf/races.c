// SPDX-License-Identifier: GPL-2.0
/*
 * H4, H5, H6, H15, H17, H31: what only a race shows. Several CPUs loop over
 * scripts on the same elements for some seconds; then everything must have
 * gone on, and nothing may be left when it is unloaded.
 */
#include "regress.h"

#define FAR	3600000000000ULL
#define RACERS	4

struct racer {
	int prog, context;
	struct step s[STEPS];
};

static int steps_of(const struct racer *r)
{
	int n = 0;

	while (n < STEPS && r->s[n].op != OP_NOP)
		n++;
	return n;
}

/* Each racer on a CPU of its own; fewer CPUs share. */
static const char *race(struct script_bpf *sk, const struct racer *racers, int n, int seconds)
{
	struct runner r[RACERS] = {};
	const char *err = NULL;
	uint64_t end;
	int i;

	for (i = 0; i < n; i++) {
		r[i] = (struct runner){ .sk = sk, .nr = i, .prog = racers[i].prog,
					.context = racers[i].context,
					.cpu = i % cpu_count(), .loop = true };
		script_put(sk, i, racers[i].s, steps_of(&racers[i]));
		runner_start(&r[i]);
	}
	end = now_ns() + seconds * 1000000000ULL;
	while (now_ns() < end)
		poll_pause();
	for (i = 0; i < n; i++) {
		if (runner_join(&r[i]))
			err = fail("racer %d: test_run failed: %d", i, r[i].err);
		else if (r[i].runs < 10)
			err = fail("racer %d ran only %lu times in %d s", i, r[i].runs, seconds);
	}
	if (!err)
		say("runs: %lu %lu %lu %lu", r[0].runs, r[1].runs, r[2].runs, r[3].runs);
	return err;
}

static const char *race_alone(const struct racer *racers, int n, int nmi, int seconds)
{
	struct script_bpf *sk = script_load(nmi);
	const char *err;

	if (!sk)
		return fail("cannot load script.bpf.o");
	err = race(sk, racers, n, seconds);
	script_unload(sk);
	return err;
}

#define RACE(racers, nmi, seconds) \
	race_alone(racers, sizeof(racers) / sizeof(*(racers)), nmi, seconds)

/* Set up an element and arm it at once; tear it down. */
#define UP(m, k)	STEP(T_INIT, m, k, .flags = 1), STEP(T_SET, m, k), \
			STEP(T_START, m, k, .nsecs = 0)
#define DOWN(m, k)	STEP((m) == ARR ? OP_UPDATE : OP_DELETE, m, k), STEP(OP_UPDATE, m, k)

static const char *h4(int seconds)
{
	static const struct racer racers[] = {
		{ PROG_A, IRQS_ON, { UP(HASH, 0), UP(ARR, 0) } },
		{ PROG_A, IRQS_ON, { STEP(T_CANCEL, HASH, 0), STEP(T_CANCEL, ARR, 0) } },
		{ PROG_B, IRQS_ON, { STEP(T_CANCEL, HASH, 0), STEP(T_CANCEL, ARR, 0) } },
		{ PROG_A, IRQS_ON, { DOWN(HASH, 0), DOWN(ARR, 0) } },
	};

	return RACE(racers, PROG_A, seconds);
}

static const char *h5(int seconds)
{
	static const struct racer racers[] = {
		{ PROG_A, IRQS_ON, { UP(HASH, 0), UP(LRU, 0) } },
		{ PROG_A, IRQS_ON, { STEP(T_START, HASH, 0, .nsecs = 0),
				     STEP(T_START, LRU, 0, .nsecs = 0) } },
		{ PROG_B, IRQS_OFF, { STEP(T_START, HASH, 0, .nsecs = 1000),
				      STEP(T_START, LRU, 0, .nsecs = 1000) } },
		{ PROG_A, IRQS_ON, { DOWN(HASH, 0), STEP(T_INIT, HASH, 0, .flags = 1),
				     DOWN(LRU, 0) } },
	};

	return RACE(racers, PROG_A, seconds);
}

static const char *h6(int seconds)
{
	static const struct racer racers[] = {
		{ PROG_A, IRQS_ON, { DOWN(ARR, 0), UP(ARR, 0), STEP(W_INIT, ARR, 0),
				     STEP(W_SET, ARR, 0), STEP(W_START, ARR, 0) } },
		{ PROG_B, IRQS_OFF, { DOWN(ARR, 0), UP(ARR, 0), STEP(W_INIT, ARR, 0),
				      STEP(W_SET, ARR, 0), STEP(W_START, ARR, 0) } },
		{ PROG_A, IRQS_ON, { STEP(T_SET, ARR, 0), STEP(T_START, ARR, 0, .nsecs = FAR),
				     STEP(T_CANCEL, ARR, 0), STEP(W_START, ARR, 0) } },
		{ PROG_B, IN_NMI, { STEP(T_SET, ARR, 0), STEP(T_START, ARR, 0, .nsecs = 100),
				    STEP(T_CANCEL_ASYNC, ARR, 0), STEP(W_START, ARR, 0) } },
	};

	return RACE(racers, PROG_B, seconds);
}

static const char *h15(int seconds)
{
	static const struct racer racers[] = {
		{ PROG_A, IRQS_ON, { STEP(T_INIT, ARR, 0, .flags = 1), STEP(W_INIT, ARR, 0),
				     STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0),
				     STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_B, IRQS_ON, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0),
				     STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_B, IN_NMI, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_A, IRQS_OFF, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
	};

	return RACE(racers, PROG_B, seconds);
}

static const char *h17(int seconds)
{
	static const struct racer racers[] = {
		{ PROG_A, IRQS_ON, { DOWN(HASH, 0), STEP(T_INIT, HASH, 0, .flags = 1),
				     STEP(W_INIT, HASH, 0), DOWN(ARR, 0),
				     STEP(T_INIT, ARR, 0, .flags = 1), STEP(W_INIT, ARR, 0) } },
		{ PROG_A, IRQS_ON, { STEP(T_SET, HASH, 0), STEP(W_SET, HASH, 0),
				     STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_B, IRQS_OFF, { STEP(T_SET, HASH, 0), STEP(W_SET, HASH, 0),
				      STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_B, IN_NMI, { STEP(T_SET, HASH, 0), STEP(W_SET, HASH, 0),
				    STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
	};

	return RACE(racers, PROG_B, seconds);
}

/* One CPU starts with IRQs off without end: the others' calls must return. */
static const char *h31(int seconds)
{
	static const struct racer racers[] = {
		{ PROG_A, IRQS_OFF, { STEP(T_START, ARR, 0, .nsecs = FAR), STEP(T_START, ARR, 0, .nsecs = FAR),
				      STEP(T_START, ARR, 0, .nsecs = FAR), STEP(T_START, ARR, 0, .nsecs = FAR),
				      STEP(T_START, ARR, 0, .nsecs = FAR), STEP(T_START, ARR, 0, .nsecs = FAR) } },
		{ PROG_A, IRQS_ON, { STEP(T_START, ARR, 0, .nsecs = FAR) } },
		{ PROG_B, IRQS_OFF, { STEP(T_START, ARR, 0, .nsecs = FAR) } },
	};
	struct script_bpf *sk = script_load(PROG_A);
	const char *err;

	if (!sk)
		return fail("cannot load script.bpf.o");
	RUN(sk, PROG_A, IRQS_ON, STEP(T_INIT, ARR, 0, .flags = 1), STEP(T_SET, ARR, 0));
	err = race(sk, racers, 3, seconds);
	script_unload(sk);
	return err;
}

const struct test races_tests[] = {
	{ "H4", h4, "cancel against free of the same timer", .own_boot = true, .seconds = 3 },
	{ "H5", h5, "start against cancel_and_free", .own_boot = true, .seconds = 3 },
	{ "H6", h6, "an array slot used again", .own_boot = true, .seconds = 3 },
	{ "H15", h15, "set_callback storms from two CPUs and NMI", .own_boot = true, .seconds = 3 },
	{ "H17", h17, "set_callback against cancel_and_free", .own_boot = true, .seconds = 3 },
	{ "H31", h31, "endless deferred starts hold nobody up", .own_boot = true, .seconds = 3 },
	{}
};
