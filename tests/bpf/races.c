// SPDX-License-Identifier: GPL-2.0
/*
 * H4, H5, H6, H15, H17: what only a race shows. Several CPUs loop over
 * scripts on the same elements for some seconds; then every step must have
 * succeeded some times, in the context that was asked for, and nothing may be
 * left when it is unloaded.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "regress.h"

#define FAR	3600000000000ULL
#define RACERS	4
#define LEAST	10	/* a step that succeeds less often has shown nothing */
#define PATIENCE	20	/* times as long, on a slow machine, until all have */

struct racer {
	int prog, context;
	struct step s[STEPS];
};

/* A racer in its thread, and how often each of its steps succeeded. */
struct race {
	const struct racer *racer;
	struct script_bpf *sk;
	struct script *sc;
	int nr, cpu, err;
	pthread_t thread;
	volatile bool stop;
	volatile unsigned long runs, elsewhere, ok[STEPS];
};

/* A deferred cancel says that it has not been performed yet. */
static bool good(const struct step *s)
{
	return s->ret >= 0 || (s->op == T_CANCEL_ASYNC && s->ret == -ECANCELED);
}

static void *race_thread(void *arg)
{
	static const u32 want[] = { [IRQS_ON] = 0, [IRQS_OFF] = 4, [IN_NMI] = 7 };
	struct race *r = arg;
	int i;

	while (!r->stop && !r->err) {
		r->sc->context = ~0;
		for (i = 0; i < r->sc->n; i++)
			r->sc->s[i].ret = -1;
		r->err = script_exec(r->sk, r->nr, r->racer->prog, r->racer->context);
		r->elsewhere += (r->sc->context & 7) != want[r->racer->context];
		for (i = 0; i < r->sc->n; i++)
			r->ok[i] += good(&r->sc->s[i]);
		r->runs++;
	}
	return NULL;
}

/* The step that succeeded least often. */
static int rarest(const struct race *r)
{
	int i, least = 0;

	for (i = 1; i < r->sc->n; i++)
		if (r->ok[i] < r->ok[least])
			least = i;
	return least;
}

static bool shown(const struct race *r, int n)
{
	while (n && (r[n - 1].err || r[n - 1].ok[rarest(&r[n - 1])] >= LEAST))
		n--;
	return !n;
}

/* Each racer on a CPU of its own; fewer CPUs share. */
static const char *race(struct script_bpf *sk, const struct racer *racers, int n, int seconds)
{
	uint64_t end = now_ns() + seconds * 1000000000ULL;
	struct race r[RACERS] = {};
	const char *err = NULL;
	int i, least, steps;

	for (i = 0; i < n; i++) {
		for (steps = 0; steps < STEPS && racers[i].s[steps].op != OP_NOP; steps++)
			;
		r[i] = (struct race){ .racer = &racers[i], .sk = sk, .nr = i, .cpu = i % cpu_count() };
		r[i].sc = script_put(sk, i, racers[i].s, steps);
		r[i].thread = thread_on(r[i].cpu, race_thread, &r[i]);
	}
	WAIT_UNTIL(now_ns() >= end && shown(r, n), seconds * PATIENCE);
	for (i = 0; i < n; i++) {
		r[i].stop = true;
		pthread_join(r[i].thread, NULL);
		least = rarest(&r[i]);
		say("racer %d: %lu runs, each step succeeded %lu times or more", i, r[i].runs, r[i].ok[least]);
		if (r[i].err)
			err = fail("racer %d: test_run failed: %d", i, r[i].err);
		else if (r[i].elsewhere)
			err = fail("racer %d ran %lu times in another context, at last in %u", i,
				   r[i].elsewhere, r[i].sc->context);
		else if (r[i].ok[least] < LEAST)
			err = fail("racer %d: step %d succeeded %lu times in %lu runs, at last %lld", i,
				   least, r[i].ok[least], r[i].runs, r[i].sc->s[least].ret);
	}
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

	needs_cpus(2);	/* else one racer's init is in the way of the other's */
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
		{ PROG_A, IRQS_ON, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0),
				     STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_B, IRQS_ON, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0),
				     STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_B, IN_NMI, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_A, IRQS_OFF, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
	};
	struct script_bpf *sk = script_load(PROG_B);
	const char *err;

	if (!sk)
		return fail("cannot load script.bpf.o");
	RUN(sk, PROG_A, IRQS_ON, STEP(T_INIT, ARR, 0, .flags = 1), STEP(W_INIT, ARR, 0));
	err = race(sk, racers, 4, seconds);
	script_unload(sk);
	return err;
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

const struct test races_tests[] = {
	{ "H4", h4, "cancel against free of the same timer", .own_boot = true, .seconds = 3 },
	{ "H5", h5, "start against cancel_and_free", .own_boot = true, .seconds = 3 },
	{ "H6", h6, "an array slot used again", .own_boot = true, .seconds = 3 },
	{ "H15", h15, "set_callback storms from two CPUs and NMI", .own_boot = true, .seconds = 3 },
	{ "H17", h17, "set_callback against cancel_and_free", .own_boot = true, .seconds = 3 },
	{}
};
