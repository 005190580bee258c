// SPDX-License-Identifier: GPL-2.0
/*
 * An NMI at one instruction after the other of every operation, and of what
 * performs the deferred ones; in it another program works on the same element.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gaps.h"

#define CPU		1
#define INNER		1	/* the script in the NMI */
#define FAR		3600000000000ULL

/*
 * Where an operation, or what performs it later, spends its instructions. Not
 * what only another CPU's operation leads to (settling what it has queued, or a
 * newer one while one is performed): that is in the models.
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
static const char *const rust_only[] = { "bpf_async_irq_work", NULL };

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
#define INNERS	(sizeof(inner) / sizeof(inner[0]))
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

	return !module_read("stall", text, sizeof(text)) && !strcmp(text, "released");
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
static const char *once(struct script_bpf *sk, const char *where, int context, int n,
			struct count *count, int place)
{
	bool ends = inner[n].op == OP_DELETE, armed = inner[n].op != T_CANCEL_ASYNC && !ends;
	const struct step *life = armed ? armed_life : ended_life;
	int steps = armed ? 5 : 3;
	struct script *in, *out;
	const char *err = NULL;
	char text[320];
	long ret;
	int i;

	RUN(sk, PROG_A, IRQS_ON, STEP(OP_UPDATE, HASH, 0), STEP(T_INIT, HASH, 0, .flags = 1));
	in = script_put(sk, INNER, &inner[n], 1);
	snprintf(text, sizeof(text), "nmi=%d %s %d", INNER, where, CPU);
	ret = module_write("stall", text);
	if (no_instruction(ret) || ret == -EOPNOTSUPP)
		return NULL;
	CHECK(!ret, "no probe at %s: %ld", where, ret);
	out = script_put(sk, 0, life, steps);
	CHECK(!script_exec(sk, 0, PROG_A, context) && out->runs, "%s: the script did not run", where);
	if (!came_by())
		goto out;
	CHECK(in->runs == 1 && (in->context & 1), "%s: no NMI, runs %u, context %u", where, in->runs,
	      in->context);
	count->hits++;
	count->at[place]++;
	for (i = 0; i < steps; i++)
		CHECK(fine(out->s[i].ret), "NMI at %s: step %d answers %lld", where, i,
		      (long long)out->s[i].ret);
	ret = in->s[0].ret;
	CHECK(fine(ret), "in the NMI at %s: %ld", where, ret);
	count->done[n] += ret >= 0 || ret == -ECANCELED;
	/* No context has cancelled, or freed, after the last start. */
	if (armed && !out->s[4].ret) {
		ret = one(sk, PROG_A, STEP(T_CANCEL_ASYNC, HASH, 0));
		CHECK(ret == 1, "NMI at %s: the start that answered 0 is lost: %ld", where, ret);
	}
out:
	stall_end(0);
	one(sk, PROG_A, STEP(OP_DELETE, HASH, 0));
	return err;
}

/* All instructions, each in one of the contexts and with one of the operations. */
static const char *sweep(struct script_bpf *sk, const struct function *f, int n, int round,
			 uint64_t end, struct count *count)
{
	struct sweep s[MAX_PLACES] = {};
	const char *err = NULL;
	char where[300];
	int i, k, left = n;

	for (i = 0; i < n; i++)
		s[i].f = &f[i];
	/* One instruction of each, then the next of each: no function is left out. */
	while (left && !err) {
		for (i = 0, left = 0; i < n && !err; i++) {
			/* On a slow machine longer, until there was one. */
			if (!next_offset(&s[i], count->at[i] ? end : UINT64_MAX))
				continue;
			left++;
			snprintf(where, sizeof(where), "%s+%u", f[i].name, s[i].offset);
			k = s[i].n + i + round;
			err = once(sk, where, k & 1 ? IRQS_OFF : IRQS_ON, k / 2 % INNERS, count,
				   i);
		}
	}
	return err;
}

/* The first function in which no NMI came; n: there is none. */
static int not_hit(const struct count *count, int n)
{
	int i;

	for (i = 0; i < n && count->at[i]; i++)
		;
	return i;
}

static const char *nmi(int seconds)
{
	uint64_t end = now_ns() + seconds * 1000000000ULL;
	struct script_bpf *sk = script_load(PROG_B);
	struct count count = {};
	const char *err = NULL;
	struct function f[MAX_PLACES];
	int n, i, round, rust;

	CHECK(sk, "cannot load script.bpf.o");
	rust = find_functions(rust_only, f, 1);
	n = find_functions(rust ? rust_places : c_places, f, MAX_PLACES);
	/* The C compiler puts some of them into others. */
	CHECK(n >= (rust ? 10 : 8), "%d of the functions are known in this kernel", n);
	pin_cpu(CPU);
	for (round = 0; round < (int)ROUNDS && !err &&
			(!round || now_ns() < end || not_hit(&count, n) < n); round++)
		err = sweep(sk, f, n, round, end, &count);
	if (err)
		goto out;
	say("%d NMIs in %d functions, %d rounds; in them set %d, start %d, cancel_async %d, delete %d",
	    count.hits, n, round, count.done[0], count.done[1], count.done[2], count.done[3]);
	i = not_hit(&count, n);
	CHECK(i == n, "no NMI came in %s", f[i].name);
	for (i = 0; i < (int)INNERS; i++)
		CHECK(count.done[i], "operation %d was never done in an NMI", i);
out:
	script_unload(sk);
	return err;
}

const struct test nmi_tests[] = {
	{ "nmi", nmi, "an NMI at one instruction after the other, working on the same element",
	  .own_boot = true, .one_thread = true, .seconds = 15 },
	{}
};
