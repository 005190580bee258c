// SPDX-License-Identifier: GPL-2.0
/* H7, H16, H18 to H22, H25: references, memory, and who drops the last. */
#include <errno.h>

#include "regress.h"

#define FAR	3600000000000ULL

#define EXPECT(want, op, map, key, ...) do {					\
	long got_ = one(sk, PROG_A, STEP(op, map, key, __VA_ARGS__));		\
	CHECK(got_ == (want), "line %d: %s answered %ld, not %ld", __LINE__,	\
	      #op, got_, (long)(want));						\
} while (0)

/* The callback of the element does op on element (map, key). */
static struct element *acts(struct script_bpf *sk, int map, int key, u32 op, int on_map, int on_key)
{
	struct element *e = element(sk, map, key);

	e->act_op = op;
	e->act_map = on_map;
	e->act_key = on_key;
	return e;
}

/* Timer and work item of an element whose callbacks act on it themselves. */
static const char *from_own_callback(struct script_bpf *sk, int map, int key, u32 op,
				     long timer_ret, long wq_ret)
{
	struct element *e = acts(sk, map, key, op, map, key);
	const char *err = NULL;
	int wq;

	for (wq = 0; wq < 2; wq++) {
		one(sk, PROG_A, STEP(OP_UPDATE, map, key));
		EXPECT(0, T_INIT, map, key, .flags = 1);
		EXPECT(0, T_SET, map, key);
		EXPECT(0, W_INIT, map, key);
		EXPECT(0, W_SET, map, key);
		e->t_ended = e->w_ended = 0;
		if (wq)
			EXPECT(0, W_START, map, key);
		else
			EXPECT(0, T_START, map, key, .nsecs = 0);
		CHECK(WAIT_UNTIL(wq ? e->w_ended : e->t_ended, 10), "op %u: callback did not end", op);
		CHECK(e->act_ret == (wq ? wq_ret : timer_ret), "op %u in its %s callback: %lld", op,
		      wq ? "wq" : "timer", (long long)e->act_ret);
	}
out:
	return err;
}

static const char *own_callback(struct script_bpf *sk)
{
	TRY(from_own_callback(sk, HASH, 0, T_CANCEL, -EDEADLK, 0));
	TRY(from_own_callback(sk, HASH, 1, OP_DELETE, 0, 0));
	TRY(from_own_callback(sk, ARR, 0, OP_UPDATE, 0, 0));
	TRY(from_own_callback(sk, HASH, 2, OP_UPDATE, 0, 0));
	TRY(from_own_callback(sk, ARR, 1, T_CANCEL_ASYNC, -1, 0));
	return NULL;
}

/* CPU 1 is held inside init, before it allocates, while we run on CPU 0. */
static const char *init_races(struct script_bpf *sk)
{
	struct runner r = { .sk = sk, .nr = 1, .cpu = 1 };
	const char *err = NULL;
	struct step init;
	struct script *sc;
	int wq;

	pin_cpu(0);
	for (wq = 0; wq < 2; wq++) {
		init = wq ? STEP(W_INIT, HASH, 0) : STEP(T_INIT, HASH, 0, .flags = 1);
		sc = script_put(sk, 1, &init, 1);
		TRY(stall("bpf_map_kmalloc_nolock", 1, 0));
		runner_start(&r);
		CHECK(WAIT_UNTIL(stalled(), 10), "init did not get to its allocation");
		CHECK(one(sk, PROG_A, init) == 0, "init on the other CPU");
		stall_release();
		runner_join(&r);
		CHECK(sc->s[0].ret == -EBUSY, "the later init answered %lld",
		      (long long)sc->s[0].ret);
	}
	for (wq = 0; wq < 2; wq++) {
		init = wq ? STEP(W_INIT, HASH, 1) : STEP(T_INIT, HASH, 1, .flags = 1);
		sc = script_put(sk, 1, &init, 1);
		TRY(stall("bpf_map_kmalloc_nolock", 1, 0));
		runner_start(&r);
		CHECK(WAIT_UNTIL(stalled(), 10), "init did not get to its allocation");
		CHECK(drop_map(sk, HASH), "closing the map");
		stall_release();
		runner_join(&r);
		CHECK(sc->s[0].ret == -EPERM, "init after the last user reference: %lld",
		      (long long)sc->s[0].ret);
	}
out:
	stall_release();
	return err;
}

static const char *never_started(struct script_bpf *sk)
{
	const char *err = NULL;
	int map;

	for (map = ARR; map <= LRU; map++) {
		EXPECT(0, W_INIT, map, 0);
		EXPECT(0, W_SET, map, 0);
		one(sk, PROG_A, STEP(map == ARR ? OP_UPDATE : OP_DELETE, map, 0));
		EXPECT(0, W_INIT, map, 1);
		EXPECT(0, W_SET, map, 1);	/* left to the map's end */
	}
out:
	return err;
}

/* cancel drops the program although the timer's object stays with its map. */
static const char *h25(int seconds)
{
	struct script_bpf *a = script_load(PROG_A), *b = NULL;
	const char *err = NULL;
	struct script *sc;
	__u32 id;

	CHECK(a, "cannot load script.bpf.o");
	b = script_load_sharing(a, PROG_B);
	CHECK(b, "cannot load script.bpf.o again");
	id = script_prog_id(a, PROG_A);
	sc = RUN(a, PROG_A, IRQS_ON, STEP(T_INIT, HASH, 0, .flags = 1), STEP(T_SET, HASH, 0),
		 STEP(T_START, HASH, 0, .nsecs = FAR), STEP(T_SET, HASH, 0), STEP(T_CANCEL, HASH, 0));
	CHECK(sc->s[4].ret == 1, "cancel: %lld", (long long)sc->s[4].ret);
	script_unload(a);
	a = NULL;
	CHECK(WAIT_UNTIL((rcu_wait(), !prog_exists(id)), 10), "the program stayed after cancel");
	sc = RUN(b, PROG_B, IRQS_ON, STEP(T_INIT, HASH, 0, .flags = 1), STEP(T_START, HASH, 0));
	CHECK(sc->s[0].ret == -EBUSY && sc->s[1].ret == -EINVAL, "the timer after it: %lld, %lld",
	      (long long)sc->s[0].ret, (long long)sc->s[1].ret);
out:
	script_unload(a);
	script_unload(b);
	return err;
}

/* Program A's last reference is the timer's; B replaces it in that context. */
static const char *last_ref(int context, bool wq)
{
	struct script_bpf *a = script_load(PROG_A), *sk = NULL;
	const char *err = NULL;
	struct script *sc;
	__u32 id;

	CHECK(a, "cannot load script.bpf.o");
	sk = script_load_sharing(a, PROG_B);
	CHECK(sk, "cannot load script.bpf.o again");
	id = script_prog_id(a, PROG_A);
	RUN(a, PROG_A, IRQS_ON, STEP(T_INIT, HASH, 0, .flags = 1), STEP(T_SET, HASH, 0),
	    STEP(W_INIT, HASH, 0), STEP(W_SET, HASH, 0));
	/* The one that is not looked at is replaced first. */
	RUN(sk, PROG_B, IRQS_ON, STEP(wq ? T_SET : W_SET, HASH, 0));
	script_unload(a);
	a = NULL;
	rcu_wait();
	CHECK(prog_exists(id), "the program went although its callback is installed");
	sc = RUN(sk, PROG_B, context, STEP(wq ? W_SET : T_SET, HASH, 0));
	CHECK(sc->s[0].ret == 0, "set_callback: %lld", (long long)sc->s[0].ret);
	CHECK(WAIT_UNTIL((rcu_wait(), !prog_exists(id)), 10), "the replaced program stayed");
out:
	script_unload(a);
	script_unload(sk);
	return err;
}

static const char *h19(int seconds)
{
	int context, wq;

	for (context = IRQS_ON; context <= IN_NMI; context++)
		for (wq = 0; wq < 2; wq++)
			TRY(last_ref(context, wq));
	return NULL;
}

static const char *no_memory(struct script_bpf *sk)
{
	const char *err = NULL;
	struct script *sc;
	int context;

	for (context = IRQS_ON; context <= IN_NMI; context++) {
		module_write("fail_alloc", "2");
		sc = RUN(sk, PROG_A, context, STEP(T_INIT, HASH, 0, .flags = 1),
			 STEP(W_INIT, HASH, 0), STEP(T_SET, HASH, 0));
		CHECK(sc->s[0].ret == -ENOMEM && sc->s[1].ret == -ENOMEM,
		      "init without memory: %lld, %lld", (long long)sc->s[0].ret,
		      (long long)sc->s[1].ret);
		CHECK(sc->s[2].ret == -EINVAL, "set_callback after it: %lld",
		      (long long)sc->s[2].ret);
	}
	for (context = IRQS_ON; context <= IN_NMI; context++) {
		EXPECT(0, T_INIT, HASH, context, .flags = 1);
		EXPECT(0, W_INIT, HASH, context);
		module_write("fail_nolock", "100");
		sc = RUN(sk, PROG_A, context, STEP(T_SET, HASH, context),
			 STEP(T_START, HASH, context, .nsecs = 0), STEP(W_SET, HASH, context),
			 STEP(W_START, HASH, context));
		module_write("fail_nolock", "0");
		CHECK(!sc->s[0].ret && !sc->s[1].ret && !sc->s[2].ret && !sc->s[3].ret,
		      "without memory: timer %lld, %lld, work %lld, %lld", (long long)sc->s[0].ret,
		      (long long)sc->s[1].ret, (long long)sc->s[2].ret, (long long)sc->s[3].ret);
		CHECK(WAIT_UNTIL(element(sk, HASH, context)->t_ended &&
				 element(sk, HASH, context)->w_ended, 10), "did not run");
		module_write("fail_nolock", "100");
		sc = RUN(sk, PROG_A, context, STEP(T_CANCEL_ASYNC, HASH, context));
		module_write("fail_nolock", "0");
		CHECK(sc->s[0].ret == (context ? -ECANCELED : 0), "cancel_async without memory: %lld",
		      (long long)sc->s[0].ret);
	}
	/* Freeing needs none either: what is left is looked at when all is unloaded. */
	RUN(sk, PROG_A, IRQS_ON, STEP(T_START, HASH, 1, .nsecs = FAR));
	module_write("fail_nolock", "100");
	RUN(sk, PROG_A, IRQS_OFF, STEP(OP_DELETE, HASH, 1));
	module_write("fail_nolock", "0");
out:
	module_write("fail_alloc", "0");
	module_write("fail_nolock", "0");
	return err;
}

static const char *everything(struct script_bpf *sk)
{
	int map, key, context;

	for (map = ARR; map <= LRU; map++)
		for (key = 0; key < KEYS; key++) {
			context = key % 3;
			RUN(sk, key & 1, context == IN_NMI && !can_init_in_nmi() ? IRQS_OFF : context,
			    STEP(T_INIT, map, key, .flags = 1), STEP(W_INIT, map, key));
			RUN(sk, key & 1, context, STEP(T_SET, map, key),
			    STEP(T_START, map, key, .nsecs = key ? FAR : 0),
			    STEP(W_SET, map, key), STEP(W_START, map, key),
			    STEP(T_CANCEL_ASYNC, map, key), STEP(T_SET, map, key),
			    STEP(T_START, map, key, .nsecs = FAR));
		}
	say("objects counted: %s", count_all().objects < 0 ?
	    "no (no CONFIG_MEM_ALLOC_PROFILING)" : "yes");
	return NULL;
}

static const char *with_script(const char *(*fn)(struct script_bpf *sk))
{
	struct script_bpf *sk = script_load(PROG_A);
	const char *err;

	if (!sk)
		return fail("cannot load script.bpf.o");
	err = fn(sk);
	script_unload(sk);
	return err;
}

/* Load, start a work item that is still busy, unload: over and over. */
static const char *h22(int seconds)
{
	uint64_t end = now_ns() + seconds * 1000000000ULL, t, longest = 0;
	struct counts before = count_all();
	struct script_bpf *sk;
	const char *err = NULL;
	int rounds = 0;

	while (now_ns() < end) {
		sk = script_load(PROG_A);
		CHECK(sk, "cannot load script.bpf.o");
		element(sk, HASH, 0)->hold = 1;
		RUN(sk, PROG_A, IRQS_ON, STEP(W_INIT, HASH, 0), STEP(W_SET, HASH, 0),
		    STEP(W_START, HASH, 0));
		if (!WAIT_UNTIL(element(sk, HASH, 0)->w_begun, 10))
			err = fail("work did not run");
		script_unload(sk);
		if (err)
			goto out;
		t = now_ns();
		CHECK(WAIT_UNTIL(count_all().progs <= before.progs &&
				 count_all().maps <= before.maps, 20), "not torn down after 20 s");
		t = now_ns() - t;
		longest = t > longest ? t : longest;
		rounds++;
	}
	say("%d rounds, longest teardown %llu ms", rounds, (unsigned long long)longest / 1000000);
out:
	return err;
}

static const char *h7(int s) { return with_script(own_callback); }
static const char *h16(int s) { return with_script(init_races); }
static const char *h18(int s) { return with_script(never_started); }
static const char *h20(int s) { return with_script(no_memory); }
static const char *h21(int s) { return with_script(everything); }

const struct test refs_tests[] = {
	{ "H7", h7, "delete and cancel from the own callback" },
	{ "H16", h16, "init against init and against the map's last user" },
	{ "H18", h18, "a wq that is never started" },
	{ "H19", h19, "the last reference of a program dropped in NMI", .own_boot = true },
	{ "H20", h20, "no memory: init says so, nothing else fails",
	  .c_says = "without memory" },
	{ "H21", h21, "after everything is unloaded nothing is left" },
	{ "H25", h25, "cancel leaves no program behind" },
	{ "H22", h22, "load and unload with a busy wq, teardown bounded", .own_boot = true,
	  .seconds = 5 },
	{}
};
