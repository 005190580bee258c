// SPDX-License-Identifier: GPL-2.0
/*
 * An NMI at one instruction after the other of every operation, and of what
 * performs the deferred ones; in it another program works on the same element.
 */
#include "async_script_helpers.h"

#define CPU	1
#define INNER	1	/* the script in the NMI */
#define HITS	40	/* of each function */

/*
 * Where an operation, or what performs it later, spends its instructions. Not
 * what only another CPU's operation leads to (settling what it has queued, or a
 * newer one while one is performed).
 */
#define BOTH	"bpf_timer_set_callback", "bpf_timer_start", "bpf_timer_cancel_async",	\
		"bpf_timer_cancel_and_free"

static const char *const rust_places[] = {
	BOTH, "bpf_async_timer_set_callback", "bpf_async_timer_start",
	"bpf_async_timer_cancel_async", "bpf_async_timer_cancel_and_free", "bpf_async_irq_work",
	"_R*4Slot*5Timer*ProgCallback*14start_irqs_off*",
	"_R*4Slot*5Timer*ProgCallback*15cancel_irqs_off*", "_R*8deferred5queue",
	"_R*8deferred*3Cpu13drain_objects", "_R*4Slot*5Timer*ProgCallback*13free_detached*",
	"_R*4Slot*14start_deferred*", "_R*15cancel_deferred*", "_R*14enqueue_shared*",
	"_R*Head6put_or*", NULL,
};
static const char *const c_places[] = {
	BOTH, "bpf_async_update_prog_callback", "__bpf_async_set_callback", "bpf_async_schedule_op",
	"bpf_async_irq_worker", "bpf_async_process_op", "bpf_async_cancel_and_free", NULL,
};

/* What the CPU is at: two lives, one of which ends with the timer armed. */
static const struct step armed_life[] = {
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR), STEP(T_CANCEL_ASYNC, HASH, 0),
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR),
};
static const struct step ended_life[] = {
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR), STEP(OP_DELETE, HASH, 0),
};

/* What comes in the NMI. */
static const struct step inner[] = {
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR),
	STEP(T_CANCEL_ASYNC, HASH, 0), STEP(OP_DELETE, HASH, 0),
};
#define INNERS	ARRAY_SIZE(inner)
#define ROUNDS	(2 * INNERS)	/* after which each was everywhere in either context */

#define MAX_PLACES	40

struct count {
	int hits;		/* NMIs that came where they should */
	int at[MAX_PLACES];	/* the same for each function */
	int done[INNERS];	/* of which the operation was done, or queued */
};

static bool came_by(void)
{
	char text[32];

	return !async_read("stall", text, sizeof(text)) && !strcmp(text, "released");
}

/* The answers that an operation can give when another one comes in between. */
static bool fine(long ret)
{
	switch (ret) {
	case 0: case 1: case -ENOENT: case -EINVAL: case -EPERM: case -ECANCELED: case -EDEADLK:
		return true;
	}
	return false;
}

/* One life, with one operation in an NMI at one instruction of it. */
static bool once(struct async_script *sk, const char *where, int context, int n,
		 struct count *count, int place)
{
	bool ends = inner[n].op == OP_DELETE, armed = inner[n].op != T_CANCEL_ASYNC && !ends;
	const struct step *life = armed ? armed_life : ended_life;
	int i, err, steps = armed ? ARRAY_SIZE(armed_life) : ARRAY_SIZE(ended_life);
	struct script *in, *out;
	bool ok = false;
	char text[320];

	RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, HASH, 0), STEP(T_INIT, HASH, 0, .flags = 1));
	in = script_put(sk, INNER, &inner[n], 1);
	snprintf(text, sizeof(text), "nmi=%d %s %d", INNER, where, CPU);
	err = async_write("stall", text);
	if (async_no_place(err))
		return true;
	if (!ASSERT_OK(err, where))
		return false;
	out = script_put(sk, 0, life, steps);
	if (!ASSERT_OK(script_exec(sk, 0, PROG_A, context), "the script runs") ||
	    !ASSERT_GT(out->runs, 0, "runs of the script"))
		goto out;
	ok = !came_by();
	if (ok)
		goto out;
	if (!ASSERT_EQ(in->runs, 1, "NMIs") || !ASSERT_TRUE(in->context & 1, "in an NMI"))
		goto out;
	count->hits++;
	count->at[place]++;
	for (i = 0; i < steps; i++)
		if (!fine(out->s[i].ret)) {
			PRINT_FAIL("step %d answers %lld\n", i, out->s[i].ret);
			goto out;
		}
	if (!fine(in->s[0].ret)) {
		PRINT_FAIL("in the NMI: %lld\n", in->s[0].ret);
		goto out;
	}
	count->done[n] += in->s[0].ret >= 0 || in->s[0].ret == -ECANCELED;
	/* No context has cancelled, or freed, after the last start. */
	ok = !armed || out->s[4].ret ||
	     ASSERT_EQ(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 0)), 1,
		       "armed by the start that answered 0");
out:
	if (!ok)
		printf("NMI at %s\n", where);
	async_stall_end(0);
	one(sk, PROG_A, STEP(OP_DELETE, HASH, 0));
	return ok;
}

/* Instructions of each function, each in one of the contexts and with one of the operations. */
static bool sweep(struct async_script *sk, const struct async_function *f, int n, int round,
		  struct count *count)
{
	struct async_sweep s[MAX_PLACES] = {};
	int i, k, left = n;
	char where[300];

	for (i = 0; i < n; i++)
		s[i].f = &f[i];
	/* One instruction of each, then the next of each: no function is left out. */
	while (left)
		for (i = 0, left = 0; i < n; i++) {
			if (count->at[i] >= HITS || !async_next_offset(&s[i]))
				continue;
			left++;
			snprintf(where, sizeof(where), "%s+%u", f[i].name, s[i].offset);
			k = s[i].n + i + round;
			if (!once(sk, where, k & 1 ? IRQS_OFF : IRQS_ON, k / 2 % INNERS, count, i))
				return false;
		}
	return true;
}

/* The first function with less NMIs than that; n: there is none. */
static int less_than(int hits, const struct count *count, int n)
{
	int i;

	for (i = 0; i < n && count->at[i] >= hits; i++)
		;
	return i;
}

static void nmi_everywhere(void)
{
	struct async_script *sk = script_load(PROG_B);
	bool rust = async_is_rust();
	struct async_function f[MAX_PLACES];
	struct count count = {};
	int n, i, round;

	if (!sk)
		return;
	n = async_find_functions(rust ? rust_places : c_places, f, MAX_PLACES);
	/* The C compiler puts some of them into others. */
	if (!ASSERT_GE(n, rust ? 10 : 7, "functions of a known name"))
		goto out;
	async_pin(CPU);
	for (round = 0; round < (int)ROUNDS && less_than(HITS, &count, n) < n; round++)
		if (!sweep(sk, f, n, round, &count))
			goto out;
	printf("%d NMIs in %d functions, %d rounds; in them set %d, start %d, cancel_async %d, delete %d\n",
	       count.hits, n, round, count.done[0], count.done[1], count.done[2], count.done[3]);
	i = less_than(1, &count, n);
	if (!ASSERT_EQ(i, n, "functions in which an NMI came"))
		printf("none in %s\n", f[i].name);
	for (i = 0; i < (int)INNERS; i++)
		ASSERT_GT(count.done[i], 0, "operations of one kind that were done in an NMI");
out:
	script_unload(sk);
}

void serial_test_async_nmi_everywhere(void)
{
	if (async_needs_cpus(2))
		async_test(nmi_everywhere);
}
