// SPDX-License-Identifier: GPL-2.0
/*
 * H38: an init is held at one instruction after the other, while its object is
 * freed and another CPU makes a new one of the same slot, or the map loses its
 * last user.
 */
#include <errno.h>
#include <stdio.h>

#include <bpf/bpf.h>

#include "gaps.h"

#define FAR	3600000000000ULL
#define CPU	1	/* of the init that is held */

static const char *const places[] = {
	"bpf_timer_init", "bpf_async_timer_init", "__bpf_async_init", "_R*4Slot*5Timer*7init_in*", NULL,
};

struct held {
	struct runner r;
	struct script *sc;
	bool runs;
};

struct count {
	int before, after;	/* held with the object not yet, or already, in its slot */
};

/* An error, or held->runs when the init stands still at that instruction. */
static const char *hold(struct script_bpf *sk, const char *where, struct held *h)
{
	struct step init = STEP(T_INIT, ARR, 0, .flags = 1);
	const char *err = NULL;
	int ret = stall_at(0, where, CPU);

	if (no_instruction(ret) || ret == -EOPNOTSUPP)
		return NULL;
	if (ret)
		return fail("no probe at %s: %d", where, ret);
	h->sc = script_put(sk, 1, &init, 1);
	h->r = (struct runner){ .sk = sk, .nr = 1, .cpu = CPU };
	runner_start(&h->r);
	CHECK(WAIT_UNTIL(stalled_at(0) || h->r.runs, 10), "%s: init does not run", where);
	h->runs = stalled_at(0);
out:
	if (!h->runs) {
		stall_end(0);
		if (runner_join(&h->r) && !err)
			err = fail("%s: the script did not run", where);
	}
	return err;
}

static long let_go(struct held *h)
{
	stall_end(0);
	return runner_join(&h->r) ? -1000 : h->sc->s[0].ret;
}

/* The map is open: the second object stays, whatever the first init still does. */
static const char *second_stays(struct script_bpf *sk, const char *where, struct count *n)
{
	struct held h = {};
	const char *err;
	long ret, first;
	bool had;

	one(sk, PROG_A, STEP(OP_UPDATE, ARR, 0));
	err = hold(sk, where, &h);
	if (err || !h.runs)
		return err;
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
	if (ret)
		return fail("held at %s: the second object: %ld", where, ret);
	if (first != (had ? 0 : -EBUSY))
		return fail("held at %s: the first init answered %ld", where, first);
	if (one(sk, PROG_A, STEP(T_CANCEL_ASYNC, ARR, 0)) != 1)
		return fail("held at %s: the second object is gone", where);
	had ? n->after++ : n->before++;
	return NULL;
}

/* The map has lost its last user: nothing is left of either. */
static const char *none_stays(const char *where, struct count *n)
{
	struct script_bpf *sk = script_load(PROG_A);
	const char *err = NULL;
	struct held h = {};
	long set, second, first;

	CHECK(sk, "cannot load script.bpf.o");
	err = hold(sk, where, &h);
	if (err || !h.runs)
		goto out;
	/* Whether it is there; and a reference that would be left behind. */
	set = one(sk, PROG_A, STEP(T_SET, ARR, 0));
	if (!drop_map(sk, ARR))
		err = fail("closing the map");
	second = one(sk, PROG_A, STEP(T_INIT, ARR, 0, .flags = 1));
	one(sk, PROG_A, STEP(OP_UPDATE, ARR, 0));
	first = let_go(&h);
	if (err)
		goto out;
	CHECK(second == -EPERM, "held at %s: init of a map without users: %ld", where, second);
	CHECK(first == -EPERM || (!first && !set), "held at %s: the first init answered %ld", where,
	      first);
	set ? n->before++ : n->after++;
	set = one(sk, PROG_A, STEP(T_SET, ARR, 0));
	CHECK(set == -EINVAL, "held at %s: an object stays in a map without users: %ld", where, set);
out:
	script_unload(sk);
	return err;
}

static const char *h38(int seconds)
{
	uint64_t start = now_ns(), half = seconds * 1000000000ULL / 2;
	struct script_bpf *sk = script_load(PROG_A);
	struct count open = {}, closed = {};
	const char *err = NULL;
	struct function f[4];
	char where[300];
	int i, n, left;

	CHECK(sk, "cannot load script.bpf.o");
	n = find_functions(places, f, 4);
	CHECK(n, "this kernel has none of the known functions");
	pin_cpu(0);
	for (int way = 0; way < 2; way++) {
		struct count *c = way ? &closed : &open;
		struct sweep s[4] = { { .f = f }, { .f = f + 1 }, { .f = f + 2 }, { .f = f + 3 } };

		for (left = n; left && !err; )
			for (i = 0, left = 0; i < n && !err; i++) {
				/* On a slow machine longer, until it was on both sides. */
				if (!next_offset(&s[i], c->before && c->after ?
						 start + (way + 1) * half : UINT64_MAX))
					continue;
				left++;
				snprintf(where, sizeof(where), "%s+%u", f[i].name, s[i].offset);
				err = way ? none_stays(where, c) : second_stays(sk, where, c);
			}
	}
	if (err)
		goto out;
	say("open: held at %d instructions before the object is in its slot and %d behind; "
	    "without users: %d and %d", open.before, open.after, closed.before, closed.after);
	CHECK(open.before && open.after && closed.before && closed.after,
	      "not held on both sides");
out:
	script_unload(sk);
	return err;
}

const struct test inits_tests[] = {
	{ "H38", h38, "init against free and another init, and against the map's last user",
	  .own_boot = true, .one_thread = true, .seconds = 20 },
	{}
};
