// SPDX-License-Identifier: GPL-2.0
/*
 * An init is held at one instruction after the other, while its object is freed
 * and another CPU makes a new one of the same slot, or the map loses its last
 * user: H38.
 */
#include "async_script_helpers.h"

#define CPU		1	/* of the init that is held */
#define OPEN_HOLDS	60	/* in a map that is open */
#define CLOSED_HOLDS	16	/* in one that loses its last user: each is one of its own */

static const char *const places[] = {
	"bpf_timer_init", "bpf_async_timer_init", "__bpf_async_init", NULL,
};

struct held {
	struct runner r;
	struct script *sc;
	bool runs;
};

struct count {
	int before, after;	/* held with the object not yet, or already, in its slot */
};

/* False, or held->runs when the init stands still at that instruction. */
static bool hold(struct async_script *sk, const char *where, struct held *h)
{
	struct step init = STEP(T_INIT, ARR, 0, .flags = 1);
	int err = async_stall(0, where, CPU);
	bool ok;

	if (async_no_place(err))
		return true;
	if (!ASSERT_OK(err, where))
		return false;
	h->sc = script_put(sk, 1, &init, 1);
	h->r = (struct runner){ .sk = sk, .nr = 1, .cpu = CPU };
	runner_start(&h->r);
	ok = ASSERT_TRUE(async_wait(async_stalled(0) || h->r.runs), "init runs");
	h->runs = async_stalled(0);
	if (!h->runs) {
		async_stall_end(0);
		ok &= ASSERT_OK(runner_join(&h->r), "the script runs");
	}
	return ok;
}

static long let_go(struct held *h)
{
	async_stall_end(0);
	return ASSERT_OK(runner_join(&h->r), "the script runs") ? h->sc->s[0].ret : -1000;
}

/* The map is open: the second object stays, whatever the first init still does. */
static bool second_stays(struct async_script *sk, const char *where, struct count *n)
{
	struct held h = {};
	long ret, first;
	bool had;

	one(sk, PROG_A, STEP(OP_UPDATE, ARR, 0));
	if (!hold(sk, where, &h))
		return false;
	if (!h.runs)
		return true;
	ret = one(sk, PROG_A, STEP(T_INIT, ARR, 0, .flags = 1));
	had = ret == -EBUSY;
	if (had) {
		one(sk, PROG_A, STEP(OP_UPDATE, ARR, 0));
		ret = one(sk, PROG_A, STEP(T_INIT, ARR, 0, .flags = 1));
	}
	if (!ret)
		ret = one(sk, PROG_A, STEP(T_SET, ARR, 0)) ?:
		      one(sk, PROG_A, STEP(T_START, ARR, 0, .nsecs = FAR));
	first = let_go(&h);
	if (!ASSERT_OK(ret, "the second object is made and started") ||
	    !ASSERT_EQ(first, had ? 0 : -EBUSY, "the first init") ||
	    !ASSERT_EQ(one(sk, PROG_A, STEP(T_CANCEL_ASYNC, ARR, 0)), 1, "the second object stays"))
		return false;
	had ? n->after++ : n->before++;
	return true;
}

/* The map has lost its last user: nothing is left of either. */
static bool none_stays(struct async_script *unused, const char *where, struct count *n)
{
	struct async_script *sk = script_load(PROG_A);
	long set, second, first;
	struct held h = {};
	bool ok = false;

	if (!sk || !hold(sk, where, &h))
		goto out;
	ok = !h.runs;
	if (ok)
		goto out;
	/* Whether it is there; and a reference that would be left behind. */
	set = one(sk, PROG_A, STEP(T_SET, ARR, 0));
	script_drop_map(sk, ARR);
	second = one(sk, PROG_A, STEP(T_INIT, ARR, 0, .flags = 1));
	one(sk, PROG_A, STEP(OP_UPDATE, ARR, 0));
	first = let_go(&h);
	if (!ASSERT_EQ(second, -EPERM, "init of a map without users") ||
	    !ASSERT_EQ(first, first || set ? -EPERM : 0, "the first init"))
		goto out;
	set ? n->before++ : n->after++;
	ok = ASSERT_EQ(one(sk, PROG_A, STEP(T_SET, ARR, 0)), -EINVAL,
		       "set_callback where no object may be");
out:
	script_unload(sk);
	return ok;
}

/* So many holds, and on both sides of where the object gets into its slot. */
static bool sweep(struct async_script *sk, const struct async_function *f, int n, int holds,
		  bool (*held_at)(struct async_script *sk, const char *where, struct count *n))
{
	struct async_sweep s[4] = { { .f = f }, { .f = f + 1 }, { .f = f + 2 }, { .f = f + 3 } };
	struct count c = {};
	char where[300];
	int i, left = n;

	while (left)
		for (i = 0, left = 0; i < n; i++) {
			if ((c.before + c.after >= holds && c.before && c.after) ||
			    !async_next_offset(&s[i]))
				continue;
			left++;
			snprintf(where, sizeof(where), "%s+%u", f[i].name, s[i].offset);
			if (!held_at(sk, where, &c)) {
				printf("held at %s\n", where);
				return false;
			}
		}
	printf("held at %d instructions before the object is in its slot and %d behind\n",
	       c.before, c.after);
	return ASSERT_GT(c.before, 0, "held before the object is in its slot") &&
	       ASSERT_GT(c.after, 0, "held after the object is in its slot");
}

static void init_free(struct async_script *sk)
{
	struct async_function f[4];
	int n = async_find_functions(places, f, 4);

	if (!ASSERT_GT(n, 0, "functions of a known name"))
		return;
	async_pin(0);
	if (sweep(sk, f, n, OPEN_HOLDS, second_stays))
		sweep(sk, f, n, CLOSED_HOLDS, none_stays);
}

void serial_test_timer_init_free_race(void)
{
	if (async_needs_cpus(2))
		script_test(init_free);
}
