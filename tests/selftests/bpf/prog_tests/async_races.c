// SPDX-License-Identifier: GPL-2.0
/*
 * What only a race shows: H4, H5, H6, H15, H17. Several CPUs loop over scripts
 * on the same elements; then every step must have succeeded some times, in the
 * context that was asked for, and nothing may be left when it is unloaded.
 */
#include "async_script_helpers.h"

#define RACERS	4
#define RUNS	20000	/* of each racer, at least */
#define LEAST	10	/* a step that succeeds less often has shown nothing */

struct racer {
	int prog, context;
	struct step s[STEPS];
};

/* A racer in its thread, and how often each of its steps succeeded. */
struct race {
	const struct racer *racer;
	struct async_script *sk;
	struct script *sc;
	int nr, err;
	pthread_t thread;
	volatile bool stop;
	volatile unsigned long runs, elsewhere, ok[STEPS];
};

/* A deferred cancel says that it has not been performed yet. */
static bool succeeded(const struct step *s)
{
	return s->ret >= 0 || (s->op == T_CANCEL_ASYNC && s->ret == -ECANCELED);
}

static void *race_thread(void *arg)
{
	static const __u32 want[] = { [IRQS_ON] = 0, [IRQS_OFF] = 4, [IN_NMI] = 7 };
	struct race *r = arg;
	int i;

	while (!r->stop && !r->err) {
		r->sc->context = ~0;
		for (i = 0; i < r->sc->n; i++)
			r->sc->s[i].ret = -1;
		r->err = script_exec(r->sk, r->nr, r->racer->prog, r->racer->context);
		r->elsewhere += (r->sc->context & 7) != want[r->racer->context];
		for (i = 0; i < r->sc->n; i++)
			r->ok[i] += succeeded(&r->sc->s[i]);
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
	for (; n--; r++)
		if (!r->err && (r->runs < RUNS || r->ok[rarest(r)] < LEAST))
			return false;
	return true;
}

/* On one CPU nothing is concurrent, and racers keep each other from succeeding. */
static void race_test(void (*test)(void))
{
	if (async_needs_cpus(2))
		async_test(test);
}

/* Each racer on a CPU of its own; fewer CPUs share. */
static void race(struct async_script *sk, const struct racer *racers, int n)
{
	struct race r[RACERS] = {};
	int i, least, steps;

	for (i = 0; i < n; i++) {
		for (steps = 0; steps < STEPS && racers[i].s[steps].op != OP_NOP; steps++)
			;
		r[i] = (struct race){ .racer = &racers[i], .sk = sk, .nr = i };
		r[i].sc = script_put(sk, i, racers[i].s, steps);
		r[i].thread = async_thread(i % async_nr_cpus(), race_thread, &r[i]);
	}
	/* Some times as long as for one event. */
	for (i = 0; i < 8 && !async_wait(shown(r, n)); i++)
		;
	for (i = 0; i < n; i++) {
		r[i].stop = true;
		pthread_join(r[i].thread, NULL);
		least = rarest(&r[i]);
		printf("racer %d: %lu runs, each step succeeded %lu times or more\n", i,
		       r[i].runs, r[i].ok[least]);
		ASSERT_OK(r[i].err, "test_run");
		if (!ASSERT_EQ(r[i].elsewhere, 0, "runs in another context"))
			printf("the last one in %u\n", r[i].sc->context);
		if (!ASSERT_GE(r[i].ok[least], LEAST, "successes of a step"))
			printf("step %d, at last %lld\n", least, r[i].sc->s[least].ret);
	}
}

/* Set up an element and arm it at once; tear it down. */
#define UP(m, k)	STEP(T_INIT, m, k, .flags = 1), STEP(T_SET, m, k), \
			STEP(T_START, m, k, .nsecs = 0)
#define DOWN(m, k)	STEP((m) == ARR ? OP_UPDATE : OP_DELETE, m, k), STEP(OP_UPDATE, m, k)

static void cancel_free(void)
{
	static const struct racer racers[] = {
		{ PROG_A, IRQS_ON, { UP(HASH, 0), UP(ARR, 0) } },
		{ PROG_A, IRQS_ON, { STEP(T_CANCEL, HASH, 0), STEP(T_CANCEL, ARR, 0) } },
		{ PROG_B, IRQS_ON, { STEP(T_CANCEL, HASH, 0), STEP(T_CANCEL, ARR, 0) } },
		{ PROG_A, IRQS_ON, { DOWN(HASH, 0), DOWN(ARR, 0) } },
	};
	struct async_script *sk = script_load(PROG_A);

	if (sk)
		race(sk, racers, ARRAY_SIZE(racers));
	script_unload(sk);
}

void serial_test_timer_cancel_free_race(void)
{
	race_test(cancel_free);
}

static void start_free(void)
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
	struct async_script *sk = script_load(PROG_A);

	if (sk)
		race(sk, racers, ARRAY_SIZE(racers));
	script_unload(sk);
}

void serial_test_timer_start_free_race(void)
{
	race_test(start_free);
}

static void slot_reuse(void)
{
	const struct racer racers[] = {
		{ PROG_A, IRQS_ON, { DOWN(ARR, 0), UP(ARR, 0), STEP(W_INIT, ARR, 0),
				     STEP(W_SET, ARR, 0), STEP(W_START, ARR, 0) } },
		{ PROG_B, async_can_init_atomic() ? IRQS_OFF : IRQS_ON,
				    { DOWN(ARR, 0), UP(ARR, 0), STEP(W_INIT, ARR, 0),
				      STEP(W_SET, ARR, 0), STEP(W_START, ARR, 0) } },
		{ PROG_A, IRQS_ON, { STEP(T_SET, ARR, 0), STEP(T_START, ARR, 0, .nsecs = FAR),
				     STEP(T_CANCEL, ARR, 0), STEP(W_START, ARR, 0) } },
		{ PROG_B, IN_NMI, { STEP(T_SET, ARR, 0), STEP(T_START, ARR, 0, .nsecs = 100),
				    STEP(T_CANCEL_ASYNC, ARR, 0), STEP(W_START, ARR, 0) } },
	};
	struct async_script *sk = script_load(PROG_B);

	if (sk)
		race(sk, racers, ARRAY_SIZE(racers));
	script_unload(sk);
}

void serial_test_async_slot_reuse_race(void)
{
	race_test(slot_reuse);
}

static void set_callback_storm(void)
{
	static const struct racer racers[] = {
		{ PROG_A, IRQS_ON, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0),
				     STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_B, IRQS_ON, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0),
				     STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_B, IN_NMI, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
		{ PROG_A, IRQS_OFF, { STEP(T_SET, ARR, 0), STEP(W_SET, ARR, 0) } },
	};
	struct async_script *sk = script_load(PROG_B);

	if (sk) {
		RUN(sk, PROG_A, IRQS_ON, STEP(T_INIT, ARR, 0, .flags = 1), STEP(W_INIT, ARR, 0));
		race(sk, racers, ARRAY_SIZE(racers));
	}
	script_unload(sk);
}

void serial_test_async_set_callback_storm(void)
{
	race_test(set_callback_storm);
}

static void set_callback_free(void)
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
	struct async_script *sk = script_load(PROG_B);

	if (sk)
		race(sk, racers, ARRAY_SIZE(racers));
	script_unload(sk);
}

void serial_test_async_set_callback_free_race(void)
{
	race_test(set_callback_free);
}
