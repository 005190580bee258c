// SPDX-License-Identifier: GPL-2.0
/* References, memory, and who drops the last: H7, H16, H18 to H22, H25. */
#include "async_script_helpers.h"

/*
 * Timer and work item of an element whose callbacks act on it themselves: what
 * the operation answers in either.
 */
static bool acts_on_itself(struct async_script *sk, int map, int key, __u32 op, long timer_ret,
			   long wq_ret)
{
	struct element *e = element(sk, map, key);
	int wq;

	e->act_op = op;
	e->act_map = map;
	e->act_key = key;
	for (wq = 0; wq < 2; wq++) {
		one(sk, PROG_A, STEP(OP_UPDATE, map, key));
		if (!ANSWERS(0, T_INIT, map, key, .flags = 1) ||
		    !ANSWERS(0, T_SET, map, key) ||
		    !ANSWERS(0, W_INIT, map, key) ||
		    !ANSWERS(0, W_SET, map, key))
			return false;
		e->t_ended = e->w_ended = 0;
		if (wq ? !ANSWERS(0, W_START, map, key) :
			 !ANSWERS(0, T_START, map, key, .nsecs = 0))
			return false;
		if (!ASSERT_TRUE(async_wait(wq ? e->w_ended : e->t_ended), "the callback ends") ||
		    !ASSERT_EQ(e->act_ret, wq ? wq_ret : timer_ret,
			       wq ? "in its wq callback" : "in its timer callback"))
			return false;
	}
	return true;
}

void own_callback(struct async_script *sk)
{
	if (!acts_on_itself(sk, HASH, 0, T_CANCEL, -EDEADLK, 0) ||
	    !acts_on_itself(sk, HASH, 1, OP_DELETE, 0, 0) ||
	    !acts_on_itself(sk, ARR, 0, OP_UPDATE, 0, 0) ||
	    !acts_on_itself(sk, HASH, 2, OP_UPDATE, 0, 0))
		return;
	acts_on_itself(sk, ARR, 1, T_CANCEL_ASYNC, -1, 0);
}

void serial_test_async_own_callback(void)
{
	script_test(own_callback);
}

/* CPU 1 is held inside init, before it allocates, while something is done on CPU 0. */
static long held_init(struct async_script *sk, struct step init, bool drop)
{
	struct script *sc = script_put(sk, 1, &init, 1);
	struct runner r = { .sk = sk, .nr = 1, .cpu = 1 };

	if (!ASSERT_OK(async_stall_args("bpf_map_kmalloc_nolock", 1, 0), "probe"))
		return 1;
	runner_start(&r);
	if (ASSERT_TRUE(async_wait(async_stalled(0)), "init gets to its allocation")) {
		if (drop)
			script_drop_map(sk, init.map);
		else
			ASSERT_OK(one(sk, PROG_A, init), "init on the other CPU");
	}
	async_stall_end(0);
	return ASSERT_OK(runner_join(&r), "the script runs") ? sc->s[0].ret : 1;
}

static void init_races(struct async_script *sk)
{
	async_pin(0);
	if (!ASSERT_EQ(held_init(sk, STEP(T_INIT, HASH, 0, .flags = 1), false), -EBUSY,
		       "the later init of a timer") ||
	    !ASSERT_EQ(held_init(sk, STEP(W_INIT, HASH, 0), false), -EBUSY,
		       "the later init of a wq") ||
	    !ASSERT_EQ(held_init(sk, STEP(T_INIT, HASH, 1, .flags = 1), true), -EPERM,
		       "init of a timer after the last user reference"))
		return;
	/* Another map: the user reference of that one is dropped. */
	ASSERT_EQ(held_init(sk, STEP(W_INIT, LRU, 1), true), -EPERM,
		  "init of a wq after the last user reference");
}

void serial_test_async_init_race(void)
{
	if (async_needs_cpus(2))
		script_test(init_races);
}

void never_started(struct async_script *sk)
{
	int map;

	for (map = ARR; map <= LRU; map++) {
		if (!ANSWERS(0, W_INIT, map, 0) || !ANSWERS(0, W_SET, map, 0))
			return;
		one(sk, PROG_A, STEP(map == ARR ? OP_UPDATE : OP_DELETE, map, 0));
		/* This one is left to the map's end. */
		if (!ANSWERS(0, W_INIT, map, 1) || !ANSWERS(0, W_SET, map, 1))
			return;
	}
}

void serial_test_wq_never_started(void)
{
	script_test(never_started);
}

/* cancel drops the program although the timer's object stays with its map. */
void cancel_drops_prog(void)
{
	struct async_script *a = script_load(PROG_A), *b = NULL;
	struct script *sc;
	__u32 id;

	if (!a)
		return;
	b = script_load_sharing(a, PROG_B);
	if (!b)
		goto out;
	id = script_prog_id(a, PROG_A);
	sc = RUN(a, PROG_A, IRQS_ON, STEP(T_INIT, HASH, 0, .flags = 1), STEP(T_SET, HASH, 0),
		 STEP(T_START, HASH, 0, .nsecs = FAR), STEP(T_SET, HASH, 0),
		 STEP(T_CANCEL, HASH, 0));
	if (!ASSERT_EQ(sc->s[4].ret, 1, "cancel"))
		goto out;
	script_unload(a);
	a = NULL;
	if (!ASSERT_TRUE(async_wait_rcu(!async_prog_exists(id)), "the program goes after cancel"))
		goto out;
	sc = RUN(b, PROG_B, IRQS_ON, STEP(T_INIT, HASH, 0, .flags = 1), STEP(T_START, HASH, 0));
	ASSERT_EQ(sc->s[0].ret, -EBUSY, "init after it");
	ASSERT_EQ(sc->s[1].ret, -EINVAL, "start after it");
out:
	script_unload(a);
	script_unload(b);
}

void serial_test_timer_cancel_drops_prog(void)
{
	async_test(cancel_drops_prog);
}

/* Program A's last reference is the timer's; B replaces it in that context. */
static bool drop_last_ref(int context, bool wq)
{
	struct async_script *a = script_load(PROG_A), *sk = NULL;
	struct script *sc;
	bool ok = false;
	__u32 id;

	if (!a)
		return false;
	sk = script_load_sharing(a, PROG_B);
	if (!sk)
		goto out;
	id = script_prog_id(a, PROG_A);
	RUN(a, PROG_A, IRQS_ON, STEP(T_INIT, HASH, 0, .flags = 1), STEP(T_SET, HASH, 0),
	    STEP(W_INIT, HASH, 0), STEP(W_SET, HASH, 0));
	/* The one that is not looked at is replaced first. */
	RUN(sk, PROG_B, IRQS_ON, STEP(wq ? T_SET : W_SET, HASH, 0));
	script_unload(a);
	a = NULL;
	async_sync_rcu();
	if (!ASSERT_TRUE(async_prog_exists(id), "the program stays with its callback"))
		goto out;
	sc = RUN(sk, PROG_B, context, STEP(wq ? W_SET : T_SET, HASH, 0));
	ok = ASSERT_OK(sc->s[0].ret, "set_callback") &&
	     ASSERT_TRUE(async_wait_rcu(!async_prog_exists(id)), "the replaced program goes");
out:
	script_unload(a);
	script_unload(sk);
	return ok;
}

void last_ref(void)
{
	int context, wq;

	for (context = IRQS_ON; context <= IN_NMI; context++)
		for (wq = 0; wq < 2; wq++)
			if (!drop_last_ref(context, wq))
				return;
}

void serial_test_async_last_ref_in_nmi(void)
{
	async_test(last_ref);
}

static bool init_without_memory(struct async_script *sk, int context)
{
	struct script *sc;

	async_write("fail_alloc", "2");
	sc = RUN(sk, PROG_A, context, STEP(T_INIT, HASH, 0, .flags = 1), STEP(W_INIT, HASH, 0),
		 STEP(T_SET, HASH, 0));
	async_write("fail_alloc", "0");
	return ASSERT_EQ(sc->s[0].ret, -ENOMEM, "init of a timer") &&
	       ASSERT_EQ(sc->s[1].ret, -ENOMEM, "init of a wq") &&
	       ASSERT_EQ(sc->s[2].ret, -EINVAL, "set_callback after it");
}

static bool operations_without_memory(struct async_script *sk, int context)
{
	struct element *e = element(sk, HASH, context);
	struct script *sc;

	if (!ANSWERS(0, T_INIT, HASH, context, .flags = 1) || !ANSWERS(0, W_INIT, HASH, context))
		return false;
	async_write("fail_nolock", "100");
	sc = RUN(sk, PROG_A, context, STEP(T_SET, HASH, context),
		 STEP(T_START, HASH, context, .nsecs = 0), STEP(W_SET, HASH, context),
		 STEP(W_START, HASH, context));
	async_write("fail_nolock", "0");
	if (!ASSERT_OK(sc->s[0].ret, "without memory: set_callback of a timer") ||
	    !ASSERT_OK(sc->s[1].ret, "without memory: start of a timer") ||
	    !ASSERT_OK(sc->s[2].ret, "without memory: set_callback of a wq") ||
	    !ASSERT_OK(sc->s[3].ret, "without memory: start of a wq") ||
	    !ASSERT_TRUE(async_wait(e->t_ended && e->w_ended), "the callbacks run"))
		return false;
	async_write("fail_nolock", "100");
	sc = RUN(sk, PROG_A, context, STEP(T_CANCEL_ASYNC, HASH, context));
	async_write("fail_nolock", "0");
	return ASSERT_EQ(sc->s[0].ret, context == IRQS_ON ? 0 : -ECANCELED,
			 "without memory: cancel_async");
}

static void no_memory(struct async_script *sk)
{
	int context;

	for (context = IRQS_ON; context <= IN_NMI; context++)
		if (!init_without_memory(sk, context))
			goto out;
	for (context = IRQS_ON; context <= IN_NMI; context++)
		if (!operations_without_memory(sk, context))
			goto out;
	/* Freeing needs none either: what is left is looked at when all is unloaded. */
	RUN(sk, PROG_A, IRQS_ON, STEP(T_START, HASH, 1, .nsecs = FAR));
	async_write("fail_nolock", "100");
	RUN(sk, PROG_A, IRQS_OFF, STEP(OP_DELETE, HASH, 1));
out:
	async_write("fail_alloc", "0");
	async_write("fail_nolock", "0");
}

void serial_test_async_no_memory(void)
{
	script_test(no_memory);
}

/* Whether anything is left is what async_test() looks at. */
void everything(struct async_script *sk)
{
	int map, key, context, init, i;
	struct script *sc;

	for (map = ARR; map <= LRU; map++)
		for (key = 0; key < KEYS; key++) {
			context = key % 3;
			init = !async_can_init_atomic() ? IRQS_ON :
			       context == IN_NMI && !async_can_init_in_nmi() ? IRQS_OFF : context;
			sc = RUN(sk, key & 1, init, STEP(T_INIT, map, key, .flags = 1),
				 STEP(W_INIT, map, key));
			if (!ASSERT_OK(sc->s[0].ret, "init of a timer") ||
			    !ASSERT_OK(sc->s[1].ret, "init of a wq"))
				return;
			sc = RUN(sk, key & 1, context, STEP(T_SET, map, key),
			    STEP(T_START, map, key, .nsecs = key ? FAR : 0),
			    STEP(W_SET, map, key), STEP(W_START, map, key),
			    STEP(T_CANCEL_ASYNC, map, key), STEP(T_SET, map, key),
			    STEP(T_START, map, key, .nsecs = FAR));
			/* A deferred cancel_async cannot say whether the timer was armed. */
			for (i = 0; i < sc->n; i++)
				if (sc->s[i].ret != -ECANCELED &&
				    !ASSERT_GE(sc->s[i].ret, 0, "each step"))
					return;
		}
}

void serial_test_async_nothing_left(void)
{
	script_test(everything);
}

#define LOADS	10

/* A work item that is still busy when all is unloaded. */
static void load_busy(struct async_script *sk)
{
	element(sk, HASH, 0)->hold = 1;
	RUN(sk, PROG_A, IRQS_ON, STEP(W_INIT, HASH, 0), STEP(W_SET, HASH, 0),
	    STEP(W_START, HASH, 0));
	ASSERT_TRUE(async_wait(element(sk, HASH, 0)->w_begun), "the work item runs");
}

/* Each is torn down within some grace periods: so says async_test(). */
void serial_test_wq_load_unload(void)
{
	int i;

	for (i = 0; i < LOADS; i++)
		script_test(load_busy);
}
