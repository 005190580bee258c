// SPDX-License-Identifier: GPL-2.0
/*
 * An NMI at one instruction after the other of each operation but init, and of
 * what queues and performs the deferred ones; in it another program works on the
 * same element.
 */
#include <fnmatch.h>

#include "async_script_helpers.h"

#define CPU	1
#define INNER	1	/* the script in the NMI */
#define HITS	40	/* of each function */

/*
 * Where an operation, or what performs it later, spends its instructions. Not
 * what only another CPU's operation leads to (settling what it has queued, or a
 * newer one while one is performed).
 */
#define RUST_QUEUE	"_R*8deferred13store_and_add", "bpf_async_irq_work", "_R*8deferred*3Cpu5drain", \
			"_R*8deferred*3Cpu13drain_objects"
#define RUST_SLOT(type)	"_R*4Slot*" type "*ProgCallbackE5defer*", \
			"_R*4Slot*" type "*ProgCallbackE13free_detached*"
#define TIMER		"bpf_timer_set_callback", "bpf_timer_start", "bpf_timer_cancel",	\
			"bpf_timer_cancel_async", "bpf_timer_cancel_and_free"
#define WORK		"bpf_wq_set_callback", "bpf_wq_start", "bpf_wq_cancel_and_free"
#define C_COMMON	"bpf_async_update_prog_callback", "__bpf_async_set_callback",		\
			"bpf_async_schedule_op", "bpf_async_irq_worker", "bpf_async_process_op", \
			"bpf_async_cancel_and_free"

/* What the CPU is at: two lives, one of which ends with the object started. */
static const struct step timer_started[] = {
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR), STEP(T_CANCEL_ASYNC, HASH, 0),
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR), STEP(T_CANCEL, HASH, 0),
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR),
};
static const struct step timer_ended[] = {
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR), STEP(T_CANCEL, HASH, 0),
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR), STEP(OP_DELETE, HASH, 0),
};
static const struct step work_started[] = {
	STEP(W_SET, HASH, 0), STEP(W_SET, HASH, 0), STEP(W_START, HASH, 0),
};
static const struct step work_ended[] = {
	STEP(W_SET, HASH, 0), STEP(W_START, HASH, 0), STEP(OP_DELETE, HASH, 0),
};

/* What comes in the NMI. */
static const struct step timer_inner[] = {
	STEP(T_SET, HASH, 0), STEP(T_START, HASH, 0, .nsecs = FAR),
	STEP(T_CANCEL_ASYNC, HASH, 0), STEP(OP_DELETE, HASH, 0),
};
static const struct step work_inner[] = {
	STEP(W_SET, HASH, 0), STEP(W_START, HASH, 0), STEP(OP_DELETE, HASH, 0),
};
#define MAX_INNERS	ARRAY_SIZE(timer_inner)

/* A kind of object. Each of the functions of Rust must be there; a C compiler inlines some. */
static const struct kind {
	const char *const *rust_places, *const *c_places;
	int least_c, started_steps, ended_steps, inners;
	const struct step *started, *ended, *inner;
	struct step init;
} timer_kind = {
	.rust_places = (const char *const[]){
		TIMER, "bpf_async_timer_set_callback", "bpf_async_timer_start",
		"bpf_async_timer_cancel", "_R*5Timer11cancel_sync*ProgCallback*",
		"bpf_async_timer_cancel_async", "bpf_async_timer_cancel_and_free",
		RUST_SLOT("5Timer"), RUST_QUEUE, NULL },
	.c_places = (const char *const[]){ TIMER, C_COMMON, NULL },
	.least_c = 8,
	.started = timer_started, .started_steps = ARRAY_SIZE(timer_started),
	.ended = timer_ended, .ended_steps = ARRAY_SIZE(timer_ended),
	.inner = timer_inner, .inners = ARRAY_SIZE(timer_inner),
	.init = STEP(T_INIT, HASH, 0, .flags = 1),
}, work_kind = {
	.rust_places = (const char *const[]){
		WORK, "bpf_async_wq_set_callback", "bpf_async_wq_start",
		"bpf_async_wq_cancel_and_free", RUST_SLOT("8WorkItem"), RUST_QUEUE, NULL },
	.c_places = (const char *const[]){ WORK, C_COMMON, NULL },
	.least_c = 6,
	.started = work_started, .started_steps = ARRAY_SIZE(work_started),
	.ended = work_ended, .ended_steps = ARRAY_SIZE(work_ended),
	.inner = work_inner, .inners = ARRAY_SIZE(work_inner),
	.init = STEP(W_INIT, HASH, 0),
};

#define MAX_PLACES	40

struct count {
	int hits;		/* NMIs that came where they should */
	int at[MAX_PLACES];	/* the same for each function */
	int done[MAX_INNERS];	/* of which the operation was done, or queued */
};

static bool came_by(void)
{
	char text[32];

	return !async_read("stall", text, sizeof(text)) && !strcmp(text, "released");
}

/* The answers that an operation can give when another one comes in between. */
static bool fine(const struct step *s)
{
	switch (s->ret) {
	case 0: case 1: case -ENOENT: case -EINVAL: case -EPERM: case -ECANCELED: case -EDEADLK:
		return true;
	case -EOPNOTSUPP:	/* with interrupts disabled */
		return s->op == T_CANCEL;
	}
	return false;
}

/* What was started last, and neither cancelled nor freed since, fires or is armed. */
static bool is_started(struct async_script *sk, const struct kind *kind)
{
	if (kind == &timer_kind)
		return ASSERT_EQ(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 0)), 1,
				 "armed by the start that answered 0");
	return ASSERT_TRUE(async_wait(element(sk, HASH, 0)->w_begun),
			   "a run after the start that answered 0");
}

/* One life, with one operation in an NMI at one instruction of it. */
static bool once(struct async_script *sk, const struct kind *kind, const char *where, int context,
		 int n, struct count *count, int place)
{
	const struct step *inner = &kind->inner[n];
	bool starts = inner->op != T_CANCEL_ASYNC && inner->op != OP_DELETE;
	const struct step *life = starts ? kind->started : kind->ended;
	int i, err, steps = starts ? kind->started_steps : kind->ended_steps;
	struct script *in, *out;
	bool ok = false;
	char text[320];

	RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, HASH, 0), kind->init);
	in = script_put(sk, INNER, inner, 1);
	snprintf(text, sizeof(text), "nmi=%d %s %d", INNER, where, CPU);
	err = async_write("stall", text);
	if (async_no_place(err))
		return true;
	if (!ASSERT_OK(err, where))
		return false;
	out = script_put(sk, 0, life, steps);
	memset(element(sk, HASH, 0), 0, sizeof(struct element));
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
		if (!fine(&out->s[i])) {
			PRINT_FAIL("step %d answers %lld\n", i, out->s[i].ret);
			goto out;
		}
	if (!fine(&in->s[0])) {
		PRINT_FAIL("in the NMI: %lld\n", in->s[0].ret);
		goto out;
	}
	count->done[n] += in->s[0].ret >= 0 || in->s[0].ret == -ECANCELED;
	ok = !starts || out->s[steps - 1].ret || is_started(sk, kind);
out:
	if (!ok)
		printf("NMI at %s\n", where);
	async_stall_end(0);
	one(sk, PROG_A, STEP(OP_DELETE, HASH, 0));
	return ok;
}

/* Instructions of each function, each in one of the contexts and with one of the operations. */
static bool sweep(struct async_script *sk, const struct kind *kind, const struct async_function *f,
		  int n, int round, struct count *count)
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
			if (!once(sk, kind, where, k & 1 ? IRQS_OFF : IRQS_ON, k / 2 % kind->inners,
				  count, i))
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

/* Whether each of them is among the functions that were found. */
static bool all_found(const char *const *names, const struct async_function *f, int n)
{
	int i;

	for (; *names; names++) {
		for (i = 0; i < n && fnmatch(*names, f[i].name, 0); i++)
			;
		if (!ASSERT_LT(i, n, *names))
			return false;
	}
	return true;
}

static void nmi_everywhere(struct async_script *sk, const struct kind *kind)
{
	const char *const *places = async_is_rust() ? kind->rust_places : kind->c_places;
	struct async_function f[MAX_PLACES];
	struct count count = {};
	int n, i, round, rounds = 2 * kind->inners;	/* each everywhere in either context */

	n = async_find_functions(places, f, MAX_PLACES);
	if (async_is_rust() ? !all_found(places, f, n) :
	    !ASSERT_GE(n, kind->least_c, "functions of a known name"))
		return;
	async_pin(CPU);
	for (round = 0; round < rounds && less_than(HITS, &count, n) < n; round++)
		if (!sweep(sk, kind, f, n, round, &count))
			return;
	printf("%d NMIs in %d functions, %d rounds\n", count.hits, n, round);
	i = less_than(1, &count, n);
	if (!ASSERT_EQ(i, n, "functions in which an NMI came"))
		printf("none in %s\n", f[i].name);
	for (i = 0; i < kind->inners; i++)
		ASSERT_GT(count.done[i], 0, "operations of one kind that were done in an NMI");
}

static void timer(void)
{
	struct async_script *sk = script_load(PROG_B);

	if (sk)
		nmi_everywhere(sk, &timer_kind);
	script_unload(sk);
}

static void work(void)
{
	struct async_script *sk = script_load(PROG_B);

	if (sk)
		nmi_everywhere(sk, &work_kind);
	script_unload(sk);
}

void serial_test_async_nmi_everywhere(void)
{
	if (!async_needs_cpus(2))
		return;
	async_test(timer);
	async_test(work);
}
